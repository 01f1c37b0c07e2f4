"""Heliostat: a self-hosted control plane for Ray clusters and jobs, through the APIs people already use.

``heliostat.Cluster``, ``heliostat.Client`` and the other names of the SDK (:mod:`heliostat.client`) are here too, loaded
when they are first used: the server imports this package without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import AsyncClient as AsyncClient
    from .client import AsyncCluster as AsyncCluster
    from .client import AsyncJob as AsyncJob
    from .client import Autoscaling as Autoscaling
    from .client import Client as Client
    from .client import Cluster as Cluster
    from .client import FaultTolerance as FaultTolerance
    from .client import Head as Head
    from .client import HeliostatError as HeliostatError
    from .client import Job as Job
    from .client import WorkerGroup as WorkerGroup
    from .client import default_client as default_client
    from .client import ray_init as ray_init
    from .client import set_default_client as set_default_client

_NAMES = (
    "AsyncClient", "AsyncCluster", "AsyncJob", "Autoscaling", "Client", "Cluster", "FaultTolerance", "Head",
    "HeliostatError", "Job", "WorkerGroup", "default_client", "ray_init", "set_default_client",
)  # fmt: skip

__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    """The SDK's names (``Any``: each has its own type, which checkers read above)."""
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import client

    return getattr(client, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
