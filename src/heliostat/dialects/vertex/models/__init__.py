"""Client models of persistent resources and Ray specs, shaped as an OpenAPI generator makes them.

They are for people who speak the REST API without the vendor's SDK: build a body with attributes, get its JSON, read an
answer back (Vertex contract, section 8). Nothing here needs the server or anything else of Heliostat; pydantic is all. The
behaviour that all models share is in :mod:`.generated_model`; the names that enumerations have are in :mod:`.enumerations`.
"""

from .enumerations import AcceleratorType, PersistentResourceState, ReservationAffinityType
from .google_cloud_aiplatform_v1beta1_disk_spec import GoogleCloudAiplatformV1beta1DiskSpec
from .google_cloud_aiplatform_v1beta1_dns_peering_config import GoogleCloudAiplatformV1beta1DnsPeeringConfig
from .google_cloud_aiplatform_v1beta1_encryption_spec import GoogleCloudAiplatformV1beta1EncryptionSpec
from .google_cloud_aiplatform_v1beta1_list_persistent_resources_response import (
    GoogleCloudAiplatformV1beta1ListPersistentResourcesResponse,
)
from .google_cloud_aiplatform_v1beta1_machine_spec import GoogleCloudAiplatformV1beta1MachineSpec
from .google_cloud_aiplatform_v1beta1_nfs_mount import GoogleCloudAiplatformV1beta1NfsMount
from .google_cloud_aiplatform_v1beta1_persistent_resource import GoogleCloudAiplatformV1beta1PersistentResource
from .google_cloud_aiplatform_v1beta1_psc_interface_config import GoogleCloudAiplatformV1beta1PscInterfaceConfig
from .google_cloud_aiplatform_v1beta1_ray_logs_spec import GoogleCloudAiplatformV1beta1RayLogsSpec
from .google_cloud_aiplatform_v1beta1_ray_metric_spec import GoogleCloudAiplatformV1beta1RayMetricSpec
from .google_cloud_aiplatform_v1beta1_ray_spec import GoogleCloudAiplatformV1beta1RaySpec
from .google_cloud_aiplatform_v1beta1_reservation_affinity import GoogleCloudAiplatformV1beta1ReservationAffinity
from .google_cloud_aiplatform_v1beta1_resource_pool import GoogleCloudAiplatformV1beta1ResourcePool
from .google_cloud_aiplatform_v1beta1_resource_pool_autoscaling_spec import (
    GoogleCloudAiplatformV1beta1ResourcePoolAutoscalingSpec,
)
from .google_cloud_aiplatform_v1beta1_resource_runtime import GoogleCloudAiplatformV1beta1ResourceRuntime
from .google_cloud_aiplatform_v1beta1_resource_runtime_spec import GoogleCloudAiplatformV1beta1ResourceRuntimeSpec
from .google_cloud_aiplatform_v1beta1_service_account_spec import GoogleCloudAiplatformV1beta1ServiceAccountSpec
from .google_rpc_status import GoogleRpcStatus

__all__ = [
    "AcceleratorType",
    "GoogleCloudAiplatformV1beta1DiskSpec",
    "GoogleCloudAiplatformV1beta1DnsPeeringConfig",
    "GoogleCloudAiplatformV1beta1EncryptionSpec",
    "GoogleCloudAiplatformV1beta1ListPersistentResourcesResponse",
    "GoogleCloudAiplatformV1beta1MachineSpec",
    "GoogleCloudAiplatformV1beta1NfsMount",
    "GoogleCloudAiplatformV1beta1PersistentResource",
    "GoogleCloudAiplatformV1beta1PscInterfaceConfig",
    "GoogleCloudAiplatformV1beta1RayLogsSpec",
    "GoogleCloudAiplatformV1beta1RayMetricSpec",
    "GoogleCloudAiplatformV1beta1RaySpec",
    "GoogleCloudAiplatformV1beta1ReservationAffinity",
    "GoogleCloudAiplatformV1beta1ResourcePool",
    "GoogleCloudAiplatformV1beta1ResourcePoolAutoscalingSpec",
    "GoogleCloudAiplatformV1beta1ResourceRuntime",
    "GoogleCloudAiplatformV1beta1ResourceRuntimeSpec",
    "GoogleCloudAiplatformV1beta1ServiceAccountSpec",
    "GoogleRpcStatus",
    "PersistentResourceState",
    "ReservationAffinityType",
]
