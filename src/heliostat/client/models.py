"""What the server tells, as frozen dataclasses.

Each is made by :func:`heliostat.client.decode.decode` from the JSON of the same field names. Unknown fields of newer
servers are passed over, and every document keeps its JSON in ``raw`` where it is worth printing as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Step:
    """One step of a start: ``queued``, ``environment``, ``head``, ``workers``, ``up`` or ``failed``."""

    step: str
    started_at: datetime
    elapsed_seconds: float
    """Until now while it lasts."""
    ended_at: datetime | None = None
    detail: str = ""
    """e.g. ``installing ray 2.60.0 (41 of 58 packages)``."""


@dataclass(frozen=True)
class GroupCount:
    """The nodes of a worker group now."""

    name: str
    wanted: int
    """The definition's number, or what the autoscaler has asked for."""
    alive: int
    starting: int = 0
    draining: int = 0
    """Finish what they run, and go."""
    min_replicas: int | None = None
    max_replicas: int | None = None


@dataclass(frozen=True)
class Want:
    """Work of one shape that Ray cannot place at present."""

    resources: Mapping[str, float]
    count: int
    source: str = ""


@dataclass(frozen=True)
class Demand:
    """What Ray's autoscaler reports."""

    pending: tuple[Want, ...] = ()
    """Waits for workers."""
    infeasible: tuple[Want, ...] = ()
    """Fits no node of any group."""
    problem: str = ""


@dataclass(frozen=True)
class Activity:
    """Whether anything goes on."""

    reasons: tuple[str, ...] = ()
    idle_since: datetime | None = None


@dataclass(frozen=True)
class Instance:
    """One run of a cluster."""

    id: str
    generation: int
    started_at: datetime
    nodes_up: int
    nodes_wanted: int
    running_at: datetime | None = None
    steps: tuple[Step, ...] = ()
    groups: tuple[GroupCount, ...] = ()
    waiting_work: tuple[str, ...] = ()
    """What waits for workers or fits none, in words."""
    demand: Demand | None = None
    activity: Activity | None = None
    renewing: int = 0
    """Nodes that a rolling restart has still to replace."""


@dataclass(frozen=True)
class Endpoints:
    """The addresses of a running instance."""

    dashboard_url: str
    """A link that opens the dashboard in a browser; good for an hour, then read the cluster again."""
    job_url: str
    """For ``ray job submit --address`` and ``JobSubmissionClient``, with the header ``ray-token: <submit_token>``."""
    ray_url: str | None = None
    """For ``ray.init``; None while Ray's client server does not answer. ``heliostat.ray_init`` does all of it."""
    submit_token: str | None = field(default=None, repr=False)
    """None for viewers."""


@dataclass(frozen=True)
class Finding:
    """A field that the engine does not honour literally."""

    path: str
    verdict: str
    """``mapped`` or ``ignored``."""
    message: str


@dataclass(frozen=True)
class ClusterInfo:
    """A cluster as it was when the server was asked."""

    id: str
    workspace: str
    name: str
    state: str
    """``Stopped``, ``Starting``, ``Running``, ``Stopping`` or ``Error``."""
    message: str
    """Why it is in its state; ``ok`` when all is well."""
    wanted: str
    generation: int
    modified: bool
    """What runs is older than what is stored; restart it to apply the change."""
    release: str
    spec: Mapping[str, Any]
    """The definition as JSON, in the form that create takes (in lists: without what may hold secrets)."""
    creator: str
    created_at: datetime
    modified_at: datetime
    modifier: str = ""
    description: str = ""
    started_at: datetime | None = None
    instance: Instance | None = None
    endpoints: Endpoints | None = None
    findings: tuple[Finding, ...] | None = None
    """None in lists, where they are left out."""
    job: str | None = None
    """The job that it was made for and goes with."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class FieldChange:
    """A field that would be another one; what may be a secret is masked."""

    path: str
    before: str | int | bool | None
    after: str | int | bool | None
    effect: str
    """``in_place``, ``new_nodes``, ``restart``, ``next_start`` or ``cosmetic``."""
    note: str = ""


@dataclass(frozen=True)
class Refusal:
    path: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What a change would do."""

    action: str
    """``create``, ``change`` or ``nothing``."""
    name: str
    cluster: str | None = None
    state: str | None = None
    generation: int | None = None
    """For ``expected_generation`` of the change itself."""
    changes: tuple[FieldChange, ...] = ()
    pending: tuple[FieldChange, ...] = ()
    """Stored before, and waiting for a restart."""
    restart: bool = False
    """A restart would be needed for all to take effect."""
    beyond_rolling: tuple[FieldChange, ...] = ()
    """What a rolling restart could not bring."""
    refused: tuple[Refusal, ...] = ()
    """Why the change would be refused."""
    findings: tuple[Finding, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Progress:
    """What a wait reports whenever something changed."""

    cluster: ClusterInfo
    state: str
    message: str
    steps: tuple[Step, ...]
    nodes_up: int
    nodes_wanted: int
    elapsed_seconds: float
    """Since the wait began."""


@dataclass(frozen=True)
class Node:
    """One Ray node of the present instance."""

    node: str
    kind: str
    """``head`` or ``worker``."""
    group: str
    state: str
    """``pending``, ``starting``, ``alive``, ``draining`` or ``exited``."""
    created_at: datetime
    started_at: datetime | None = None
    ray_node_id: str = ""
    pid: int | None = None
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    restarts: int = 0
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Event:
    """A fact about a cluster or a job."""

    id: int
    at: datetime
    actor: str
    reason: str
    message: str
    warning: bool = False
    instance: str | None = None
    job: str | None = None
    """The job that it is about, if it is."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Explanation:
    """Why a cluster is in its state."""

    summary: str
    evidence: tuple[str, ...]
    remedy: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


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
class Amount:
    """Capacity; None = not limited, or not guaranteed."""

    cpu: str | None = None
    memory: str | None = None
    gpu: int | None = None


@dataclass(frozen=True)
class Holder:
    """A run of a cluster that holds nodes of a queue."""

    cluster: str
    """Id."""
    name: str
    instance: str
    nodes: int
    held: Amount = field(default_factory=Amount)
    job: str | None = None
    """The job that the cluster was made for."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Queue:
    """A share of a workspace's capacity."""

    workspace: str
    name: str
    created_at: datetime
    minimum: Amount = field(default_factory=Amount)
    """Guaranteed: kept free for it."""
    maximum: Amount = field(default_factory=Amount)
    description: str = ""
    priority: int = 0
    backfill: bool = True
    held: Amount = field(default_factory=Amount)
    """What runs hold of it now."""
    used: Amount = field(default_factory=Amount)
    """What counts against its maximum: of ``root_queue``, what is held of all queues."""
    waiting: int = 0
    """Runs of clusters that wait for nodes charged to it."""
    notes: tuple[str, ...] = ()
    """What is allowed and may surprise, such as a maximum below what is held."""
    holders: tuple[Holder, ...] = ()
    """Who holds most of it; only from ``get``."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Hours:
    """Hours of wall-clock time: 2 cores for half an hour are one CPU-hour."""

    node_hours: float
    cpu_hours: float
    memory_gib_hours: float
    gpu_hours: float
    cu_hours: float
    """Per node, a unit is one core or 4 GiB, whichever is more of it."""


@dataclass(frozen=True)
class UsageRow:
    """Usage of what it names; None where it was not asked for."""

    starting: Hours
    """Before the cluster was up."""
    useful: Hours
    """Something went on on the cluster."""
    idle: Hours
    total: Hours
    queue: str | None = None
    cluster: str | None = None
    """Id."""
    cluster_name: str | None = None
    """While the cluster is known."""
    principal: str | None = None
    """Id of who made the cluster."""
    principal_name: str | None = None
    hour: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class UsageReport:
    """What was used of a workspace's queues, in whole hours from ``since`` to ``until``."""

    since: datetime
    until: datetime
    by: tuple[str, ...]
    rows: tuple[UsageRow, ...]
    total: UsageRow
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


@dataclass(frozen=True)
class JobCluster:
    """What a job runs on."""

    id: str
    name: str
    temporary: bool
    """It was made for the job and goes with it."""
    state: str
    """``Submitted``, ``Pending``, ``Running`` or ``Deleted``."""


@dataclass(frozen=True)
class JobProgress:
    """How far a job is."""

    step: str
    """``queued``, ``code``, ``environment``, ``cluster``, ``ray``, ``running`` or ``ended``."""
    detail: str = ""
    nodes_up: int = 0
    nodes_wanted: int = 0
    seconds: float = 0.0
    """How long the step has lasted; once the job has ended: from its submission to its end."""


@dataclass(frozen=True)
class Attempt:
    """One submission to Ray."""

    number: int
    submission_id: str
    instance: str
    status: str
    """Ray's: ``PENDING``, ``RUNNING``, ``STOPPED``, ``SUCCEEDED`` or ``FAILED``."""
    created_at: datetime
    cause: str | None = None
    message: str = ""
    exit_code: int | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ray_job_id: str = ""
    log: str = ""
    """Name of its driver's log."""
    log_complete: bool = False


@dataclass(frozen=True)
class Usage:
    """What the nodes under a job took."""

    node_seconds: float = 0.0
    cpu_hours: float = 0.0
    memory_gib_hours: float = 0.0
    gpu_hours: float = 0.0
    cu_hours: float = 0.0
    peak_nodes: int = 0


@dataclass(frozen=True)
class NameCount:
    """How many tasks or actors of a name were in which state."""

    name: str
    states: Mapping[str, int]


@dataclass(frozen=True)
class WorkSummary:
    """Tasks and actors of a job."""

    tasks: tuple[NameCount, ...] = ()
    actors: tuple[NameCount, ...] = ()
    truncated: bool = False


@dataclass(frozen=True)
class JobLinks:
    dashboard_url: str
    """A link that opens the dashboard of its cluster in a browser; good for an hour."""


@dataclass(frozen=True)
class JobInfo:
    """A job as it was when the server was asked."""

    id: str
    workspace: str
    name: str
    status: str
    """``Submitted``, ``Pending``, ``Running``, ``Succeeded``, ``Failed``, ``Cancelling``, ``Cancelled`` or ``Timeout``."""
    message: str
    """What it waits for, or how it ended."""
    entrypoint: str
    cluster: JobCluster
    creator: str
    submitted_at: datetime
    progress: JobProgress
    cause: str | None = None
    """Why it failed: ``user_error``, ``out_of_memory`` or ``infrastructure``."""
    exit_code: int | None = None
    """Of its entry point."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    run_seconds: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = field(default_factory=Usage)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """In lists, and for viewers, with ``******`` in place of each value."""
    deadline_seconds: float | None = None
    ttl_seconds: float = 0.0
    shutdown_after_finish: bool = True
    logs_complete: bool = False
    settled: bool = False
    """It has ended, and nothing remains to be done for it."""
    cluster_spec: Mapping[str, Any] | None = field(default=None, repr=False)
    """Of the cluster made for it. None in lists, as the next three."""
    working_dir: str | None = None
    summary: WorkSummary | None = None
    links: JobLinks | None = None
    findings: tuple[Finding, ...] | None = None
    """Fields of ``cluster_spec`` that the engine does not honour literally; None in lists."""
    cancelled: bool | None = None
    """In the answer to ``cancel``: False when it had ended already."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class LogFile:
    """One log file, as much of it as is stored by now."""

    owner: str
    """Id of the job, or of the run of a cluster."""
    name: str
    size: int
    modified_at: datetime
    complete: bool = False
    note: str = ""
    """What is missing, if anything is."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
