"""The queue of starts: order, bounds, what is told to those who wait; and how many workers come up at once."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.ids import new_cluster_id, new_instance_id
from heliostat.engines.local import crowd, limits
from heliostat.engines.local.actions import Retire, Start
from heliostat.engines.local.facts import Seen
from heliostat.engines.local.limits import HEAD_BYTES, WORKER_BYTES
from heliostat.engines.local.records import InstanceRecord, NodeRecord
from heliostat.engines.local.turns import EXPECT_SECONDS, Need, Turn, Turns
from heliostat_node.protocol import NodeStatus

from .kit import FastClock

GIB = 1 << 30


class Line:
    """A queue of starts, and who came through it in which order."""

    def __init__(self, most: int = 1, free: int = 1 << 40) -> None:
        self.clock = FastClock()
        self.free = free
        self.turns = Turns(self.clock, most, lambda: self.free)
        self.served: list[str] = []
        self.told: dict[str, str] = {}
        self.held: dict[str, Turn] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def ask(self, name: str, order: float, need: Need | None = None, background: bool = False) -> None:
        self.tasks[name] = asyncio.create_task(self._wait(name, order, need or Need(), background))

    async def _wait(self, name: str, order: float, need: Need, background: bool) -> None:
        def tell(reason: str) -> None:
            self.told[name] = reason

        self.held[name] = await self.turns.acquire(order, lambda: need, background=background, tell=tell)
        self.served.append(name)

    async def settle(self) -> None:
        """Until everybody who can move has moved."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def look_again(self) -> None:
        self.clock.advance(1.5)
        await self.settle()

    async def done(self, name: str) -> None:
        self.held.pop(name).release()
        await self.settle()

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


class TestOrder:
    @pytest.mark.parametrize("most", [1, 2, 5])
    async def test_who_asked_first_starts_first_whoever_comes_first(self, most: int) -> None:
        line = Line(most)
        line.ask("busy", 0.0)
        await line.settle()
        for place in random.Random(most).sample(range(1, 21), 20):
            line.ask(str(place), float(place))
        await line.settle()
        while line.held:
            assert len(line.held) <= most
            await line.done(line.served[-len(line.held)])
        free_at_once = most - 1
        assert line.served[1 + free_at_once :] == sorted(line.served[1 + free_at_once :], key=int)
        assert len(line.served) == 21
        await line.end()

    async def test_equal_times_are_served_as_they_came(self) -> None:
        line = Line()
        for name in "abcd":
            line.ask(name, 7.0)
        await line.settle()
        for name in "abcd":
            assert list(line.held) == [name]
            await line.done(name)

    async def test_one_that_gives_up_makes_room(self) -> None:
        line = Line()
        for place, name in enumerate("abc"):
            line.ask(name, place)
        await line.settle()
        assert line.told["c"] == "2 starts are ahead"
        line.tasks["b"].cancel()
        await line.settle()
        assert line.told["c"] == "1 start is ahead"
        await line.done("a")
        assert list(line.held) == ["c"]

    async def test_a_turn_is_given_back_once(self) -> None:
        line = Line()
        for place, name in enumerate("abc"):
            line.ask(name, place)
        await line.settle()
        turn = line.held["a"]
        turn.release()
        turn.release()
        await line.settle()
        assert line.served == ["a", "b"]
        await line.end()

    async def test_a_place_is_kept_for_those_of_before_the_restart(self) -> None:
        line = Line()
        line.turns.expect(1.0)
        line.ask("later", 2.0)
        await line.settle()
        assert line.told["later"] == "1 start is ahead"
        line.ask("earlier", 1.0)
        await line.settle()
        await line.done("earlier")
        assert line.served == ["earlier", "later"]

    async def test_a_kept_place_is_given_up_for_one_that_does_not_come(self) -> None:
        line = Line()
        line.turns.expect(1.0)
        line.turns.expect(1.5)
        line.turns.forget(1.5)
        line.ask("later", 2.0)
        await line.look_again()
        assert not line.served
        line.clock.advance(EXPECT_SECONDS)
        await line.settle()
        assert line.served == ["later"]

    async def test_starts_that_an_earlier_server_began_count(self) -> None:
        line = Line()
        first, second = line.turns.take(), line.turns.take()
        line.ask("new", 1.0)
        await line.settle()
        assert line.told["new"] == "2 starts are ahead"
        first.release()
        await line.settle()
        assert not line.served
        second.release()
        await line.settle()
        assert line.served == ["new"]


class TestBackground:
    async def test_users_come_first_however_late(self) -> None:
        line = Line()
        line.ask("user", 5.0)
        line.ask("stock", 1.0, background=True)
        await line.settle()
        line.ask("late user", 9.0)
        await line.settle()
        await line.done("user")
        assert list(line.held) == ["late user"]
        await line.done("late user")
        assert list(line.held) == ["stock"]

    async def test_users_do_not_wait_for_one_that_is_under_way(self) -> None:
        line = Line()
        line.ask("stock", 1.0, background=True)
        await line.settle()
        line.ask("user", 5.0)
        await line.settle()
        assert line.served == ["stock", "user"]

    async def test_they_go_one_at_a_time_and_only_when_nobody_else_starts(self) -> None:
        line = Line(most=4)
        line.ask("user", 5.0)
        await line.settle()
        for name in ("one", "two"):
            line.ask(name, 1.0, background=True)
        await line.settle()
        assert line.served == ["user"]
        await line.done("user")
        assert line.served == ["user", "one"]
        await line.done("one")
        assert line.served == ["user", "one", "two"]

    async def test_a_user_who_waits_for_memory_is_not_overtaken(self) -> None:
        line = Line(most=2, free=GIB)
        line.ask("user", 5.0, Need(3, 2 * GIB))
        line.ask("stock", 1.0, Need(1, 1), background=True)
        await line.look_again()
        assert not line.served
        await line.end()


class TestMemory:
    async def test_a_start_waits_until_its_nodes_fit(self) -> None:
        line = Line(most=2, free=int(0.3 * GIB))
        line.ask("big", 1.0, Need(3, int(0.8 * GIB)))
        line.ask("next", 2.0, Need(1, 1))
        await line.settle()
        assert line.told["big"] == "waits for memory: 3 nodes need 0.8 GiB, 0.3 GiB are free"
        assert line.told["next"] == (
            "1 start is ahead; the first waits for memory: 3 nodes need 0.8 GiB, 0.3 GiB are free"
        )
        line.free = GIB
        await line.look_again()
        assert line.served == ["big", "next"]

    async def test_what_is_promised_to_those_under_way_is_not_free(self) -> None:
        line = Line(most=2, free=GIB)
        missing = [Need(2, int(0.7 * GIB))]
        turn = await line.turns.acquire(0.0, lambda: missing[0])
        line.ask("next", 1.0, Need(1, int(0.5 * GIB)))
        await line.settle()
        assert line.told["next"] == "waits for memory: 1 node needs 0.5 GiB, 0.3 GiB are free"
        line.free, missing[0] = (
            int(0.6 * GIB),
            Need(1, int(0.05 * GIB)),
        )  # a node came up: it takes what it was promised
        await line.look_again()
        assert line.served == ["next"]
        turn.release()

    def test_this_machine_has_some_and_keeps_a_part_of_it(self) -> None:
        figures = limits._meminfo()
        assert 0 < limits.free_memory() < figures["MemTotal"] * (1 - limits.KEPT_FREE)

    @pytest.mark.parametrize(
        ("files", "free"),
        [
            ({"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 1\ninactive_file 100\n"}, 350),
            ({"memory.max": "max", "memory.current": "700"}, None),
            (
                {
                    "memory.limit_in_bytes": "1000",
                    "memory.usage_in_bytes": "700",
                    "memory.stat": "inactive_file 7\ntotal_inactive_file 200\n",
                },
                450,
            ),
        ],
        ids=["v2", "v2 without a limit", "v1"],
    )
    def test_a_containers_limit_counts(
        self, files: dict[str, str], free: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        monkeypatch.setattr(limits, "_cgroups", lambda controller: [tmp_path])
        monkeypatch.setattr(limits, "_meminfo", lambda: {"MemTotal": 10_000, "MemAvailable": 9_000})
        assert limits.free_memory() == (9_000 - 500 if free is None else free)


@given(st.data())
async def test_every_start_is_served_and_never_too_many_at_once(data: st.DataObject) -> None:
    """Any order of asking, giving back, giving up and memory: bounds hold, users are served in order, nobody is lost."""
    most = data.draw(st.integers(1, 3))
    line = Line(most, free=10)
    orders: dict[str, float] = {}
    users: set[str] = set()
    known = 0
    for number in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["ask", "done", "leave", "memory"])):
            case "ask":
                name = f"{number}"
                orders[name] = data.draw(st.integers(0, 5))
                background = data.draw(st.booleans())
                size = data.draw(st.integers(0, 10))
                line.ask(name, orders[name], Need(1, size), background)
                users |= set() if background else {name}
            case "done" if line.held:
                await line.done(data.draw(st.sampled_from(sorted(line.held))))
            case "leave" if waiting := sorted(set(orders) - set(line.served)):
                gone = data.draw(st.sampled_from(waiting))
                line.tasks[gone].cancel()
                del orders[gone]
            case "memory":
                line.free = data.draw(st.integers(0, 10))
        await line.look_again()
        assert sum(not turn.background for turn in line.held.values()) <= most
        assert sum(turn.background for turn in line.held.values()) <= 1
        waiting_users = users & set(orders) - set(line.served)
        for name in line.served[known:]:
            assert all(orders[name] <= orders[other] for other in waiting_users)
        known = len(line.served)
    line.free = 1000
    while len(line.served) < len(orders) or line.held:
        await line.look_again()
        assert line.held, f"nobody goes on: {line.told}"
        await line.done(min(line.held))
    assert set(orders) <= set(line.served)


def record(workers: int, launched: int = 0, launched_at: float = 100.0) -> InstanceRecord:
    nodes = [NodeRecord("i-head", "head", "head", "h", 0.0, launched_at=launched_at)]
    nodes += [
        NodeRecord(f"i-w{n}", "worker", "small", f"w{n}", 0.0, launched_at=launched_at if n <= launched else 0.0)
        for n in range(1, workers + 1)
    ]
    return InstanceRecord(new_instance_id(new_cluster_id()), 0.0, tuple(nodes))


class TestCrowd:
    def test_no_more_workers_than_slots_are_launched_and_everything_else_goes_on(self) -> None:
        steps = (Start("i-head"), *(Start(f"i-w{n}") for n in range(1, 6)), Retire("i-w9"))
        admitted = crowd.admitted(steps, record(5), crowd.Room(2))
        assert admitted.steps == (Start("i-head"), Start("i-w1"), Start("i-w2"), Retire("i-w9"))
        assert admitted.waiting == Need()

    @pytest.mark.parametrize("slots", [0, -3])
    def test_a_head_never_waits_for_workers(self, slots: int) -> None:
        assert crowd.admitted((Start("i-head"), Start("i-w1")), record(1), crowd.Room(slots)).steps == (
            Start("i-head"),
        )

    def test_workers_without_a_turn_wait_for_memory(self) -> None:
        steps = tuple(Start(f"i-w{n}") for n in range(1, 5))
        admitted = crowd.admitted(steps, record(4), crowd.Room(9, int(1.5 * WORKER_BYTES)))
        assert admitted.steps == (Start("i-w1"),)
        assert crowd.words(admitted.waiting, int(0.5 * WORKER_BYTES)) == (
            "3 workers wait for memory: 3 nodes need 0.5 GiB, 0.1 GiB are free"
        )
        assert crowd.admitted(steps, record(4), crowd.Room(9, -GIB)).steps == ()

    def test_what_is_coming_up(self) -> None:
        noted = record(4, launched=3)
        status = NodeStatus("i", "i-w1", 1, 1, phase="registered")
        seen = {"i-w1": Seen(True, status), "i-w2": Seen(True)}
        assert [node.node for node in crowd.coming(noted, seen, 101.0)] == ["i-w2", "i-w3"]
        assert not crowd.coming(noted, seen, 100.0 + crowd.COMING_SECONDS)
        assert not crowd.coming(noted, seen, 50.0), "the clock was set back: nobody is held up"
        assert not crowd.coming(dataclasses.replace(noted, failure="it failed"), seen, 101.0)

    def test_nodes_need_what_they_take_at_rest(self) -> None:
        assert crowd.need(record(2).nodes) == Need(3, HEAD_BYTES + 2 * WORKER_BYTES)
