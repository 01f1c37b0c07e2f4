"""The Python SDK of Heliostat's native API, synchronous and asynchronous.

.. code-block:: python

    import heliostat

    cluster = heliostat.Cluster.create("demo", workers=2, cpu=1, memory="1Gi").wait()
    print(cluster.dashboard_url)
    cluster.delete(stop=True)

    job = heliostat.Job.submit("python main.py", working_dir=".", cluster_spec={"workers": 2})
    for text in job.follow():
        print(text, end="")
    job.wait(check=True)

Layers: ``specs`` and ``models`` (what is sent and what comes back), ``protocol`` (requests and answers without I/O),
``aio`` (the calls), ``sync`` (derived from ``aio``). Names are loaded when they are first used, so that importing this
package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio.client import AsyncClient as AsyncClient
    from .aio.cluster import AsyncCluster as AsyncCluster
    from .aio.job import AsyncJob as AsyncJob
    from .credentials import Credentials as Credentials
    from .errors import AlreadyExists as AlreadyExists
    from .errors import ClusterFailed as ClusterFailed
    from .errors import Conflict as Conflict
    from .errors import DeadlineExceeded as DeadlineExceeded
    from .errors import Forbidden as Forbidden
    from .errors import HeliostatError as HeliostatError
    from .errors import IdempotencyMismatch as IdempotencyMismatch
    from .errors import InvalidRequest as InvalidRequest
    from .errors import JobFailed as JobFailed
    from .errors import NoCredentials as NoCredentials
    from .errors import NotCollected as NotCollected
    from .errors import NotFound as NotFound
    from .errors import NotReady as NotReady
    from .errors import NotRunning as NotRunning
    from .errors import Unauthenticated as Unauthenticated
    from .errors import Unavailable as Unavailable
    from .errors import Unreachable as Unreachable
    from .models import ClusterInfo as ClusterInfo
    from .models import JobInfo as JobInfo
    from .models import Progress as Progress
    from .ray_client import ray_init as ray_init
    from .specs import Autoscaling as Autoscaling
    from .specs import FaultTolerance as FaultTolerance
    from .specs import Head as Head
    from .specs import NfsMount as NfsMount
    from .specs import WorkerGroup as WorkerGroup
    from .sync.chosen import default_client as default_client
    from .sync.chosen import set_default_client as set_default_client
    from .sync.client import Client as Client
    from .sync.cluster import Cluster as Cluster
    from .sync.job import Job as Job

_HOMES = {
    "aio.client": ("AsyncClient",),
    "aio.cluster": ("AsyncCluster",),
    "aio.job": ("AsyncJob",),
    "credentials": ("Credentials",),
    "errors": (
        "AlreadyExists", "ClusterFailed", "Conflict", "DeadlineExceeded", "Forbidden", "HeliostatError",
        "IdempotencyMismatch", "InvalidRequest", "JobFailed", "NoCredentials", "NotCollected", "NotFound", "NotReady",
        "NotRunning", "Unauthenticated", "Unavailable", "Unreachable",
    ),
    "models": ("ClusterInfo", "JobInfo", "Progress"),
    "ray_client": ("ray_init",),
    "specs": ("Autoscaling", "FaultTolerance", "Head", "NfsMount", "WorkerGroup"),
    "sync.chosen": ("default_client", "set_default_client"),
    "sync.client": ("Client",),
    "sync.cluster": ("Cluster",),
    "sync.job": ("Job",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """The public names, loaded at first use (``Any``: each has its own type, which checkers read above)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
