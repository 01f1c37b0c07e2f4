"""Path A whole: tasks of real flytekit, a propeller that knows no more than a propeller, our server, real Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from ..kit.phases import Phase
from ..kit.propeller import Node, Propeller, Result, integers, phases, text
from ..kit.serializing import TASKS, Serialized, Serializer
from .conftest import SHARED, Place

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(280)]
IMPORTABLE = {"PYTHONPATH": str(TASKS)}
ODD = 'it\'s "odd" $HOME `id` \\ ; \n & äöü'


class Tasks:
    def __init__(self, serializer: Serializer, place: Place) -> None:
        self._serializer = serializer
        self._place = place

    def made(self, file: str, task: str, inputs: Mapping[str, Any] = {}, **more: Any) -> Serialized:
        """To run on the shared cluster."""
        env = {} if "archive" in more else IMPORTABLE
        made = self._serializer.serialize(file, task, inputs, env=env, **more)
        made.template.metadata.metadata.labels["heliostat/cluster"] = SHARED
        return made

    def node(self, file: str, task: str, inputs: Mapping[str, Any] = {}, **more: Any) -> Node:
        made = self.made(file, task, inputs, **more)
        return Node(made.template, made.inputs)


@pytest.fixture
def tasks(serializer: Serializer, place: Place) -> Tasks:
    return Tasks(serializer, place)


async def played(place: Place, *nodes: Node) -> list[Result]:
    async with Propeller(place.configuration, place.folder / "data") as propeller:
        await propeller.discover()
        assert not propeller.unreachable
        return list(await asyncio.gather(*(propeller.run(node) for node in nodes)))


async def test_what_succeeds(place: Place, tasks: Tasks) -> None:
    noted = place.folder / "noted.txt"
    archive = place.folder / "fast.tar.gz"
    made = tasks.made("void.py", "noted", {"path": str(noted)})
    plain, same, variable, seen, total, shipped, void = await played(
        place,
        tasks.node("plain.py", "sum_of_squares", {"n": 5}),
        tasks.node("plain.py", "same", {"text": ODD}),
        tasks.node("environments.py", "variable"),
        tasks.node("pods.py", "seen"),
        tasks.node("fast/fast_task.py", "total", {"n": 4}, archive=archive),
        tasks.node(
            "environments.py", "shipped", environment={"TEST_WORKING_DIR": f"file://{place.folder}/shipped.zip"}
        ),
        Node(made.template, made.inputs, creations=2),  # a propeller that has died before it noted the first answer
    )
    for result in (plain, same, variable, seen, total, shipped, void):
        assert result.phase is Phase.SUCCEEDED, result.message
    assert integers(plain.outputs) == 30
    assert text(same.outputs) == ODD
    assert text(variable.outputs) == "good day"
    assert text(seen.outputs) == "task"
    assert integers(total.outputs) == 2 * (0 + 1 + 2 + 3)
    assert text(shipped.outputs) == "carried here"
    assert noted.read_text() == "noted\n", "it ran twice"
    assert len(set(void.attempts[0].metas)) == 1 and len(void.attempts[0].metas) == 2
    first = plain.attempts[0].events[0]
    assert [link.name for link in first.links] == ["Ray dashboard", "Driver log"] and first.links[0].ShowWhilePending


async def test_what_fails(place: Place, tasks: Tasks) -> None:
    broken, void, again, killed = await played(
        place,
        tasks.node("failing.py", "broken", {"n": 7}),
        tasks.node("failing.py", "void_broken"),
        tasks.node("failing.py", "again"),
        tasks.node("failing.py", "killed", {"status": 3}),
    )
    assert broken.phase is Phase.FAILED and len(broken.attempts) == 1
    assert "[USER:RuntimeError]" in broken.message and "ValueError: broken by 7" in broken.message
    assert void.phase is Phase.FAILED and "ValueError: broken without outputs" in void.message
    assert again.phase is Phase.SUCCEEDED and integers(again.outputs) == 1
    assert phases(again.attempts[0])[-1] is Phase.RETRYABLE_FAILED
    assert killed.phase is Phase.FAILED and phases(killed.attempts[0])[-1] is Phase.RETRYABLE_FAILED
    assert "exit code 3" in killed.message


async def test_a_map_task(place: Place, tasks: Tasks) -> None:
    node = tasks.node("mapped.py", "square", {"number": [3, 4, 5]}, map=True)
    assert node.template.task_type_version == 1
    async with Propeller(place.configuration, place.folder / "data") as propeller:
        await propeller.discover()
        results, gathered = await propeller.run_map(node)
    assert [result.message for result in results if result.phase is not Phase.SUCCEEDED] == []
    assert integers(gathered) == [9, 16, 25]


async def test_an_abort_and_a_server_that_dies(place: Place, tasks: Tasks) -> None:
    """The server is killed after CreateTask was answered and before the first look; then the node is aborted."""
    mark = place.folder / "asleep.txt"
    aborted = asyncio.Event()
    pauses = 0

    async def pause() -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 1:
            await asyncio.to_thread(place.server.restart)
        if mark.exists():
            aborted.set()
        await asyncio.sleep(0.2)

    async with Propeller(place.configuration, place.folder / "data", pause) as propeller:
        await propeller.discover()
        result = await propeller.run(tasks.node("sleeping.py", "asleep", {"path": str(mark)}), aborted)
    assert result.phase is Phase.ABORTED and result.attempts[0].deletions == 1
    (job,) = [job for job in place.server.client.jobs.list() if job.info.tags.get("flyte.task") == "sleeping.asleep"]
    async with asyncio.timeout(60):
        while not job.refresh().ended:
            await asyncio.sleep(0.1)
    assert job.status == "Cancelled"


async def test_a_cluster_of_its_own_goes_with_the_task(place: Place, serializer: Serializer) -> None:
    made = serializer.serialize("plain.py", "sum_of_squares", {"n": 3}, env=IMPORTABLE)
    made.template.metadata.metadata.labels["heliostat/reuse-idle"] = "0"
    (result,) = await played(place, Node(made.template, made.inputs))
    assert result.phase is Phase.SUCCEEDED and integers(result.outputs) == 5
    assert Phase.INITIALIZING in phases(result.attempts[0])
    client = place.server.client
    (job,) = [job for job in client.jobs.list() if job.info.tags.get("flyte.execution") == _execution(result)]
    async with asyncio.timeout(60):
        while not job.refresh().info.settled:
            await asyncio.sleep(0.1)
    assert job.info.cluster.id not in place.server.clusters


def _execution(result: Result) -> str:
    """Of the folder that its outputs are in."""
    return result.attempts[0].output_prefix.split("/metadata/")[1].split("/")[0].rpartition("-")[2]
