"""What is stored: workspaces, queues, clusters, instances, events, principals and their credentials.

Times are aware datetimes in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from .engine import Demand, Endpoints, NodeObservation, Progress
from .ids import ClusterId, InstanceId, JobId, PrincipalId, WorkspaceId, new_workspace_number
from .secret import Secret
from .spec import ClusterSpec
from .states import State, Wanted


class Role(StrEnum):
    """Roles in one workspace, each including the ones before it."""

    VIEWER = "viewer"
    """Sees clusters, nodes, events; no user code, no logs."""
    EDITOR = "editor"
    """Makes, changes, starts, stops and deletes clusters, and runs code on them."""
    OWNER = "owner"
    """Also queues and the roles of others."""

    def includes(self, other: Role) -> bool:
        return _RANK[self] >= _RANK[other]


_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class Principal:
    """A person or a robot."""

    id: PrincipalId
    name: str
    admin: bool = False
    """Installation admin: owner everywhere."""
    roles: Mapping[WorkspaceId, Role] = field(default_factory=dict)

    def role_in(self, workspace: WorkspaceId) -> Role | None:
        return Role.OWNER if self.admin else self.roles.get(workspace)


class CredentialKind(StrEnum):
    ACCESS_KEY = "access_key"
    """Id and secret for signatures; the secret is stored encrypted, since HMAC needs it."""
    TOKEN = "token"
    """Bearer token ``hlt_...``; only its SHA-256 is stored."""
    SERVICE_ACCOUNT_KEY = "service_account_key"
    """RSA key pair for Google's clients; only the public key is stored."""


@dataclass(frozen=True)
class Credential:
    """A key of a principal, without its secret."""

    id: str
    """Access key id (``HELI...``), a token's public id (``tok-...``), or a service-account key's (its ``kid``)."""
    kind: CredentialKind
    principal: PrincipalId
    description: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def usable(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True)
class Workspace:
    id: WorkspaceId
    name: str
    created_at: datetime
    creator: PrincipalId | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    number: int = field(default_factory=new_workspace_number)
    """Twelve digits, unique; some dialects know it by that."""


@dataclass(frozen=True)
class Amount:
    """Capacity or usage. None = unlimited."""

    cpu: Decimal | None = None
    memory: int | None = None
    gpu: int | None = None


@dataclass(frozen=True)
class Queue:
    workspace: WorkspaceId
    name: str
    created_at: datetime
    minimum: Amount = Amount()
    """Guaranteed: kept free for it within what the workspace has."""
    maximum: Amount = Amount()
    description: str = ""
    creator: PrincipalId | None = None
    priority: int = 0
    """Among queues that wait for what the workspace has, those with a higher one go first; -1000 to 1000."""
    backfill: bool = True
    """Whether a start that fits may pass one that waits for more, for a while."""
    held: Amount = Amount(Decimal(0), 0, 0)
    """What runs hold of it now. Kept by the claims; saving a queue does not change it."""
    extras: Mapping[str, str] = field(default_factory=dict)
    """Fields that only one dialect knows, kept and given back."""


@dataclass(frozen=True)
class Cluster:
    """The stored definition plus what is wanted of it."""

    id: ClusterId
    workspace: WorkspaceId
    spec: ClusterSpec
    generation: int
    wanted: Wanted
    state: State
    message: str
    """Why it is in its state, for people; ``ok`` when all is well."""
    modified: bool
    """The present instance runs an older spec and would need a restart to be what is stored."""
    instance: InstanceId | None
    """The present run; None when stopped."""
    creator: PrincipalId
    creator_name: str
    modifier: PrincipalId
    modifier_name: str
    created_at: datetime
    modified_at: datetime
    started_at: datetime | None = None
    """The last start."""
    deleted_at: datetime | None = None
    job: JobId | None = None
    """The job that it was made for and goes with; such a cluster stands in no list of clusters."""


@dataclass(frozen=True)
class Activity:
    """Whether anything goes on on an instance."""

    reasons: tuple[str, ...] = ()
    """What goes on, for people: ``3 tasks are running``; empty = nothing."""
    idle_since: datetime | None = None
    """Since when nothing has gone on; None while something does."""


@dataclass(frozen=True)
class Instance:
    """One run of a cluster."""

    id: InstanceId
    cluster: ClusterId
    workspace: WorkspaceId
    spec: ClusterSpec
    """As it was when the instance was started (or last applied in place)."""
    generation: int
    created_at: datetime
    submit_token: Secret
    """32 hex digits; opens the Jobs API and the dashboard of this run only."""
    ray_token: Secret
    running_at: datetime | None = None
    ended_at: datetime | None = None
    """When nothing of it was left."""
    retired: bool = False
    """No longer wanted: the loop removes it."""
    nodes: tuple[NodeObservation, ...] = ()
    progress: tuple[Progress, ...] = ()
    endpoints: Endpoints | None = None
    logs_kept: bool = False
    """The logs of its nodes that matter are in the log storage, or were given up."""
    renew: int = 0
    """Nodes begun with an older generation than this are replaced one after the other (a rolling restart)."""
    demand: Demand | None = None
    """What Ray's autoscaler reported last."""
    activity: Activity | None = None
    """What was last seen to go on on it; None before the first look."""
    shapes: Mapping[str, tuple[tuple[int, str], ...]] = field(default_factory=dict)
    """Worker groups that may have nodes of several shapes: from which generation on which, as a mark (:mod:`updates`)."""


@dataclass(frozen=True)
class Event:
    """An append-only fact about a cluster or a job on it: the answer to "why"."""

    cluster: ClusterId
    workspace: WorkspaceId
    at: datetime
    actor: str
    """A principal's name, or ``heliostat``."""
    reason: str
    """CamelCase word for machines, e.g. ``StartRequested``."""
    message: str
    warning: bool = False
    instance: InstanceId | None = None
    key: str | None = None
    """Unique per cluster where given: the same fact is recorded once."""
    id: int = 0
    """Grows with time; 0 before it is stored."""
    job: JobId | None = None
    """The job that it is about, if it is."""


@dataclass(frozen=True)
class NetworkService:
    """A named network that EMR clients may name; configuration, without effect on the local engine."""

    id: str
    name: str
    vpc_id: str = ""
    vswitch_ids: tuple[str, ...] = ()
