"""Where a running cluster answers, as clients of this dialect take it (Vertex contract, section 6)."""

from __future__ import annotations

import re

from heliostat.domain.installation import Installation
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.states import State, Wanted

_ADDRESS = re.compile(r"[0-9.]+|\[.*\]|.*:.*:.*", re.ASCII)


def access_uris(cluster: Cluster, instance: Instance | None, installation: Installation) -> dict[str, str]:
    """``accessUris``: empty until the cluster answers, and where there is no door with TLS, which clients insist on.

    Never ``RAY_HEAD_NODE_INTERNAL_IP``: beside the client endpoint it makes clients dial that one without TLS.
    """
    up = instance is not None and instance.endpoints is not None and cluster.state is State.RUNNING
    place = installation.tls_place
    if instance is None or instance.endpoints is None or not up or cluster.wanted is Wanted.DELETED or place is None:
        return {}
    found = {"RAY_DASHBOARD_URI": f"{place}/c/{cluster.id}"}
    endpoint = _endpoint(f"c-{cluster.id}", installation.universe or place)
    # Also before the head's client server answers: clients try again for a while, and without an address they do not.
    if endpoint is not None and installation.ray_client:
        found["RAY_CLIENT_ENDPOINT"] = endpoint
    return found


def _endpoint(label: str, universe: str) -> str | None:
    """``host:port`` of a cluster's own name; None where hosts are known by address, which has no names below it."""
    host, colon, port = universe.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = universe, "443"
    if _ADDRESS.fullmatch(host):
        return None
    # gRPC takes a wildcard certificate only with two labels after the star (Vertex contract, section 3.2).
    middle = "" if "." in host else "ray."
    return f"{label}.{middle}{host}:{port}"
