"""The model of the schema `GoogleCloudAiplatformV1beta1ListPersistentResourcesResponse`."""

from __future__ import annotations

from pydantic import Field, StrictStr

from .generated_model import GeneratedModel
from .google_cloud_aiplatform_v1beta1_persistent_resource import GoogleCloudAiplatformV1beta1PersistentResource


class GoogleCloudAiplatformV1beta1ListPersistentResourcesResponse(GeneratedModel):
    """One page of a listing."""

    next_page_token: StrictStr | None = Field(
        default=None, description="Gets the next page; absent on the last one.", alias="nextPageToken"
    )
    persistent_resources: list[GoogleCloudAiplatformV1beta1PersistentResource] | None = Field(
        default=None, description="The resources of this page.", alias="persistentResources"
    )
