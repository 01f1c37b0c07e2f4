"""What there is to choose from, and who one is: releases, workspaces, networks, keys, names of secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Release:
    name: str
    display: str
    ray: str
    python: str
    stable: bool
    default: bool
    environment: str
    """``ready``, ``building``, ``absent`` (built at the first start) or ``failed``."""
    detail: str = ""
    problem: str | None = None
    """Why it cannot be used here, with the remedy; None when it can."""
    packages: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Workspace:
    id: str
    name: str
    created_at: datetime
    role: str
    """Your own: ``viewer``, ``editor`` or ``owner``."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class NetworkService:
    id: str
    name: str
    vpc_id: str = ""
    vswitch_ids: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Key:
    """A credential, without its secret."""

    id: str
    kind: str
    """``token``, ``access_key`` or ``service_account_key``."""
    principal: str
    """Id of the principal it belongs to."""
    description: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class NewKey:
    """A fresh credential; ``secret`` (the token's text, or the access key's secret) is shown this once."""

    key: Key
    secret: str = field(repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class SecretInfo:
    """A secret of a workspace, without its value."""

    group: str
    key: str
    modified_at: datetime
    modifier: str
    """Who has set its value."""
    version: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """As it is written on the command line and for jobs."""
        return f"{self.group}/{self.key}" + (f"@{self.version}" if self.version else "")


@dataclass(frozen=True)
class VertexSetup:
    """What Google's clients must be told to work with the server and one workspace, which they call a project."""

    project_id: str
    project_number: str
    location: str
    api_endpoint: str
    """``host:port`` with TLS."""
    universe_domain: str
    token_uri: str
    auth_uri: str
    ca_certificate: str | None = None
    """PEM of the server's own authority; None when the operator gave the certificate."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class GoogleKey:
    """A fresh key for Google's clients. Its private half was made on this machine and is in ``key_file`` alone."""

    key: Key
    key_file: Mapping[str, Any] = field(repr=False)
    """What ``google.oauth2.service_account.Credentials.from_service_account_info`` takes."""
    setup: VertexSetup


@dataclass(frozen=True)
class Me:
    """Who the token belongs to."""

    id: str
    name: str
    admin: bool
    workspaces: tuple[Workspace, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class ServerVersion:
    version: str
    api: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
