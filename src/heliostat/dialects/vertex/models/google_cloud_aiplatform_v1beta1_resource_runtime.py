"""The model of the schema `GoogleCloudAiplatformV1beta1ResourceRuntime`."""

from __future__ import annotations

from pydantic import Field, StrictStr

from .generated_model import GeneratedModel


class GoogleCloudAiplatformV1beta1ResourceRuntime(GeneratedModel):
    """How what runs on a persistent resource is reached. Output only."""

    access_uris: dict[str, StrictStr] | None = Field(
        default=None, description="Addresses by their kind, such as `RAY_DASHBOARD_URI`.", alias="accessUris"
    )
    notebook_runtime_template: StrictStr | None = Field(
        default=None, description="The notebook template made for the resource.", alias="notebookRuntimeTemplate"
    )
