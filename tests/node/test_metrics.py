"""A node that shall export no figures: nothing of Ray's listens for who would read them, on each release."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .support import Instance, Release, listeners, until

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_a_head_without_metrics_runs_jobs_and_exports_nothing(
    release: Release, make_instance: Callable[..., Instance]
) -> None:
    instance = make_instance(release)
    head = instance.spec("head", metrics=False)
    instance.start(head)
    instance.wait_registered(head)
    instance.wait_dashboard()
    assert instance.wait_job(instance.submit("echo works")).strip().endswith("works"), "so its agent is there"
    logs = Path(head.temp_dir, "s", "logs")
    for name in ("dashboard.log", "monitor.log"):
        until(lambda name=name: "server on port -1" in (logs / name).read_text(), f"{name} tells that it gave up")  # type: ignore[misc]
    ports = {head.metrics_export_port, head.dashboard_metrics_port, head.autoscaler_metrics_port}
    taken = {listener.port for listener in listeners(instance.pids(head))}
    assert taken and not ports & taken
