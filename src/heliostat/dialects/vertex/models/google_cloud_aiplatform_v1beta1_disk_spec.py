"""The model of the schema `GoogleCloudAiplatformV1beta1DiskSpec`."""

from __future__ import annotations

from pydantic import Field, StrictInt, StrictStr

from .generated_model import GeneratedModel


class GoogleCloudAiplatformV1beta1DiskSpec(GeneratedModel):
    """The boot disk of a machine."""

    boot_disk_size_gb: StrictInt | None = Field(default=None, description="Size in GB.", alias="bootDiskSizeGb")
    boot_disk_type: StrictStr | None = Field(
        default=None, description="Such as `pd-ssd` or `pd-standard`.", alias="bootDiskType"
    )
