"""The local engine with real Ray, each supported release."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from heliostat.domain.engine import GpuType, GroupPlan, InstancePlan, NodeState, Observation
from heliostat.domain.releases import Release
from heliostat.engines.local import LocalSettings
from heliostat.engines.local.processes import members
from tests.environments import Ready

from ..conformance import GIB, names, plan, until
from .kit import Lab, kill, of_kind
from .sockets import listeners, listening_ports

pytestmark = [pytest.mark.ray, pytest.mark.slow]

NEWEST = Release("ray-1.3.1", "2.60.0", "3.11")
OLDEST = Release("ray-1.0.1", "2.47.1", "3.11")
START_SECONDS = 120.0
TOLD_SECONDS = 3.0
"""Within this Ray has been told of a death; by itself it finds out after 5 seconds at the earliest."""
LOOPBACK = {"127.0.0.1", "::1"}


@pytest.fixture
async def lab(ray_environments: Ready, tmp_path: Path) -> AsyncIterator[Lab]:
    """An engine with real nodes; the state folder of pytest is too long for sockets, so the short one is used."""
    settings = LocalSettings(tmp_path / "state", ready_environment=ray_environments.of)
    lab = Lab(settings, within=START_SECONDS)
    await lab.open()
    yield lab
    await lab.close()


def small(release: Release, workers: int = 2) -> InstancePlan:
    """A head without CPUs for tasks, and workers with half a core (Ray makes it one), a quarter GiB and a GPU that is none."""
    group = GroupPlan("small", workers, 0.5, GIB // 4, GpuType("t4", "T4", 1), {"USER_SAYS": "hello"})
    head = GroupPlan("head", 1, 1.0, GIB, ray_params={"num_cpus": 0, "resources": {"disk": 3}})
    return dataclasses.replace(plan(), release=release, head=head, workers=(group,))


async def seen_when(lab: Lab, wanted: InstancePlan, reached: Callable[[Observation], bool], what: str) -> Observation:
    return await until(lab.engine, wanted.instance, reached, what, START_SECONDS)


async def up(lab: Lab, wanted: InstancePlan) -> Observation:
    await lab.engine.apply(wanted)
    return await seen_when(lab, wanted, lambda seen: seen.complete or seen.failure is not None, "it is up")


async def ask(wanted: InstancePlan, seen: Observation, path: str, body: dict[str, Any] | None = None) -> Any:
    """A request to the instance's dashboard with its token."""
    assert seen.endpoints is not None
    assert wanted.ray_token is not None
    headers = {"Authorization": f"Bearer {wanted.ray_token.reveal()}"}
    method = "GET" if body is None else "POST"
    url = f"http://{seen.endpoints.dashboard}{path}"
    async with aiohttp.ClientSession(headers=headers) as session, session.request(method, url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def run_job(wanted: InstancePlan, seen: Observation, code: str) -> str:
    """Submit a job and return its log once it has succeeded."""
    submitted = await ask(wanted, seen, "/api/jobs/", {"entrypoint": f"python -c '{code}'"})
    return await finished(wanted, seen, submitted["submission_id"])


async def finished(wanted: InstancePlan, seen: Observation, submission: str) -> str:
    """The log of a job once it has succeeded."""
    path = f"/api/jobs/{submission}"
    async with asyncio.timeout(START_SECONDS):
        while (job := await ask(wanted, seen, path))["status"] not in ("SUCCEEDED", "FAILED", "STOPPED"):
            await asyncio.sleep(0.1)
    logs: str = (await ask(wanted, seen, f"{path}/logs"))["logs"]
    assert job["status"] == "SUCCEEDED", f"{job}\n{logs}"
    return logs


def processes_of(seen: Observation) -> set[int]:
    """All processes of an instance."""
    from heliostat.engines.local.processes import Shim
    from heliostat_node.protocol import start_ticks

    found: set[int] = set()
    for node in seen.nodes:
        shim = Shim(node.pid, start_ticks(node.pid) or 0) if node.pid is not None else None
        found |= members(node.node, shim, [])
    return found


async def listed(wanted: InstancePlan, seen: Observation) -> None:
    """Ray itself lists these nodes as alive and no others: soon, not only after it has missed some health checks."""
    async with asyncio.timeout(TOLD_SECONDS):
        while True:
            nodes = (await ask(wanted, seen, "/api/v0/nodes?detail=1"))["data"]["result"]["result"]
            if {node["node_name"] for node in nodes if node["state"] == "ALIVE"} == names(seen):
                return
            await asyncio.sleep(0.1)


def assert_on_loopback(seen: Observation) -> set[int]:
    """No process of the instance listens for other machines; returns its ports."""
    found = listeners(processes_of(seen))
    assert {address for address, _ in found} <= LOOPBACK, found
    assert len(found) > 5
    return {port for _, port in found}


def semaphores(pids: set[int]) -> set[Path]:
    """Files in /dev/shm of named semaphores that these processes have."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may end just now
            lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
            inodes |= {int(line.split()[4]) for line in lines if "/shm/sem." in line}
    return {path for path in Path("/dev/shm").glob("sem.mp-*") if path.lstat().st_ino in inodes}


async def assert_gone(lab: Lab, wanted: InstancePlan, seen: Observation) -> None:
    """Destroy it and look for anything that is left."""
    pids = processes_of(seen)
    ports = {port for _, port in listeners(pids)}
    shared = semaphores(pids)
    temps = Path(json.loads(spec_of(lab, wanted, seen).read_text())["temp_dir"]).parent
    await lab.engine.destroy(wanted.instance)
    await seen_when(lab, wanted, lambda seen: not seen.present, "it is gone")
    assert processes_of(seen) == set()
    assert not pids & set(lab.processes())
    assert not ports & listening_ports()
    assert not [path for path in shared if path.exists()]
    assert not temps.exists()
    assert not (lab.settings.state / "i" / wanted.instance).exists()
    assert list((lab.settings.state / "t").iterdir()) == []


def spec_of(lab: Lab, wanted: InstancePlan, seen: Observation) -> Path:
    nodes = lab.settings.state / "i" / wanted.instance / "nodes"
    return next(nodes.glob(f"{seen.nodes[0].node}.*")) / "spec.json"


@pytest.mark.parametrize("release", [NEWEST, OLDEST], ids=lambda release: release.ray)
async def test_a_cluster_lives_and_leaves_nothing(lab: Lab, release: Release) -> None:
    wanted = small(release)
    seen = await up(lab, wanted)
    assert seen.failure is None
    assert [node.kind for node in seen.nodes] == ["head", "worker", "worker"]

    nodes = (await ask(wanted, seen, "/api/v0/nodes?detail=1"))["data"]["result"]["result"]
    totals = {node["node_name"]: node["resources_total"] for node in nodes}
    assert totals.keys() == names(seen)
    head, worker = (totals[of_kind(seen, kind)[0].node] for kind in ("head", "worker"))
    assert head.get("CPU", 0) == 0
    assert head["memory"] == GIB
    assert head["disk"] == 3
    assert (worker["CPU"], worker["memory"], worker["GPU"], worker["accelerator_type:T4"]) == (1, GIB // 4, 1, 1)
    assert_on_loopback(seen)
    await assert_figures(seen)

    victim = of_kind(seen, "worker")[0]
    kill(victim)
    seen = await seen_when(
        lab, wanted, lambda seen: seen.complete and victim.node not in names(seen), "the worker is replaced"
    )
    assert seen.failure is None
    await listed(wanted, seen)
    assert "hello" in await run_job(wanted, seen, WHERE_TASKS_RUN)

    seen = await seen_when(
        lab, wanted, lambda now: now.endpoints is not None and now.endpoints.client is not None, "ray:// is open"
    )
    await lab.reopen()
    adopted = await lab.engine.observe(wanted.instance)
    assert adopted.complete
    assert [node.pid for node in adopted.nodes] == [node.pid for node in seen.nodes]
    await lab.engine.apply(wanted)

    await assert_job_log(lab, wanted, seen)

    kill(of_kind(seen, "head")[0])
    if release is NEWEST:
        await seen_when(lab, wanted, lambda now: not now.head_ready, "the loss is seen")
        after = await seen_when(
            lab,
            wanted,
            lambda now: now.complete and now.endpoints is not None and now.endpoints.client is not None,
            "the head is back, with its client server",
        )
        assert names(after) == names(seen)
        assert after.endpoints == seen.endpoints
        assert [node.pid for node in of_kind(after, "worker")] == [node.pid for node in of_kind(seen, "worker")]
        assert "hello" in await run_job(wanted, after, WHERE_TASKS_RUN)
        assert_on_loopback(after)
        await assert_logs_survived_the_head(lab, wanted, after)
        await assert_gone(lab, wanted, after)
    else:
        after = await seen_when(
            lab, wanted, lambda now: now.failure is not None and not any(node.pid for node in now.nodes), "it fails"
        )
        assert "The head died" in (after.failure or "")
        assert [node.state for node in after.nodes] == [NodeState.EXITED] * 3
        await assert_gone(lab, wanted, dataclasses.replace(after, nodes=seen.nodes))


async def assert_figures(seen: Observation) -> None:
    """Every address that is told to Prometheus answers in its format, with figures of Ray's and nothing shown to it."""
    addresses = [address for node in seen.nodes for address in node.metrics]
    assert len(addresses) == 3 + 2
    async with aiohttp.ClientSession() as session, asyncio.timeout(START_SECONDS):
        for address in addresses:
            while not FIGURE.search(await scraped(session, address)):
                await asyncio.sleep(0.1)


FIGURE = re.compile(r"^(ray_|autoscaler_)\w+(\{.*\})? [0-9.e+]+$", re.MULTILINE)


async def scraped(session: aiohttp.ClientSession, address: str) -> str:
    """What Prometheus would read; empty while nobody listens, as the agent of a node comes up last."""
    try:
        async with session.get(f"http://{address}/metrics") as answer:
            assert answer.status == 200 and answer.content_type == "text/plain"
            return await answer.text()
    except aiohttp.ClientConnectorError:
        return ""


async def assert_job_log(lab: Lab, wanted: InstancePlan, seen: Observation) -> None:
    """What an entry point printed is in a log of its own; a link that it leaves among the logs leads nowhere."""
    plant = 'import os, glob; os.symlink("/etc/passwd", os.path.join(os.environ["WHERE"], "planted.log"))'
    head = of_kind(seen, "head")[0]
    temp = json.loads(spec_of(lab, wanted, seen).read_text())["temp_dir"]
    body = {
        "entrypoint": f"python -c '{plant}; print(\"said by the entry point\")'",
        "submission_id": "raysubmit_conformance1",
        "runtime_env": {"env_vars": {"WHERE": f"{temp}/s/logs"}},
    }
    await finished(wanted, seen, (await ask(wanted, seen, "/api/jobs/", body))["submission_id"])
    files = {(file.node, file.name): file for file in await lab.engine.log_files(wanted.instance)}
    assert names(seen) <= {node for node, _ in files}
    for name in ("raylet.out", "gcs_server.out", "shim.log"):
        assert files[head.node, name].size > 0
    file = files[head.node, JOB_LOG]
    assert b"said by the entry point\n" in (await lab.engine.read_log(wanted.instance, file, 0, 1 << 20) or b"")
    assert Path(temp, "s", "logs", "planted.log").is_symlink()
    assert (head.node, "planted.log") not in files
    planted = dataclasses.replace(file, name="planted.log")
    assert await lab.engine.read_log(wanted.instance, planted, 0, 10) is None


async def assert_logs_survived_the_head(lab: Lab, wanted: InstancePlan, seen: Observation) -> None:
    """The head that came back uses the same session: its files go on, and each shim has one of its own."""
    head = of_kind(seen, "head")[0]
    files = {file.name: file for file in await lab.engine.log_files(wanted.instance) if file.node == head.node}
    assert {"shim.log", "shim.1.log", JOB_LOG} <= files.keys()
    text = await lab.engine.read_log(wanted.instance, files[JOB_LOG], 0, 1 << 20)
    assert b"said by the entry point\n" in (text or b"")


JOB_LOG = "job-driver-raysubmit_conformance1.log"
WHERE_TASKS_RUN = """import os, ray
ray.init()
print(ray.get(ray.remote(num_cpus=0.5)(lambda: os.environ["USER_SAYS"]).remote()))"""


async def test_two_clusters_of_two_releases_live_side_by_side(lab: Lab) -> None:
    first, second = small(NEWEST, workers=0), small(OLDEST, workers=1)
    await lab.engine.apply(first)
    await lab.engine.apply(second)
    one = await seen_when(lab, first, lambda seen: seen.complete or seen.failure is not None, "the first is up")
    two = await seen_when(lab, second, lambda seen: seen.complete or seen.failure is not None, "the second is up")
    assert one.failure is None
    assert two.failure is None
    assert not assert_on_loopback(one) & assert_on_loopback(two)
    assert (await ask(first, one, "/api/version"))["ray_version"] == "2.60.0"
    assert (await ask(second, two, "/api/version"))["ray_version"] == "2.47.1"
    await assert_gone_beside(lab, first, one)
    assert "hello" in await run_job(second, two, WHERE_TASKS_RUN)


async def assert_gone_beside(lab: Lab, wanted: InstancePlan, seen: Observation) -> None:
    pids = processes_of(seen)
    await lab.engine.destroy(wanted.instance)
    await seen_when(lab, wanted, lambda seen: not seen.present, "it is gone")
    assert processes_of(seen) == set()
    assert not pids & set(lab.processes())


async def test_a_short_state_folder_needs_no_other(ray_environments: Ready) -> None:
    folder = Path(tempfile.mkdtemp(prefix="hs", dir="/tmp"))
    nowhere = folder / "unused"
    ready = ray_environments["2.60.0"]
    lab = Lab(LocalSettings(folder / "s", short_folder=nowhere, ready_environment=lambda release: ready))
    try:
        await lab.open()
        wanted = small(NEWEST, workers=0)
        seen = await up(lab, wanted)
        assert seen.complete
        assert json.loads(spec_of(lab, wanted, seen).read_text())["temp_dir"].startswith(str(folder / "s"))
        assert not nowhere.exists()
        await assert_gone(lab, wanted, seen)
        await lab.close()
    finally:
        shutil.rmtree(folder)


async def test_a_node_that_cannot_start_fails_with_the_reason(lab: Lab) -> None:
    wanted = small(NEWEST, workers=0)
    head = dataclasses.replace(wanted.head, ray_params={"plasma_directory": "/nonexistent/folder"})
    seen = await up(lab, dataclasses.replace(wanted, head=head))
    assert seen.failure is not None
    assert "3 times in a row" in seen.failure
    assert "/nonexistent/folder" in seen.failure
