"""What an operator configures and everybody reads: releases, GPU types, volumes, networks, limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

ACCELERATORS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "NVIDIA_TESLA_P100": ("P100", (1, 2, 4)),
    "NVIDIA_TESLA_V100": ("V100", (1, 2, 4, 8)),
    "NVIDIA_TESLA_P4": ("P4", (1, 2, 4)),
    "NVIDIA_TESLA_T4": ("T4", (1, 2, 4)),
    "NVIDIA_TESLA_A100": ("A100", (1, 2, 4, 8, 16)),
    "NVIDIA_A100_80GB": ("A100", (1, 2, 4, 8)),
    "NVIDIA_L4": ("L4", (1, 2, 4, 8)),
    "NVIDIA_H100_80GB": ("H100", (1, 2, 4, 8)),
    "NVIDIA_H100_MEGA_80GB": ("H100", (8,)),
    "NVIDIA_H200_141GB": ("H200", (8,)),
    "NVIDIA_B200": ("B200", (8,)),
    "NVIDIA_GB200": ("GB200", (4,)),
    "NVIDIA_RTX_PRO_6000": ("RTX-PRO-6000", (1, 2, 4, 8)),
}
"""Accelerators by the vendor's name: Ray's name for them, and how many one node may have (Vertex contract, 9.4 and 9.5).

Ray calls every A100 so by itself, whatever memory it has; code asks for that name."""


def accelerator_row(accelerator: str, count: int) -> str:
    """The name of the catalogue's row for so many of an accelerator: ``NVIDIA_TESLA_T4-2``."""
    return f"{accelerator}-{count}"


UNLISTED_GPUS = tuple(
    GpuType(accelerator_row(name, count), ray_name, count, listed=False)
    for name, (ray_name, counts) in ACCELERATORS.items()
    for count in counts
)
"""Always there, whatever rows an operator configures."""


def gpu_catalogue(rows: Iterable[GpuType]) -> Mapping[str, GpuType]:
    """These rows, by name, and the unlisted ones whose names they leave free."""
    return {gpu.name: gpu for gpu in UNLISTED_GPUS} | {gpu.name: gpu for gpu in rows}


@dataclass(frozen=True)
class Installation:
    """The configuration that is the same for every request."""

    catalogue: Catalogue = field(default_factory=Catalogue)
    gpus: Mapping[str, GpuType] = field(default_factory=lambda: gpu_catalogue(BUILT_IN_GPUS))
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
    ray_client: bool = True
    """Whether heads run Ray's client server, for ``ray://``."""
    session_grace: timedelta = timedelta(hours=24)
    """How long after its end a token of Google's clients still opens the runs that were there before: clients of Jobs and
    Ray Client never renew it (Vertex contract, section 11)."""
    start_deadline: timedelta = timedelta(minutes=5)
    """How long an instance may take from the start of its nodes to all of them alive; environments not counted."""
    emr_starts_clusters: bool = False
    """Whether CreateRayCluster of the EMR dialect also starts the cluster; the vendor's does not."""
