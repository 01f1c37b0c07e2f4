"""Request bodies about queues."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from heliostat.domain.queue_rules import MAX_GPUS, MAX_PRIORITY
from heliostat.domain.validation import MAX_DESCRIPTION

from .base import Body, Cores, Memory, Text

Priority = Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)]
_PRIORITY = "Queues with a higher one go first where the whole workspace is short of something."
_BACKFILL = "Whether a start that fits may pass one that waits for more, for a while."


class AmountBody(Body):
    """Capacity. What is left out or null is not limited (`maximum`) or not guaranteed (`minimum`)."""

    cpu: Cores | None = None
    memory: Memory | None = None
    gpu: Annotated[int, Field(ge=0, le=MAX_GPUS)] | None = None


class NewQueue(Body):
    """A share of the workspace's capacity."""

    name: Text = Field(
        description="Unique in the workspace.", examples=["research"], min_length=1, max_length=63,
        pattern=r"^[A-Za-z0-9_-]+$",
    )  # fmt: skip
    description: Text = Field(default="", max_length=MAX_DESCRIPTION)
    minimum: AmountBody = Field(default_factory=AmountBody, description="Guaranteed: kept free for it.")
    maximum: AmountBody = Field(default_factory=AmountBody, description="What it may hold at most.")
    priority: Priority = Field(default=0, description=_PRIORITY)
    backfill: bool = Field(default=True, description=_BACKFILL)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "research",
                    "minimum": {"cpu": 4, "memory": "16Gi"},
                    "maximum": {"cpu": 16, "memory": "64Gi", "gpu": 2},
                    "priority": 10,
                }
            ]
        }
    )


class QueueChange(Body):
    """What to change: absent fields stay, null puts a field back to its default, amounts are merged (RFC 7396)."""

    description: Annotated[Text, Field(max_length=MAX_DESCRIPTION)] | None = None
    minimum: AmountBody | None = None
    maximum: AmountBody | None = None
    priority: Priority | None = Field(default=None, description=_PRIORITY)
    backfill: bool | None = Field(default=None, description=_BACKFILL)

    model_config = ConfigDict(json_schema_extra={"examples": [{"maximum": {"cpu": 32, "gpu": None}}]})
