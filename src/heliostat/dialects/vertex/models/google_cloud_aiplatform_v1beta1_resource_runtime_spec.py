"""The model of the schema `GoogleCloudAiplatformV1beta1ResourceRuntimeSpec`."""

from __future__ import annotations

from pydantic import Field

from .generated_model import GeneratedModel
from .google_cloud_aiplatform_v1beta1_ray_spec import GoogleCloudAiplatformV1beta1RaySpec
from .google_cloud_aiplatform_v1beta1_service_account_spec import GoogleCloudAiplatformV1beta1ServiceAccountSpec


class GoogleCloudAiplatformV1beta1ResourceRuntimeSpec(GeneratedModel):
    """What runs on the machines, and as whom."""

    ray_spec: GoogleCloudAiplatformV1beta1RaySpec | None = Field(
        default=None, description="A Ray cluster.", alias="raySpec"
    )
    service_account_spec: GoogleCloudAiplatformV1beta1ServiceAccountSpec | None = Field(
        default=None, description="The account that it runs as.", alias="serviceAccountSpec"
    )
