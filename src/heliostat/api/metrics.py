"""Figures for Prometheus, at ``/metrics``.

A scraper shows the API token of an installation admin (``authorization: {credentials_file: ...}`` in its configuration):
behind a proxy everything comes from loopback, so that the address of a caller proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"})


class Metrics:
    """The figures of one API. Each server has its own, so that several can live in one process."""

    def __init__(self, version: str, others: Iterable[Collector] = ()) -> None:
        """``others`` are shown with its own: what other doors count."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        Gauge("heliostat_info", "The running version.", ["version"], registry=self._registry).labels(version).set(1)
        self._requests = Counter(
            "heliostat_api_requests", "Answered requests of the native API.", ["method", "route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "heliostat_api_request_seconds", "Seconds from a request's first byte to its answer's last.", ["route"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5), registry=self._registry,
        )  # fmt: skip
        self.streams = Gauge("heliostat_api_streams", "Open event streams.", registry=self._registry)
        for other in others:
            self._registry.register(other)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
