"""The model of the schema `GoogleCloudAiplatformV1beta1DnsPeeringConfig`."""

from __future__ import annotations

from pydantic import Field, StrictStr

from .generated_model import GeneratedModel


class GoogleCloudAiplatformV1beta1DnsPeeringConfig(GeneratedModel):
    """A domain that is resolved in a network of the user."""

    domain: StrictStr | None = Field(default=None, description="The domain's suffix, ended by a dot.")
    target_network: StrictStr | None = Field(default=None, description="The network's name.", alias="targetNetwork")
    target_project: StrictStr | None = Field(
        default=None, description="The project that has the network.", alias="targetProject"
    )
