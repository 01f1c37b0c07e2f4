"""The door: who is let in, what is understood, and that it is there again after everything."""

from __future__ import annotations

import asyncio
import dataclasses
import stat
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from heliostat.domain.engine import Demand, InstancePlan, Scaling, Want
from heliostat.domain.errors import NotReady
from heliostat.domain.ids import InstanceId
from heliostat.engines.local.autoscaling.base import ScalerNode, TooMany
from heliostat.engines.local.autoscaling.config import read_secret, write_config
from heliostat.engines.local.autoscaling.door import WATCH_SECONDS, Door, Served
from heliostat.engines.local.layout import Layout

from ...conformance import plan
from ..kit import FastClock

HEAD = ScalerNode("n-head", "head", "head", "", running=True)
ROUND = {
    "tasks": [{"resources": {"CPU": 1.0}, "count": 2}],
    "nodes": {"n-head": {"idle": 2.5, "resources": {"CPU": 1.0}}},
}


@dataclass(eq=False)
class Target:
    """An instance that notes what it is asked for."""

    problem: Exception | None = None
    ups: list[tuple[str, str, int]] = field(default_factory=list)
    downs: list[list[str]] = field(default_factory=list)
    reports: list[tuple[Demand, Mapping[str, float]]] = field(default_factory=list)

    def scaler_nodes(self) -> list[ScalerNode]:
        return [HEAD]

    def scale_up(self, request: str, group: str, count: int) -> None:
        if self.problem is not None:
            raise self.problem
        if group != "small":
            raise KeyError(group)
        self.ups.append((request, group, count))

    def scale_down(self, nodes: Collection[str]) -> None:
        self.downs.append(list(nodes))

    def report(self, demand: Demand, idle: Mapping[str, float]) -> None:
        self.reports.append((demand, idle))


@dataclass
class House:
    """A door, two instances behind it, and a way to knock."""

    layout: Layout
    clock: FastClock
    plans: tuple[InstancePlan, InstancePlan]
    targets: dict[InstanceId, Target]

    def door(self) -> Door:
        return Door(self.layout, self.clock, self.find)

    def find(self, instance: InstanceId) -> Served | None:
        known = {plan.instance: plan for plan in self.plans}
        return Served(self.targets[instance], known[instance]) if instance in known else None

    @property
    def target(self) -> Target:
        return self.targets[self.plans[0].instance]

    async def knock(
        self, question: str, body: Any, *, instance: str | None = None, secret: str | None = None
    ) -> tuple[int, Any]:
        if secret is None:
            secret = read_secret(self.layout, self.plans[0].instance)
        url = f"http://door/instances/{instance or self.plans[0].instance}/{question}"
        text = {"data": body} if isinstance(body, str) else {"json": body}
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.layout.door))) as session,
            session.post(url, headers={"Authorization": f"Bearer {secret}"}, **text) as answer,
        ):
            return answer.status, await (answer.json() if answer.status == 200 else answer.text())


@pytest.fixture
async def house(tmp_path: Path, short_folder: Path) -> AsyncIterator[House]:
    layout = Layout(tmp_path / "state", short_folder)
    layout.make()
    plans = tuple(dataclasses.replace(plan(), scaling=Scaling()) for _ in range(2))
    for each in plans:
        layout.create(each.instance, {})
        write_config(layout, each)
    house = House(layout, FastClock(), plans, {each.instance: Target() for each in plans})  # type: ignore[arg-type]
    door = house.door()
    await door.open()
    yield house
    await door.close()
    layout.tidy()
    assert not layout.door.exists()


async def test_a_round_tells_the_nodes_and_takes_the_report(house: House) -> None:
    assert stat.S_IMODE(house.layout.door.stat().st_mode) == 0o600
    assert await house.knock("round", ROUND) == (200, {"nodes": [dataclasses.asdict(HEAD)]})
    assert house.target.reports == [(Demand(pending=(Want({"CPU": 1.0}, 2),)), {"n-head": 2.5})]


@pytest.mark.parametrize("report", [None, "what?", [], {"tasks": 5}, {"nodes": {"n": {"idle": "long"}}}])
async def test_a_bad_report_keeps_nobody_from_scaling(house: House, report: object) -> None:
    assert await house.knock("round", report) == (200, {"nodes": [dataclasses.asdict(HEAD)]})
    assert house.target.reports == []


async def test_nodes_are_made_and_ended(house: House) -> None:
    assert await house.knock("create", {"request": "r/1", "group": "small", "count": 3}) == (200, {})
    assert await house.knock("terminate", {"nodes": ["n-1", "n-2"]}) == (200, {})
    assert house.target.ups == [("r/1", "small", 3)]
    assert house.target.downs == [["n-1", "n-2"]]


@pytest.mark.parametrize(
    ("question", "body", "status", "word"),
    [
        ("create", {"request": "r", "group": "large", "count": 1}, 409, "no group 'large'"),
        ("create", {"request": "r", "group": "small", "count": 0}, 400, "count"),
        ("create", {"request": "", "group": "small", "count": 1}, 400, "request"),
        ("create", {"request": "r", "group": "small"}, 400, "count"),
        ("create", "{", 400, "JSON"),
        ("terminate", {"nodes": "n-1"}, 400, "nodes"),
        ("terminate", {"nodes": [1]}, 400, "nodes.0"),
        ("other", {}, 404, "Not Found"),
    ],
)
async def test_what_is_wrong_is_said(house: House, question: str, body: Any, status: int, word: str) -> None:
    answer = await house.knock(question, body)
    assert answer[0] == status
    assert word in answer[1]
    assert (house.target.ups, house.target.downs) == ([], [])


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), NotReady("not now")])
async def test_what_cannot_be_noted_is_not_taken_on(house: House, problem: Exception) -> None:
    house.target.problem = problem
    status, text = await house.knock("create", {"request": "r", "group": "small", "count": 1})
    assert (status, str(problem) in text) == (503, True)


async def test_what_goes_wrong_every_second_is_logged_once(house: House) -> None:
    house.target.problem = NotReady("no port is free")
    with structlog.testing.capture_logs() as logs:
        for number in range(3):
            await house.knock("create", {"request": f"r{number}", "group": "small", "count": 1})
    assert [line["cause"] for line in logs] == ["no port is free"]


async def test_more_than_a_group_may_have_is_refused(house: House) -> None:
    house.target.problem = TooMany("group small has 3 workers and may have 3")
    answer = await house.knock("create", {"request": "r", "group": "small", "count": 1})
    assert answer == (409, "group small has 3 workers and may have 3")


async def test_a_secret_is_good_for_its_own_instance_only(house: House) -> None:
    other = house.plans[1].instance
    theirs = read_secret(house.layout, other)
    for instance, secret in (
        (None, theirs),
        (other, None),
        (None, ""),
        (None, "\u00e4"),
        ("../x", None),
        ("unknown", ""),
    ):
        status, text = await house.knock("terminate", {"nodes": ["n-1"]}, instance=instance, secret=secret)
        assert status in (401, 404), (instance, text)
        assert status == 401 or instance == "../x"
    assert all(target.downs == [] for target in house.targets.values())
    assert await house.knock("terminate", {"nodes": []}, instance=other, secret=theirs) == (200, {})


async def test_the_socket_of_a_killed_server_is_no_obstacle(house: House) -> None:
    second = house.door()
    await second.open()
    assert (await house.knock("round", None))[0] == 200
    await second.close()


async def test_a_socket_that_something_removed_is_made_again(house: House) -> None:
    house.layout.door.unlink()
    house.clock.advance(WATCH_SECONDS)
    async with asyncio.timeout(5):
        while not house.layout.door.exists():
            await asyncio.sleep(0.01)
    assert (await house.knock("round", None))[0] == 200


async def test_a_socket_that_could_not_be_made_at_first_is_made_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def refuse() -> None:
        nonlocal tries
        tries += 1
        raise NotReady("the disk is full")

    house.layout.door.unlink()
    with monkeypatch.context() as full:
        full.setattr(house.layout, "ensure_short_folder", refuse)
        async with asyncio.timeout(5):
            while tries < 2:
                house.clock.advance(WATCH_SECONDS)
                await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        while not house.layout.door.exists():
            house.clock.advance(WATCH_SECONDS)
            await asyncio.sleep(0.01)
    assert (await house.knock("round", None))[0] == 200
