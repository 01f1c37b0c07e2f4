"""Request bodies about jobs."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from heliostat.domain.job_validation import (
    MAX_DEADLINE,
    MAX_ENTRYPOINT_BYTES,
    MAX_FILES,
    MAX_NAME,
    MAX_RETRIES,
    MAX_TAGS,
    MAX_TTL,
)

from .base import Body, Memory, Text
from .bodies import Unnamed
from .secret_bodies import WantedSecrets

Count = Annotated[int, Field(ge=0, le=MAX_RETRIES)]
Amount = Annotated[float, Field(ge=0, lt=2**53)]


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    """``Any``: it is JSON."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"cannot be stored: {error}") from None
    return value


class RetryRules(Body):
    """How often a failed job is tried again: `limit` times in all, and per cause at most as often as given."""

    limit: Count = 0
    user_error: Count | None = None
    out_of_memory: Count | None = None
    infrastructure: Count | None = None


def _rules(value: Any) -> Any:
    """``2`` is short for ``{"limit": 2}`` (``Any``: it is JSON)."""
    return {"limit": value} if isinstance(value, int) and not isinstance(value, bool) else value


Retries = Annotated[
    RetryRules,
    BeforeValidator(_rules),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_RETRIES},
                {"$ref": "#/components/schemas/RetryRules"},
            ]
        }
    ),
]


class EntrypointResources(Body):
    """What the entry point itself takes. Without any of it, it runs on the head."""

    cpus: Amount | None = None
    gpus: Amount | None = None
    memory: Memory | None = None
    custom: dict[Text, Amount] = Field(default_factory=dict, examples=[{"fast_disk": 1}])


class JobCluster(Unnamed):
    """The cluster to make for a job: a definition without a name."""


class NewJob(Body):
    """What to run, and on what."""

    entrypoint: Text = Field(
        description="A shell command.", min_length=1, max_length=MAX_ENTRYPOINT_BYTES, examples=["python main.py"]
    )
    name: Annotated[Text, Field(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00-\x1f]+$")] | None = Field(
        default=None, description="Need not be unique; the job's id when left out."
    )
    cluster: Annotated[Text, Field(min_length=1)] | None = Field(
        default=None, description="Name or id of the cluster to run on. It must be Running or Starting."
    )
    cluster_spec: JobCluster | None = Field(
        default=None,
        description="The cluster to make for the job. With neither this nor `cluster`, one of defaults is made.",
    )
    runtime_env: Annotated[dict[Text, Any], AfterValidator(_storable)] = Field(
        default_factory=dict,
        description="Ray's runtime environment. Kept encrypted; lists and viewers see no values.",
        examples=[{"pip": ["requests"], "env_vars": {"MODE": "test"}}],
    )
    working_dir: Annotated[Text, Field(min_length=1)] | None = Field(
        default=None,
        description="A zip that becomes the working directory: a URL, or `package://<sha256>` of an uploaded package.",
    )
    files: list[Text] = Field(
        default_factory=list,
        max_length=MAX_FILES,
        description="URLs of files that are laid into the working directory.",
    )
    requirements: Annotated[Text, Field(min_length=1)] | None = Field(
        default=None, description="URL of a requirements file whose lines pip installs."
    )
    secrets: WantedSecrets = Field(
        default_factory=list, description="Those of the workspace whose values it gets. They must be there."
    )
    metadata: dict[Text, Text] = Field(default_factory=dict, description="Ray's job metadata.")
    tags: dict[Text, Text] = Field(default_factory=dict, max_length=MAX_TAGS, examples=[{"team": "search"}])
    resources: EntrypointResources = Field(default_factory=EntrypointResources)
    deadline_seconds: Annotated[float, Field(ge=1, le=MAX_DEADLINE.total_seconds())] | None = Field(
        default=None, description="From submission, the making of its cluster included; then the job is stopped."
    )
    retries: Retries = Field(
        default_factory=RetryRules, description="How often a failed job is tried again, in all and by cause."
    )
    shutdown_after_finish: bool = Field(default=True, description="Remove the cluster made for the job after it.")
    ttl_seconds: Annotated[float, Field(ge=0, le=MAX_TTL.total_seconds())] = Field(
        default=0, description="How long the cluster made for the job stays after the end."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "entrypoint": "python -c 'import ray; ray.init()'",
                    "cluster_spec": {"workers": [{"replicas": 2, "cpu": 1, "memory": "1Gi"}]},
                    "deadline_seconds": 3600,
                    "retries": {"limit": 2, "user_error": 0},
                }
            ]
        }
    )
