"""Jobs hang on the node that they run on, so that losing a worker hurts only what ran there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from .support import Instance, Release

pytestmark = [pytest.mark.ray, pytest.mark.slow]

WHERE = "python -c \"import ray; ray.init(); print('AT', ray.get_runtime_context().get_node_id())\""


def test_drivers_use_the_head_and_jobs_go_on_when_a_worker_is_lost(
    release: Release, make_instance: Callable[..., Instance]
) -> None:
    instance = make_instance(release)
    specs = [instance.spec("head", cpus=2), *(instance.spec("worker") for _ in range(2))]
    for spec in specs:
        instance.start(spec)
    instance.wait_registered(*specs)
    instance.wait_dashboard()
    head = instance.status(specs[0]).ray_node_id
    assert f"AT {head}" in instance.wait_job(instance.submit(WHERE))
    for worker in specs[1:]:
        os.kill(instance.status(worker).raylet_pid, signal.SIGKILL)
        instance.wait_exited(worker)
        assert f"AT {head}" in instance.wait_job(instance.submit(WHERE))
