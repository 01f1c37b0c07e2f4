"""What all transactions of a store have in common: the sealer and the memory of decoded objects."""

from __future__ import annotations

import secrets
from datetime import datetime

from ..domain.ids import ClusterId, InstanceId, JobId
from ..domain.jobs import Job
from ..domain.records import Cluster, Instance
from .cache import Recent
from .sealing import Sealer


class Shared:
    """Made once per store. Everything in it is safe to use from several threads, and may be forgotten at any time."""

    def __init__(self, sealer: Sealer, cached_objects: int) -> None:
        self.sealer = sealer
        self.clusters: Recent[ClusterId, tuple[int, Cluster]] = Recent(cached_objects)
        """With the revision that was decoded: good for whoever has just read the same from the row."""
        self.instances: Recent[InstanceId, tuple[int, Instance]] = Recent(cached_objects)
        """The same."""
        self.jobs: Recent[JobId, tuple[int, Job]] = Recent(cached_objects)
        """The same."""
        self.used: Recent[str, datetime] = Recent(cached_objects)
        """When the last use of a credential was written down."""


def new_revision() -> int:
    """A number that no other version of a row has."""
    return secrets.randbits(63)
