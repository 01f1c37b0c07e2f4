"""What each Ray release can do, as far as running a node depends on it. Standard library only; both sides import it.

A fact is listed with the first release known to have it: tested here, or named by Ray's documentation. Other releases are
judged by that number, so that a new release is a line here after its conformance run, never an ``if`` elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, int]

TOKEN_AUTH_SINCE: Version = (2, 52)
"""``RAY_AUTH_MODE=token``: bearer tokens on GCS, raylet, agents, dashboard and Ray Client."""

GCS_STORAGE_SINCE: Version = (2, 60)
"""``RAY_gcs_storage=rocksdb``: the embedded store that lets a restarted head find its cluster again."""

AGENTS_BIND_SINCE: Version = (2, 60)
"""Agents given port 0 bind a free one themselves. Before, Ray picks one and lets it go until the agent takes it; when
somebody else is quicker the agent, and its raylet with it, ends."""

NODE_API_SINCE: Version = (2, 47)
"""``ray._private.node.Node`` takes the arguments that the shim gives it."""

NODE_API_BEFORE: Version = (3, 0)

AUTOSCALING_SINCE: Version = (2, 47)
"""The second autoscaler works with a provider of our own. With 2.47 it begins from nothing with one node a second, and
grows faster with the nodes that there are."""

RESIZING_SINCE: Version = (2, 60)
"""``ResizeRayletResourceInstances``: a live node is given other resources (absent from 2.47)."""

OWN_NODE_SINCE: Version = (2, 60)
"""A driver on a host with several nodes prefers the head; before, it takes any (:mod:`heliostat_node.driver_patch`)."""

_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True)
class Features:
    """What a shim and the control plane may count on in one Ray release."""

    token_auth: bool
    """Ray checks a bearer token on everything but health and Prometheus ports."""
    gcs_storage: bool
    """The head keeps its state on disk, so that a new head at the same port takes the cluster over."""
    node_api: bool
    """The shim can start this release; without it the release is refused."""
    drivers_go_astray: bool
    """Drivers attach to any node of the machine, unless the environment has ``driver_patch`` installed."""
    resizing: bool = False
    """Resources of a live node can be changed; it is tried before anything depends on it."""
    agents_bind: bool = True
    """An agent finds its own free port, so that none need be reserved for it."""
    autoscaling: bool = True
    """Ray's autoscaler can be given nodes by the engine."""


def features(ray_version: str) -> Features:
    """The features of a release such as ``2.60.0``; raises ValueError for what is no version."""
    match = _VERSION.match(ray_version)
    if match is None:
        raise ValueError(f"{ray_version!r} is not a Ray version such as '2.60.0'.")
    version = (int(match[1]), int(match[2]))
    return Features(
        token_auth=version >= TOKEN_AUTH_SINCE,
        gcs_storage=version >= GCS_STORAGE_SINCE,
        drivers_go_astray=version < OWN_NODE_SINCE,
        agents_bind=version >= AGENTS_BIND_SINCE,
        autoscaling=version >= AUTOSCALING_SINCE,
        resizing=version >= RESIZING_SINCE,
        node_api=NODE_API_SINCE <= version < NODE_API_BEFORE,
    )
