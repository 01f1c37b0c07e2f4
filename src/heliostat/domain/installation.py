"""What an operator configures and everybody reads: releases, GPU types, volumes, networks, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from .engine import GpuType, Volume
from .records import NetworkService
from .releases import Catalogue

BUILT_IN_GPUS = (
    GpuType("ecs.gn6i-c4g1.xlarge", "T4", 1),
    GpuType("ecs.gn7i-c8g1.2xlarge", "A10", 1),
)


@dataclass(frozen=True)
class Installation:
    """The configuration that is the same for every request."""

    catalogue: Catalogue = field(default_factory=Catalogue)
    gpus: Mapping[str, GpuType] = field(default_factory=lambda: {gpu.name: gpu for gpu in BUILT_IN_GPUS})
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    network_services: tuple[NetworkService, ...] = (NetworkService("ns-loopback00000000", "loopback"),)
    region: str = "local"
    gateway_url: str = "http://127.0.0.1:8600"
    """Where SDKs reach the gateway; no trailing slash."""
    gateway_domain: str = "localhost:8600"
    """Host (and port) below which every cluster has its own name, ``c-<cluster>.<domain>``."""
    gateway_scheme: str = "http"
    tls_place: str | None = None
    """``host:port`` of a listener with TLS, by a name that its certificate has; None when there is none."""
    universe: str | None = None
    """Host (and port) below which Google's clients look for us; None when there is no TLS."""
    ca_file: Path | None = None
    """The certificate of our own authority, PEM; None when the certificate was given by the operator."""
    session_grace: timedelta = timedelta(hours=24)
    """How long after its end a token of Google's clients still opens the runs that were there before: clients of Jobs and
    Ray Client never renew it (Vertex contract, section 11)."""
    start_deadline: timedelta = timedelta(minutes=5)
    """How long an instance may take from the start of its nodes to all of them alive; environments not counted."""
    emr_starts_clusters: bool = False
    """Whether CreateRayCluster of the EMR dialect also starts the cluster; the vendor's does not."""
