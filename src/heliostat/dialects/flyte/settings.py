"""What an operator chooses for Flyte: workspaces, releases, where data is kept, who may come in without a credential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True)
class ConnectorSettings:
    """The door for propellers, which send no credentials (Flyte contract, section 4.3)."""

    host: str
    port: int
    """0 takes a free one."""
    principal: str = "flyte"
    """Name of the principal as which everything that comes in by it is done."""
    client_ca: Path | None = None
    """Authorities (PEM) whose client certificates are let in; None = none is asked for."""
    networks: tuple[str, ...] = ()
    """Networks (CIDR) from which connections are let in; none = any that reaches the address."""


@dataclass(frozen=True)
class FlyteSettings:
    data_url: str = ""
    """Below which inputs, outputs and uploads are kept; tasks must be able to read and write there. No trailing slash."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Image, or a pattern with ``*`` -> name of the release that stands for it; the first that fits counts."""
    release: str = "flyte-1.3.1"
    """Name of the release for images that nothing stands for."""
    workspace: str | None = None
    """Name or id of the workspace of projects that have none; None = the oldest in which the caller may run jobs."""
    workspaces: Mapping[str, str] = field(default_factory=dict)
    """``project/domain``, or a pattern with ``*`` -> name or id of its workspace."""
    ttl: timedelta = timedelta(0)
    """How long the cluster of a task stays that does not say whether it shall."""
    reuse_idle: timedelta | None = None
    """Tasks that want the same cluster share one, which stops after being idle for so long; None = each has its own."""
    cpu: str = "1"
    """Of a node for which nothing is asked."""
    memory: str = "1Gi"
    """The same."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables of every task, among them the credentials for its data."""
    staging: bool = False
    """Tasks cannot reach Flyte's bucket: the server brings inputs to ``data_url`` and outputs back."""
    max_upload_bytes: int = 512 << 20
    """Of one file that a client uploads: what Ray takes as a working directory at most."""
    connector: ConnectorSettings | None = None
    """None = propellers have no door of their own."""
    keep: timedelta | None = timedelta(days=90)
    """How long an execution, a run and what they left in ``data_url`` stay after their end; None = for ever."""
