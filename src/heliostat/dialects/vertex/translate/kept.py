"""What only this dialect knows of a cluster, kept as one JSON text among the spec's extras.

Parts of it say the same as the spec in other words (a machine type, an image) and are shown only while they do. What else is
there (networks, disks) has no other meaning, and is shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import orjson

from heliostat.domain.spec import ClusterSpec

from .fields import Json
from .machines import without_effect

KEY = "vertex"
DEFAULT_DISK = {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 100}
_RAY = "resourceRuntimeSpec"


@dataclass(frozen=True)
class Kept:
    head: str = ""
    """Id of the pool that the head is in."""
    pools: Mapping[str, Json] = field(default_factory=dict)
    """By id, in the order of the request: ``machineSpec``, ``diskSpec``, ``autoscalingSpec``."""
    ray: Json = field(default_factory=dict)
    """``imageUri``, ``resourcePoolImages``, ``headNodeResourcePoolId``."""
    resource: Json = field(default_factory=dict)
    """``network``, ``reservedIpRanges``, ``pscInterfaceConfig``, ``encryptionSpec``, ``serviceAccountSpec``."""

    @classmethod
    def of(cls, spec: ClusterSpec) -> Self:
        """What a cluster has; nothing for one of another dialect."""
        text = spec.extras.get(KEY)
        if text is None:
            return cls()
        stored: Json = orjson.loads(text)
        return cls(stored["head"], stored["pools"], stored["ray"], stored["resource"])

    def within(self, spec: ClusterSpec) -> ClusterSpec:
        """``spec`` with this in it, and with what of it has no effect."""
        stored = {"head": self.head, "pools": self.pools, "ray": self.ray, "resource": self.resource}
        extras = {**spec.extras, KEY: orjson.dumps(stored).decode()}
        return replace(spec, extras=extras, unhonoured=dict(self._without_effect()))

    def _without_effect(self) -> Iterator[tuple[str, str]]:
        for index, pool in enumerate(self.pools.values()):
            path = f"resourcePools[{index}]"
            for name, why in without_effect(pool["machineSpec"]):
                yield f"{path}.machineSpec.{name}", why
            if {**DEFAULT_DISK, **pool.get("diskSpec", {})} != DEFAULT_DISK:
                yield (
                    f"{path}.diskSpec",
                    "nodes have no disks of their own; they use the disk of the machine they run on",
                )
        for name, why in _NO_EFFECT.items():
            if self.resource.get(name):
                yield name, why
        if self.resource.get("serviceAccountSpec", {}).get("enableCustomServiceAccount"):
            yield f"{_RAY}.serviceAccountSpec", "nodes run as no cloud account; give code its credentials by variables"


_NO_EFFECT = {
    "network": "nodes use the network of the machine they run on",
    "reservedIpRanges": "nodes have the addresses of the machine they run on",
    "pscInterfaceConfig": "there are no private connections; nodes use the network of the machine they run on",
    "encryptionSpec": "the key is not used; what is stored is encrypted with the installation's own",
}
