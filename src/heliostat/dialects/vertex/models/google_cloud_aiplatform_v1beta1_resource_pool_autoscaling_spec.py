"""The model of the schema `GoogleCloudAiplatformV1beta1ResourcePoolAutoscalingSpec`."""

from __future__ import annotations

from pydantic import Field, StrictStr

from .generated_model import GeneratedModel


class GoogleCloudAiplatformV1beta1ResourcePoolAutoscalingSpec(GeneratedModel):
    """The bounds within which a pool grows and shrinks."""

    max_replica_count: StrictStr | None = Field(
        default=None, description="At most so many machines, as decimal text (int64).", alias="maxReplicaCount"
    )
    min_replica_count: StrictStr | None = Field(
        default=None, description="At least so many machines, as decimal text (int64).", alias="minReplicaCount"
    )
