"""The model of the schema `GoogleCloudAiplatformV1beta1RaySpec`."""

from __future__ import annotations

from pydantic import Field, StrictStr

from .generated_model import GeneratedModel
from .google_cloud_aiplatform_v1beta1_nfs_mount import GoogleCloudAiplatformV1beta1NfsMount
from .google_cloud_aiplatform_v1beta1_ray_logs_spec import GoogleCloudAiplatformV1beta1RayLogsSpec
from .google_cloud_aiplatform_v1beta1_ray_metric_spec import GoogleCloudAiplatformV1beta1RayMetricSpec


class GoogleCloudAiplatformV1beta1RaySpec(GeneratedModel):
    """A Ray cluster on the pools of a persistent resource."""

    head_node_resource_pool_id: StrictStr | None = Field(
        default=None,
        description="The pool that has the head node; the first one when absent.",
        alias="headNodeResourcePoolId",
    )
    image_uri: StrictStr | None = Field(
        default=None, description="The image of all pools that `resource_pool_images` does not name.", alias="imageUri"
    )
    ray_metric_spec: GoogleCloudAiplatformV1beta1RayMetricSpec | None = Field(
        default=None, description="Whether metrics are collected.", alias="rayMetricSpec"
    )
    resource_pool_images: dict[str, StrictStr] | None = Field(
        default=None, description="Images by the id of the pool.", alias="resourcePoolImages"
    )
    ray_logs_spec: GoogleCloudAiplatformV1beta1RayLogsSpec | None = Field(
        default=None, description="Whether logs are collected.", alias="rayLogsSpec"
    )
    nfs_mounts: list[GoogleCloudAiplatformV1beta1NfsMount] | None = Field(
        default=None, description="File systems to mount on every node.", alias="nfsMounts"
    )
