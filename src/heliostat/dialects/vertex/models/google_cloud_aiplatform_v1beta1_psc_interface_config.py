"""The model of the schema `GoogleCloudAiplatformV1beta1PscInterfaceConfig`."""

from __future__ import annotations

from pydantic import Field, StrictStr

from .generated_model import GeneratedModel
from .google_cloud_aiplatform_v1beta1_dns_peering_config import GoogleCloudAiplatformV1beta1DnsPeeringConfig


class GoogleCloudAiplatformV1beta1PscInterfaceConfig(GeneratedModel):
    """A private connection to the user's network."""

    dns_peering_configs: list[GoogleCloudAiplatformV1beta1DnsPeeringConfig] | None = Field(
        default=None, description="Domains that are resolved in the user's networks.", alias="dnsPeeringConfigs"
    )
    network_attachment: StrictStr | None = Field(
        default=None, description="The full name of the network attachment.", alias="networkAttachment"
    )
