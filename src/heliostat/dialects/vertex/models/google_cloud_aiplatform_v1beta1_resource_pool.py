"""The model of the schema `GoogleCloudAiplatformV1beta1ResourcePool`."""

from __future__ import annotations

from pydantic import Field, StrictStr

from .generated_model import GeneratedModel
from .google_cloud_aiplatform_v1beta1_disk_spec import GoogleCloudAiplatformV1beta1DiskSpec
from .google_cloud_aiplatform_v1beta1_machine_spec import GoogleCloudAiplatformV1beta1MachineSpec
from .google_cloud_aiplatform_v1beta1_resource_pool_autoscaling_spec import (
    GoogleCloudAiplatformV1beta1ResourcePoolAutoscalingSpec,
)


class GoogleCloudAiplatformV1beta1ResourcePool(GeneratedModel):
    """A group of equal machines."""

    autoscaling_spec: GoogleCloudAiplatformV1beta1ResourcePoolAutoscalingSpec | None = Field(
        default=None, description="The bounds, when the pool grows and shrinks by itself.", alias="autoscalingSpec"
    )
    disk_spec: GoogleCloudAiplatformV1beta1DiskSpec | None = Field(
        default=None, description="The boot disk of each machine.", alias="diskSpec"
    )
    id: StrictStr | None = Field(
        default=None, description="Unique among the pools of a resource; made up by the server when absent."
    )
    machine_spec: GoogleCloudAiplatformV1beta1MachineSpec | None = Field(
        default=None, description="The kind of machine.", alias="machineSpec"
    )
    replica_count: StrictStr | None = Field(
        default=None, description="How many machines, as decimal text (int64).", alias="replicaCount"
    )
    used_replica_count: StrictStr | None = Field(
        default=None,
        description="Output only. How many machines are in use, as decimal text (int64).",
        alias="usedReplicaCount",
    )
