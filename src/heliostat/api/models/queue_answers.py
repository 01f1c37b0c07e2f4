"""What answers about queues and usage look like, for the OpenAPI document; ``queue_documents`` writes them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from .base import Answer


class AmountAnswer(Answer):
    """Capacity; null = not limited, or not guaranteed."""

    cpu: str | None = Field(examples=["16"])
    memory: str | None = Field(examples=["64Gi"])
    gpu: int | None


class QueueAnswer(Answer):
    workspace: str
    name: str
    description: str
    created_at: datetime
    minimum: AmountAnswer = Field(description="Guaranteed.")
    maximum: AmountAnswer
    priority: int
    backfill: bool
    held: AmountAnswer = Field(description="What runs hold of it now.")
    used: AmountAnswer = Field(
        description="What counts against its maximum: of `root_queue`, what is held of all queues; else the same as `held`."
    )
    waiting: int = Field(description="Runs of clusters that wait for nodes charged to it.")
    notes: list[str] = Field(description="What is allowed and may surprise, such as a maximum below what is held.")


class QueueList(Answer):
    queues: list[QueueAnswer]


class HolderAnswer(Answer):
    """A run that holds nodes of a queue."""

    cluster: str = Field(description="Id of the cluster.")
    name: str
    job: str | None = Field(description="The job that the cluster was made for.")
    instance: str
    nodes: int
    held: AmountAnswer


class QueueDetail(QueueAnswer):
    """A queue with those that hold most of it, largest first."""

    holders: list[HolderAnswer]


class HoursAnswer(Answer):
    """Hours of wall-clock time: 2 cores for half an hour are one CPU-hour."""

    node_hours: float
    cpu_hours: float
    memory_gib_hours: float
    gpu_hours: float
    cu_hours: float = Field(description="Per node, a unit is one core or 4 GiB, whichever is more of it.")


class UsageSums(Answer):
    starting: HoursAnswer = Field(description="Before the cluster was up.")
    useful: HoursAnswer = Field(description="Something went on on the cluster.")
    idle: HoursAnswer
    total: HoursAnswer


class UsageLineAnswer(UsageSums):
    """Usage of what it names; null where it was not asked for."""

    queue: str | None
    cluster: str | None = Field(description="Id.")
    cluster_name: str | None = Field(description="While the cluster is known.")
    principal: str | None = Field(description="Id of who made the cluster.")
    principal_name: str | None
    hour: datetime | None


class UsageAnswer(Answer):
    since: datetime = Field(description="Beginning of the first hour that is counted; hours are counted as wholes.")
    until: datetime
    by: list[str]
    rows: list[UsageLineAnswer]
    total: UsageSums
