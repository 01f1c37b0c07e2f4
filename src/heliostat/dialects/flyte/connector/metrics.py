"""Figures of the connector, under the names that dashboards of Flyte's own connectors know (Flyte contract, section 4.5)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Metric, Summary
from prometheus_client.registry import Collector

from heliostat.domain.errors import HeliostatError

from .. import errors
from ..errors import CODES, FlyteError
from .kinds import TASK_TYPE

_HTTP = {
    errors.INVALID_ARGUMENT: "400",
    errors.UNAUTHENTICATED: "401",
    errors.PERMISSION_DENIED: "403",
    errors.NOT_FOUND: "404",
    errors.ALREADY_EXISTS: "409",
    errors.FAILED_PRECONDITION: "409",
    errors.RESOURCE_EXHAUSTED: "429",
    errors.UNIMPLEMENTED: "501",
    errors.UNAVAILABLE: "503",
}
"""What stands for a status code in a label; all else is 500."""


class ConnectorMetrics(Collector):
    """Of one server; registered where that shows its figures."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        names = ["task_type", "operation"]
        prefix = "flyte_connector_"
        self._done = Counter(
            f"{prefix}requests_success_total", "Requests that were answered.", names, registry=self._registry
        )
        self._failed = Counter(
            f"{prefix}requests_failure_total", "Requests that failed.", [*names, "error_code"], registry=self._registry
        )
        self._seconds = Summary(
            f"{prefix}request_latency_seconds", "Seconds that requests took.", names, registry=self._registry
        )
        self._inputs = Summary(
            f"{prefix}input_literal_bytes", "Bytes of the inputs of tasks.", ["task_type"], registry=self._registry
        )

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()

    @contextmanager
    def counted(self, operation: str) -> Iterator[None]:
        """Count what happens inside: ``create``, ``get``, ``delete``, ``metrics``, ``logs``."""
        since = time.perf_counter()
        try:
            yield
        except Exception as error:  # counted and passed on
            self._failed.labels(TASK_TYPE, operation, error_code(error)).inc()
            raise
        else:
            self._done.labels(TASK_TYPE, operation).inc()
        finally:
            self._seconds.labels(TASK_TYPE, operation).observe(time.perf_counter() - since)

    def inputs(self, size: int) -> None:
        self._inputs.labels(TASK_TYPE).observe(size)


def error_code(error: Exception) -> str:
    """The label of an error."""
    if isinstance(error, FlyteError):
        return _HTTP.get(error.status, "500")
    if isinstance(error, HeliostatError):
        return _HTTP.get(next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), ""), "500")
    return "500"
