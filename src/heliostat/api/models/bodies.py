"""Request bodies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SecretStr

from heliostat.domain.mounts import MAX_NFS_MOUNTS
from heliostat.domain.validation import MAX_DESCRIPTION, MAX_GROUPS, MAX_REPLICAS

from .base import Body, Cores, Duration, Memory, Text

Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS)]
IdleSeconds = Annotated[int, Field(ge=1, le=7 * 86400)]


class Shape(Body):
    """What one node gets."""

    cpu: Cores = "1"
    memory: Memory = "2Gi"
    gpu: Text | None = Field(
        default=None, description="Name of a GPU type of the installation.", examples=["ecs.gn6i-c4g1.xlarge"]
    )
    queue: Text = Field(default="root_queue", description="The queue of the workspace that pays for the node.")
    env: dict[Text, Text] = Field(
        default_factory=dict,
        description="Environment variables of Ray's processes.",
        examples=[{"OMP_NUM_THREADS": "1"}],
    )
    ray_start_params: Text = Field(
        default="",
        description="Options of `ray start`, as text or as a JSON object in text.",
        examples=["--num-cpus=0"],
    )
    release: Text | None = Field(default=None, description="The node's own release; the cluster's when left out.")


class Head(Shape):
    """The head node."""


class WorkerGroup(Shape):
    """Worker nodes of one shape."""

    name: Text = Field(default="workers", description="Unique in the cluster.", examples=["workers"])
    replicas: Replicas = Field(default=1, description="How many; with autoscaling, how many to begin with.")
    min_replicas: Replicas | None = Field(default=None, description="Least number; needed with autoscaling.")
    max_replicas: Replicas | None = Field(default=None, description="Greatest number; needed with autoscaling.")
    type: Literal["CPU", "GPU"] = "CPU"
    idle_timeout_seconds: IdleSeconds | None = Field(
        default=None, description="The group's own idle time with autoscaling; the cluster's when left out."
    )


class Autoscaling(Body):
    enabled: bool = False
    idle_timeout_seconds: IdleSeconds | None = Field(
        default=None, description="How long a worker must be idle before it goes; 60 when left out."
    )
    upscaling: Literal["Default", "Conservative", "Aggressive"] = Field(
        default="Default",
        description="How eagerly workers are asked for; `Conservative`: at most as many at once as there are.",
    )


class FaultTolerance(Body):
    """Where the head keeps its state, so that a new head can take over."""

    enabled: bool = False
    redis_url: Text = Field(default="", examples=["redis://10.0.0.5:6379"])
    redis_username: Text = ""
    redis_password: SecretStr | None = Field(
        default=None, description="Write-only; kept by an update that does not name it."
    )


class NfsMount(Body):
    """A network file system that nodes shall see, as far as the engine can do that; see the cluster's findings."""

    server: Text = Field(description="Host name or address.", examples=["10.0.0.2"])
    path: Text = Field(description="Absolute path of the export on the server.", examples=["/exports/data"])
    mount_point: Text = Field(description="Where nodes see it, below `/mnt/nfs`.", examples=["data"])


class Unnamed(Body):
    """What a cluster shall be, whatever its name."""

    description: Text = Field(default="", max_length=MAX_DESCRIPTION)
    release: Text | None = Field(
        default=None,
        description="Name, display text or Ray version of a release; the installation's default when left out.",
        examples=["ray-1.3.1", "2.60.0"],
    )
    head: Head = Field(default_factory=Head)
    workers: list[WorkerGroup] = Field(default_factory=list, max_length=MAX_GROUPS)
    autoscaling: Autoscaling = Field(default_factory=Autoscaling)
    idle_stop_after: Duration = Field(
        default=None, description="It is stopped when nothing has gone on on it for this long; never when left out."
    )
    max_lifetime: Duration = Field(
        default=None, description="It is stopped when this long has passed since its start; never when left out."
    )
    priority: int = Field(
        default=0, ge=-1000, le=1000, description="Of the starts that wait for a queue, those with more go first."
    )
    fault_tolerance: FaultTolerance | None = None
    network_service: Text | None = None
    volumes: list[Text] = Field(default_factory=list, description="Ids of volumes that the operator has configured.")
    nfs_mounts: list[NfsMount] = Field(default_factory=list, max_length=MAX_NFS_MOUNTS)
    metrics: bool = Field(
        default=True, description="Its nodes export figures, and Prometheus is told where (`GET /v1/metrics/targets`)."
    )
    collect_logs: bool = Field(
        default=True, description="Logs of its nodes and jobs are kept in the log storage, to be read when it is gone."
    )
    labels: dict[Text, Text] = Field(default_factory=dict, examples=[{"team": "search"}])


class Definition(Unnamed):
    """What a cluster shall be."""

    name: Text = Field(
        description="Unique in the workspace.",
        examples=["demo"],
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f]+$",
    )


class NewCluster(Definition):
    """A definition, and whether to start the cluster at once."""

    start: bool = Field(default=True, description="Start it at once.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "demo",
                    "head": {"cpu": 1, "memory": "2Gi"},
                    "workers": [{"replicas": 2, "cpu": 1, "memory": "1Gi"}],
                }
            ]
        }
    )


class StopRequest(Body):
    instance: Text | None = Field(default=None, description="Stop only this run; Conflict when another one is present.")


class RestartRequest(Body):
    rolling: bool = Field(default=False, description="Keep the run, and replace its nodes one after the other.")
    instance: Text | None = Field(default=None, description="Restart only this run; Conflict when another is present.")


class PlanRequest(Body):
    """Either of the two."""

    definition: Definition | None = Field(default=None, description="The whole definition, as for PUT.")
    patch: dict[str, Any] | None = Field(default=None, description="A JSON merge patch, as for PATCH.")


class NewWorkspace(Body):
    name: Text = Field(min_length=1, max_length=64, examples=["research"])


class NewKeyRequest(Body):
    kind: Literal["token", "access_key", "service_account_key"] = Field(
        default="token",
        description="`token`: a bearer token for this API. `access_key`: an id and a secret for signatures. "
        "`service_account_key`: the public half of a key for Google's clients.",
    )
    principal: Annotated[Text, Field(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="Whom it is for: yourself when left out. Admins may name others, who are made when new.",
    )
    description: Text = Field(default="", max_length=MAX_DESCRIPTION)
    lifetime_seconds: Annotated[int, Field(ge=1, le=3650 * 86400)] | None = Field(
        default=None, description="It expires after so many seconds; never when left out."
    )
    public_key: Annotated[Text, Field(min_length=1, max_length=8192)] | None = Field(
        default=None,
        description="For `service_account_key` alone: an RSA key of at least 2048 bits, as `-----BEGIN PUBLIC KEY-----...`. "
        "Keep the private key to yourself.",
    )
    workspace: Annotated[Text, Field(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="For `service_account_key` alone: the project that its file names, as id, name or number of a workspace; "
        "may be left out by those who have a role in one only.",
    )


class RoleGrant(Body):
    role: Literal["viewer", "editor", "owner"]
