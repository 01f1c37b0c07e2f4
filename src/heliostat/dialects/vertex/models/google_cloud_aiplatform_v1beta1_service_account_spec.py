"""The model of the schema `GoogleCloudAiplatformV1beta1ServiceAccountSpec`."""

from __future__ import annotations

from pydantic import Field, StrictBool, StrictStr

from .generated_model import GeneratedModel


class GoogleCloudAiplatformV1beta1ServiceAccountSpec(GeneratedModel):
    """The service account that workloads run as."""

    enable_custom_service_account: StrictBool | None = Field(
        default=None, description="Whether an account of the user's choice is used.", alias="enableCustomServiceAccount"
    )
    service_account: StrictStr | None = Field(
        default=None, description="The account's email address.", alias="serviceAccount"
    )
