"""The model of the schema `GoogleCloudAiplatformV1beta1PersistentResource`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool, StrictStr

from .enumerations import PersistentResourceState
from .generated_model import GeneratedModel
from .google_cloud_aiplatform_v1beta1_encryption_spec import GoogleCloudAiplatformV1beta1EncryptionSpec
from .google_cloud_aiplatform_v1beta1_psc_interface_config import GoogleCloudAiplatformV1beta1PscInterfaceConfig
from .google_cloud_aiplatform_v1beta1_resource_pool import GoogleCloudAiplatformV1beta1ResourcePool
from .google_cloud_aiplatform_v1beta1_resource_runtime import GoogleCloudAiplatformV1beta1ResourceRuntime
from .google_cloud_aiplatform_v1beta1_resource_runtime_spec import GoogleCloudAiplatformV1beta1ResourceRuntimeSpec
from .google_rpc_status import GoogleRpcStatus


class GoogleCloudAiplatformV1beta1PersistentResource(GeneratedModel):
    """A persistent resource: the machines of one Ray cluster, and what runs on them."""

    create_time: StrictStr | None = Field(
        default=None, description="Output only. When it was made (RFC 3339).", alias="createTime"
    )
    display_name: StrictStr | None = Field(
        default=None, description="A name for people, at most 128 characters.", alias="displayName"
    )
    encryption_spec: GoogleCloudAiplatformV1beta1EncryptionSpec | None = Field(
        default=None, description="A customer's key for the disks.", alias="encryptionSpec"
    )
    error: GoogleRpcStatus | None = Field(
        default=None, description="Output only. Why it is in the states ERROR or STOPPING."
    )
    labels: dict[str, StrictStr] | None = Field(default=None, description="Labels of the user.")
    name: StrictStr | None = Field(
        default=None,
        description="`projects/{project}/locations/{location}/persistentResources/{id}`; given by the server.",
    )
    network: StrictStr | None = Field(default=None, description="`projects/{number}/global/networks/{name}`.")
    psc_interface_config: GoogleCloudAiplatformV1beta1PscInterfaceConfig | None = Field(
        default=None, description="Private connection to a network attachment.", alias="pscInterfaceConfig"
    )
    reserved_ip_ranges: list[StrictStr] | None = Field(
        default=None, description="Names of the address ranges to take addresses from.", alias="reservedIpRanges"
    )
    resource_pools: list[GoogleCloudAiplatformV1beta1ResourcePool] | None = Field(
        default=None, description="The groups of equal machines; the first one holds the head.", alias="resourcePools"
    )
    resource_runtime: GoogleCloudAiplatformV1beta1ResourceRuntime | None = Field(
        default=None, description="Output only. How to reach what runs.", alias="resourceRuntime"
    )
    resource_runtime_spec: GoogleCloudAiplatformV1beta1ResourceRuntimeSpec | None = Field(
        default=None, description="What is to run on the machines.", alias="resourceRuntimeSpec"
    )
    satisfies_pzi: StrictBool | None = Field(default=None, description="Output only.", alias="satisfiesPzi")
    satisfies_pzs: StrictBool | None = Field(default=None, description="Output only.", alias="satisfiesPzs")
    start_time: StrictStr | None = Field(
        default=None, description="Output only. When it was RUNNING for the first time (RFC 3339).", alias="startTime"
    )
    state: Annotated[StrictStr, AfterValidator(PersistentResourceState.check)] | None = Field(
        default=None, description="Output only. One of `PersistentResourceState`."
    )
    update_time: StrictStr | None = Field(
        default=None, description="Output only. When it was last changed (RFC 3339).", alias="updateTime"
    )
