"""What answers look like, for the OpenAPI document. ``documents`` writes them; a test compares the two."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from .base import Answer


class Problem(Answer):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str = Field(description="Stable word for programs.", examples=["already_exists"])
    detail: str = Field(description="For people: what is wrong and what to do.")
    path: str | None = Field(description="The field that is wrong.", examples=["workers[1].min_replicas"])
    retry: Literal["never", "later"]
    request_id: str


class ShapeListed(Answer):
    cpu: str = Field(examples=["1"])
    memory: str = Field(examples=["2Gi"])
    gpu: str | None
    queue: str
    release: str | None


class ShapeAnswer(ShapeListed):
    """Viewers see `******` in place of each value in `env` and of `ray_start_params`."""

    env: dict[str, str]
    ray_start_params: str


class WorkerGroupListed(ShapeListed):
    name: str
    replicas: int
    min_replicas: int | None
    max_replicas: int | None
    type: str
    idle_timeout_seconds: int | None


class WorkerGroupAnswer(WorkerGroupListed):
    env: dict[str, str]
    ray_start_params: str


class AutoscalingAnswer(Answer):
    enabled: bool
    idle_timeout_seconds: int | None
    upscaling: Literal["Default", "Conservative", "Aggressive"]


class FaultToleranceAnswer(Answer):
    enabled: bool
    redis_url: str = Field(description="`******` for viewers.")
    redis_username: str


class NfsMountAnswer(Answer):
    server: str
    path: str
    mount_point: str


class SpecListed(Answer):
    """A definition without what may hold secrets."""

    name: str
    description: str
    release: str
    head: ShapeListed
    workers: list[WorkerGroupListed]
    autoscaling: AutoscalingAnswer
    idle_stop_after: str | None = Field(examples=["30m"])
    max_lifetime: str | None = Field(examples=["8h"])
    priority: int
    network_service: str | None
    volumes: list[str]
    nfs_mounts: list[NfsMountAnswer]
    metrics: bool
    collect_logs: bool
    labels: dict[str, str]


class UnnamedSpecAnswer(Answer):
    """A definition of a cluster, whatever its name."""

    description: str
    release: str
    head: ShapeAnswer
    workers: list[WorkerGroupAnswer]
    autoscaling: AutoscalingAnswer
    idle_stop_after: str | None = Field(examples=["30m"])
    max_lifetime: str | None = Field(examples=["8h"])
    priority: int
    fault_tolerance: FaultToleranceAnswer | None
    network_service: str | None
    volumes: list[str]
    nfs_mounts: list[NfsMountAnswer]
    metrics: bool
    collect_logs: bool
    labels: dict[str, str]


class SpecAnswer(UnnamedSpecAnswer):
    """A definition in the form that create takes."""

    name: str


class StepAnswer(Answer):
    step: Literal["queued", "environment", "head", "workers", "up", "failed"]
    started_at: datetime
    ended_at: datetime | None
    elapsed_seconds: float
    detail: str


class GroupCountAnswer(Answer):
    """The nodes of a worker group now."""

    name: str
    wanted: int = Field(description="The definition's number, or what the autoscaler has asked for.")
    alive: int
    starting: int = Field(description="Also those that wait for room.")
    draining: int = Field(description="Finish what they run, and go.")
    min_replicas: int | None = Field(description="The autoscaler's bounds; null without it.")
    max_replicas: int | None


class WantAnswer(Answer):
    resources: dict[str, float]
    count: int
    source: str


class DemandAnswer(Answer):
    """Work that Ray cannot place at present."""

    pending: list[WantAnswer] = Field(description="Waits for workers.")
    infeasible: list[WantAnswer] = Field(description="Fits no node of any group.")
    problem: str


class ActivityAnswer(Answer):
    reasons: list[str] = Field(description="What goes on, for people; empty when nothing does.")
    idle_since: datetime | None


class InstanceAnswer(Answer):
    """The present run."""

    id: str
    generation: int = Field(description="Of the definition that it was started with.")
    started_at: datetime
    running_at: datetime | None
    nodes_up: int
    nodes_wanted: int
    steps: list[StepAnswer]
    groups: list[GroupCountAnswer]
    waiting_work: list[str] = Field(description="What waits for workers or fits none, in words.")
    demand: DemandAnswer | None = Field(description="What Ray's autoscaler reports; null where there is none.")
    activity: ActivityAnswer | None = Field(description="Whether anything goes on; null before the first look.")
    renewing: int = Field(description="Nodes that a rolling restart has still to replace.")


class EndpointsAnswer(Answer):
    """The addresses of a running cluster."""

    dashboard_url: str = Field(description="A link for a browser, good for an hour.")
    job_url: str = Field(description="Address of the Jobs API.")
    ray_url: str | None = Field(
        description="For `ray.init`, with the submit token; null while the head's client server does not answer."
    )
    submit_token: str | None = Field(description="For the header `ray-token`; null for viewers.")


class FindingAnswer(Answer):
    """A field that the engine does not honour literally."""

    path: str
    verdict: Literal["mapped", "ignored", "refused"]
    message: str


class _ClusterBase(Answer):
    id: str = Field(examples=["ray-0123456789abcdef"])
    workspace: str
    name: str
    description: str
    state: Literal["Stopped", "Starting", "Running", "Stopping", "Error"]
    message: str = Field(description="Why it is in its state; `ok` when all is well.")
    wanted: Literal["running", "stopped", "deleted"]
    generation: int
    modified: bool = Field(description="What runs is older than what is stored; a restart applies the change.")
    release: str
    creator: str
    modifier: str
    created_at: datetime
    modified_at: datetime
    started_at: datetime | None
    job: str | None = Field(description="The job that it was made for and goes with.")
    instance: InstanceAnswer | None


class ClusterListed(_ClusterBase):
    """A cluster in a list: without its addresses, findings, and what may hold secrets."""

    spec: SpecListed


class ClusterAnswer(_ClusterBase):
    """A cluster."""

    spec: SpecAnswer
    endpoints: EndpointsAnswer | None = Field(description="Only while it is Running.")
    findings: list[FindingAnswer]


class FieldChangeAnswer(Answer):
    """A field that would be another one. What may be a secret is `******`."""

    path: str = Field(examples=["workers[big].replicas"])
    before: str | int | bool | None
    after: str | int | bool | None
    effect: Literal["in_place", "new_nodes", "restart", "next_start", "cosmetic"]
    note: str


class RefusalAnswer(Answer):
    path: str
    message: str


class PlanAnswer(Answer):
    """What a change would do."""

    action: Literal["create", "change", "nothing"]
    cluster: str | None = Field(description="Null when it would be made.")
    name: str
    state: Literal["Stopped", "Starting", "Running", "Stopping", "Error"] | None
    generation: int | None = Field(description="For `expected_generation` of the change itself.")
    changes: list[FieldChangeAnswer]
    pending: list[FieldChangeAnswer] = Field(description="Stored before, and waiting for a restart.")
    restart: bool = Field(description="A restart would be needed for all to take effect.")
    beyond_rolling: list[FieldChangeAnswer] = Field(description="What a rolling restart could not bring.")
    refused: list[RefusalAnswer] = Field(description="Why the change would be refused; then nothing is changed.")
    findings: list[FindingAnswer]


class ClusterPage(Answer):
    clusters: list[ClusterListed]
    next_page_token: str | None = Field(description="For `page_token` of the next call; null at the end.")


class NodeAnswer(Answer):
    node: str
    kind: Literal["head", "worker"]
    group: str
    state: Literal["pending", "starting", "alive", "draining", "exited"]
    created_at: datetime
    started_at: datetime | None
    ray_node_id: str
    pid: int | None
    reason: str
    message: str
    exit_code: int | None
    restarts: int


class NodeList(Answer):
    instance: str | None = Field(description="The run that they belong to; null when there is none.")
    nodes: list[NodeAnswer]


class EventAnswer(Answer):
    id: int
    at: datetime
    actor: str
    reason: str
    message: str
    warning: bool
    instance: str | None
    job: str | None = Field(description="The job that it is about, if it is.")


class EventList(Answer):
    events: list[EventAnswer]


class ExplanationAnswer(Answer):
    """Why a cluster or a job is in its state."""

    summary: str
    evidence: list[str]
    remedy: str


class ReleaseAnswer(Answer):
    name: str = Field(examples=["ray-1.3.1"])
    display: str = Field(examples=["ray-1.3.1 (Ray 2.60.0, Python 3.11)"])
    ray: str
    python: str
    stable: bool
    default: bool
    packages: list[str]
    environment: Literal["ready", "building", "absent", "failed"]
    detail: str
    problem: str | None = Field(description="Why it cannot be used here, and the remedy.")


class ReleaseList(Answer):
    releases: list[ReleaseAnswer]


class WorkspaceAnswer(Answer):
    id: str = Field(examples=["w-0123456789abcdef"])
    name: str
    created_at: datetime
    role: Literal["viewer", "editor", "owner"] = Field(description="Your own.")
    tags: dict[str, str]


class WorkspacePage(Answer):
    workspaces: list[WorkspaceAnswer]
    next_page_token: str | None


class NetworkServiceAnswer(Answer):
    id: str
    name: str
    vpc_id: str
    vswitch_ids: list[str]


class NetworkServiceList(Answer):
    network_services: list[NetworkServiceAnswer]


class KeyAnswer(Answer):
    id: str
    kind: Literal["token", "access_key", "service_account_key"]
    principal: str = Field(description="Id of the principal that it belongs to.")
    description: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyList(Answer):
    keys: list[KeyAnswer]


class VertexSetupAnswer(Answer):
    """What Google's clients must be told to work with this server and one workspace, which they call a project."""

    project_id: str = Field(description="The workspace's name, if a project can be called so, else its id.")
    project_number: str = Field(examples=["123456789012"])
    location: str = Field(examples=["us-central1"])
    api_endpoint: str = Field(description="Host and port with TLS.", examples=["localhost:8601"])
    universe_domain: str = Field(examples=["localhost:8601"])
    token_uri: str
    auth_uri: str
    ca_certificate: str | None = Field(
        description="PEM of the server's own authority; null when the operator gave the certificate."
    )


class KeyFileAnswer(Answer):
    """A service account's key file but for `private_key`, which never leaves the machine that it was made on."""

    type: Literal["service_account"]
    project_id: str
    private_key_id: str
    client_email: str
    client_id: str
    auth_uri: str
    token_uri: str
    universe_domain: str


class GoogleKeyAnswer(Answer):
    key_file: KeyFileAnswer
    setup: VertexSetupAnswer


class NewKeyAnswer(Answer):
    key: KeyAnswer
    secret: str | None = Field(
        description="The token, or the access key's secret. Shown this once; null for a service account's key."
    )
    google: GoogleKeyAnswer | None = Field(description="Of a service account's key.")


class MeAnswer(Answer):
    id: str
    name: str
    admin: bool
    workspaces: list[WorkspaceAnswer]


class MetricsLabels(Answer):
    """What Prometheus puts on every figure of a target."""

    heliostat_workspace: str
    heliostat_cluster: str = Field(description="Id.")
    heliostat_cluster_name: str
    heliostat_instance: str = Field(description="The run.")
    heliostat_node: str
    heliostat_group: str
    heliostat_kind: Literal["head", "worker"]
    heliostat_component: Literal["node", "dashboard", "autoscaler"]
    ray_io_cluster: str = Field(description="The name once more, as Ray's own Grafana dashboards want it.")


class MetricsTargets(Answer):
    """A group of targets of Prometheus' HTTP service discovery."""

    targets: list[str] = Field(examples=[["127.0.0.1:20001"]])
    labels: MetricsLabels


class VersionAnswer(Answer):
    version: str
    api: str = Field(examples=["v1"])


class Health(Answer):
    status: Literal["ok"]
