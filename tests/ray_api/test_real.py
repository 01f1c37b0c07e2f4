"""Real heads of both tested releases pass the suite."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from heliostat.domain.ids import InstanceId
from heliostat.domain.ray_jobs import Cause, RayStatus
from heliostat.domain.secret import Secret
from heliostat.ray_api import Head
from heliostat.ray_api.base import PACKAGE_LIMIT
from heliostat.ray_api.http import HttpRayApi
from heliostat_node import processes
from tests.domain.test_ray_jobs import ERROR_TYPES
from tests.environments import Ready
from tests.node.support import Instance, Release, Zygote, free_port, until

from .conformance import RayApiConformance, ended, job, running

pytestmark = [pytest.mark.ray, pytest.mark.slow]


class Real:
    """A backend on a real head; the api belongs to one test's event loop."""

    pause = 0.2

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.api = HttpRayApi()
        self.checks_tokens = instance.release.features.token_auth
        self.head = Head(InstanceId(instance.id), f"127.0.0.1:{instance.dashboard_port}", Secret(instance.token))
        self.gone = Head(InstanceId("ci-gone"), f"127.0.0.1:{free_port()}", Secret("1" * 32))

    def log(self, submission_id: str) -> str:
        return self.instance.job_logs(submission_id)

    def starts(self, submission_id: str) -> int:
        return self.log(submission_id).count("Runtime env is setting up.")


@pytest.fixture(scope="module", params=["2.60.0", "2.47.1"])
def release(request: pytest.FixtureRequest, ray_environments: Ready) -> Release:
    return Release(request.param, ray_environments[request.param] / "bin" / "python")


@pytest.fixture(scope="module")
def make_instance() -> Iterator[Callable[[Release], Instance]]:
    folder = Path(tempfile.mkdtemp(prefix="hra", dir="/tmp"))
    made: list[Instance] = []

    def make(release: Release) -> Instance:
        made.append(Instance(release, Zygote(release.python), folder))
        return made[-1]

    yield make
    for instance in made:
        instance.kill()
        instance.zygote.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def instance(release: Release, make_instance: Callable[[Release], Instance]) -> Iterator[Instance]:
    """A head, shared by the tests of a release."""
    instance = make_instance(release)
    head = instance.spec("head")
    instance.start(head)
    instance.wait_registered(head)
    instance.wait_dashboard()
    yield instance
    instance.kill()


@pytest.fixture
async def backend(instance: Instance) -> AsyncIterator[Real]:
    real = Real(instance)
    yield real
    await real.api.close()


class TestRealRay(RayApiConformance):
    pass


def test_what_the_release_says_of_itself(release: Release) -> None:
    """The constants that are not asked for at run time."""
    program = """
from ray._private.ray_constants import DASHBOARD_CLIENT_MAX_SIZE
print(DASHBOARD_CLIENT_MAX_SIZE)
try:
    from ray.dashboard.modules.job.common import JobErrorType
except ImportError:
    print("")
else:
    print(",".join(JobErrorType.__members__))
"""
    answer = subprocess.run([release.python, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    size, types = answer.stdout.splitlines()
    assert int(size) == PACKAGE_LIMIT
    assert set(filter(None, types.split(","))) == (set() if release.version == "2.47.1" else set(ERROR_TYPES))


async def test_a_woken_head_ends_the_jobs_whose_driver_died_with_the_one_before(
    ray_environments: Ready, make_instance: Callable[[Release], Instance]
) -> None:
    """Where the release keeps the GCS on disk: without a call, the job would be RUNNING for ever."""
    instance = make_instance(Release("2.60.0", ray_environments["2.60.0"] / "bin" / "python"))
    (instance.base / "gcs").mkdir()
    head = instance.spec("head", gcs_storage_dir=str(instance.base / "gcs"))
    instance.start(head)
    instance.wait_registered(head)
    instance.wait_dashboard()
    backend = Real(instance)
    wanted = job("sleep 1000")
    await backend.api.submit(backend.head, wanted)
    await running(backend, wanted.submission_id)
    before = instance.status(head)

    os.kill(before.pid, signal.SIGKILL)
    until(lambda: not processes.kill_node(head.node, before.pid), "end of the head", 10)
    instance.start(head)
    instance.wait_registered(head)
    instance.wait_dashboard()
    assert (await running(backend, wanted.submission_id)).driver_node == before.ray_node_id
    await backend.api.wake(backend.head, wanted.submission_id)
    seen = await ended(backend, wanted.submission_id)
    assert (seen.status, seen.cause) == (RayStatus.FAILED, Cause.INFRASTRUCTURE)
    await backend.api.close()
    instance.kill()
