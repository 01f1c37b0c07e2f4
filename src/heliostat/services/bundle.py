"""All use cases of one server, as every door is handed them."""

from __future__ import annotations

from dataclasses import dataclass

from heliostat.domain.installation import Installation
from heliostat.store import Store

from .access import AccessService
from .clusters import ClusterService
from .directory import DirectoryService
from .identity import IdentityService
from .seams import Capabilities, Clock, Wake


@dataclass(frozen=True)
class Services:
    clusters: ClusterService
    directory: DirectoryService
    identity: IdentityService
    access: AccessService
    installation: Installation
    clock: Clock

    @classmethod
    def build(
        cls, store: Store, installation: Installation, capabilities: Capabilities, clock: Clock, wake: Wake
    ) -> Services:
        identity = IdentityService(store, clock)
        return cls(
            clusters=ClusterService(store, installation, capabilities, clock, wake),
            directory=DirectoryService(store, installation, capabilities, clock),
            identity=identity,
            access=AccessService(store, identity, installation, clock),
            installation=installation,
            clock=clock,
        )
