"""The model of the schema `GoogleCloudAiplatformV1beta1MachineSpec`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictInt, StrictStr

from .enumerations import AcceleratorType
from .generated_model import GeneratedModel
from .google_cloud_aiplatform_v1beta1_reservation_affinity import GoogleCloudAiplatformV1beta1ReservationAffinity


class GoogleCloudAiplatformV1beta1MachineSpec(GeneratedModel):
    """A kind of machine."""

    accelerator_count: StrictInt | None = Field(
        default=None, description="How many accelerators each machine has.", alias="acceleratorCount"
    )
    accelerator_type: Annotated[StrictStr, AfterValidator(AcceleratorType.check)] | None = Field(
        default=None, description="One of `AcceleratorType`.", alias="acceleratorType"
    )
    gpu_partition_size: StrictStr | None = Field(
        default=None, description="The part of a GPU to use, such as `1g.10gb`.", alias="gpuPartitionSize"
    )
    machine_type: StrictStr | None = Field(
        default=None, description="A machine type's name, such as `n1-standard-4`.", alias="machineType"
    )
    min_gpu_driver_version: StrictStr | None = Field(
        default=None, description="The oldest GPU driver that will do.", alias="minGpuDriverVersion"
    )
    multihost_gpu_node_count: StrictInt | None = Field(
        default=None, description="How many machines share one job of several hosts.", alias="multihostGpuNodeCount"
    )
    reservation_affinity: GoogleCloudAiplatformV1beta1ReservationAffinity | None = Field(
        default=None, description="Whether reserved machines are used.", alias="reservationAffinity"
    )
    tpu_topology: StrictStr | None = Field(
        default=None, description="The shape of a TPU slice, such as `2x2x1`.", alias="tpuTopology"
    )
