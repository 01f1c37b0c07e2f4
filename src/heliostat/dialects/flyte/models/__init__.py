"""The model classes of Flyte's Ray plugin, for programs that have neither flytekit nor this server.

They write the same bytes as the plugin's and show themselves the same way (Flyte contract, section 2); flyteidl and protobuf
are all they need. Reading is better than there: nothing that the message says gets lost, apart from what a constructor
always puts right (``min_replicas`` and ``max_replicas`` enclose ``replicas``). Who must read exactly as the plugin does uses
``with upstream_quirks():``, or sets :data:`STRICT_UPSTREAM_QUIRKS` for the whole process.

Wherever one of these classes is taken, so is flytekit's: whatever has ``to_flyte_idl()``. Nothing is checked before
``to_flyte_idl()``, where protobuf refuses what does not fit.
"""

from .autoscaler import AutoscalerOptions
from .base import FlyteModel
from .groups import HeadGroupSpec, WorkerGroupSpec
from .jobs import RayCluster, RayJob
from .pods import DataLoadingConfig, IOStrategy, K8sObjectMetadata, K8sPod
from .quirks import upstream_quirks
from .resources import Resources

STRICT_UPSTREAM_QUIRKS = False
"""``from_flyte_idl`` loses what upstream's loses, in all threads; :func:`upstream_quirks` does it for a block of code."""

__all__ = [
    "STRICT_UPSTREAM_QUIRKS",
    "AutoscalerOptions",
    "DataLoadingConfig",
    "FlyteModel",
    "HeadGroupSpec",
    "IOStrategy",
    "K8sObjectMetadata",
    "K8sPod",
    "RayCluster",
    "RayJob",
    "Resources",
    "WorkerGroupSpec",
    "upstream_quirks",
]
