"""Admission: the rules one by one, and all of them against a model that counts everything anew at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from heliostat.domain.admission import PATIENCE, QueueState, Request, admit, impossible_nodes, shortages
from heliostat.domain.ids import ClusterId, InstanceId
from heliostat.domain.quota import HEAD, ROOT, Charge, Claim, Limit, Phase, charge, groups, milli
from heliostat.domain.spec import NodeShape

from .samples import ANN, NOW, SPEC, WORKSPACE

MINUTE = timedelta(minutes=1)


def a_claim(
    run: str, group: str = HEAD, queue: str = ROOT, cpu: int = 1, wanted: int = 1, held: int = 0, *,
    memory: int = 0, priority: int = 0, minute: int = 0,
) -> Claim:  # fmt: skip
    """``minute``: when it asked."""
    return Claim(
        InstanceId(run), group, WORKSPACE, ClusterId(run), queue, ANN, Charge(cpu, memory), wanted, held, priority,
        NOW + minute * MINUTE, Phase.STARTING, NOW,
    )  # fmt: skip


def start(run: str, *claims: Claim, **fields: int | str) -> Request:
    return Request(InstanceId(run), claims or (a_claim(run, **fields),), whole=True)  # type: ignore[arg-type]


def growth(run: str, cpu: int = 1, wanted: int = 1, held: int = 0, queue: str = ROOT, minute: int = 0) -> Request:
    head = a_claim(run, cpu=0, held=1)
    return Request(InstanceId(run), (head, a_claim(run, "g", queue, cpu, wanted, held, minute=minute)), whole=False)


def queues(*states: QueueState) -> dict[str, QueueState]:
    return {state.name: state for state in states}


def root(cpu: int | None, held: int = 0, **fields: int | bool) -> QueueState:
    return QueueState(ROOT, maximum=Limit(cpu), held=Charge(held), **fields)  # type: ignore[arg-type]


def admitted(places: Mapping[str, QueueState], *waiting: Request, minute: int = 0) -> dict[str, int]:
    """Nodes by run."""
    found: dict[str, int] = {}
    for grant in admit(places, waiting, NOW + minute * MINUTE).grants:
        found[grant.instance] = found.get(grant.instance, 0) + grant.nodes
    return found


def test_without_limits_everybody_goes() -> None:
    assert admitted(queues(root(None)), start("x", cpu=10**9), growth("y", wanted=10**6)) == {"x": 1, "y": 10**6}


def test_a_start_goes_whole_or_not_at_all() -> None:
    run = start("x", a_claim("x"), a_claim("x", "g", wanted=4))
    assert admitted(queues(root(4)), run) == {}
    assert admitted(queues(root(5)), run) == {"x": 5}


def test_growth_goes_in_part() -> None:
    assert admitted(queues(root(7, held=2)), growth("x", cpu=2, wanted=9)) == {"x": 2}


def test_first_come_within_a_priority() -> None:
    late, early = start("x", minute=2), start("y", minute=1)
    assert admitted(queues(root(1)), late, early) == {"y": 1}
    urgent = start("z", minute=3, priority=1)
    assert admitted(queues(root(1)), late, early, urgent) == {"z": 1}


def test_a_queues_priority_comes_before_a_clusters() -> None:
    places = queues(root(1), QueueState("high", priority=1))
    assert admitted(places, start("x", priority=1000), start("y", queue="high", minute=5)) == {"y": 1}


def test_what_a_run_has_of_an_urgent_queue_does_not_hurry_what_it_wants_of_another() -> None:
    places = queues(root(1), QueueState("high", priority=1))
    head = replace(a_claim("x", cpu=0, queue="high", held=1))
    grown = Request(InstanceId("x"), (head, a_claim("x", "g", minute=5)), whole=False)
    assert admitted(places, grown, start("y")) == {"y": 1}


def test_a_guarantee_is_kept_free_until_it_is_used() -> None:
    sure = QueueState("sure", minimum=Charge(4))
    other = start("x", queue="other", cpu=7)
    assert admitted(queues(root(10), sure, QueueState("other")), other) == {}
    assert admitted(queues(root(10), sure, QueueState("other")), start("x", queue="other", cpu=6)) == {"x": 1}
    assert admitted(queues(root(10), sure, QueueState("other", held=Charge(6))), start("y", queue="sure", cpu=4))


def test_the_root_bounds_all_together() -> None:
    places = queues(root(5, held=1), QueueState("a", held=Charge(2)), QueueState("b", held=Charge(1)))
    assert admitted(places, start("x", queue="a", cpu=2)) == {}
    assert admitted(places, start("x", queue="a", cpu=1)) == {"x": 1}


def test_a_start_in_two_queues_waits_for_both() -> None:
    run = start("x", a_claim("x", queue="a"), a_claim("x", "g", "b", wanted=2))
    places = queues(QueueState("a", maximum=Limit(1)), QueueState("b", maximum=Limit(2), held=Charge(1)))
    assert admitted(places, run) == {}
    assert admitted({**places, "b": replace(places["b"], held=Charge())}, run) == {"x": 3}


def test_small_ones_pass_a_large_one_for_a_while_only() -> None:
    places = queues(root(4, held=2))
    large, small = start("large", cpu=4), start("small", minute=1)
    assert admitted(places, large, small, minute=9) == {"small": 1}
    assert admit(places, [large], NOW + 9 * MINUTE).again == MINUTE
    assert admitted(places, large, small, minute=10) == {}
    assert admitted(queues(root(4)), large, small, minute=10) == {"large": 1}


def test_without_back_fill_nobody_passes() -> None:
    large, small = start("large", cpu=4), start("small", minute=1)
    assert admitted(queues(root(4, held=2, backfill=False)), large, small, minute=1) == {}
    elsewhere = start("other", queue="other", minute=1)
    places = queues(root(None), QueueState("a", maximum=Limit(4), held=Charge(2), backfill=False), QueueState("other"))
    assert admitted(places, start("large", cpu=4, queue="a"), start("small", queue="a", minute=1), elsewhere) == {
        "other": 1
    }


def test_what_waits_for_the_root_holds_up_every_queue_in_the_end() -> None:
    places = queues(root(4, held=2), QueueState("a"), QueueState("b"))
    large, small = start("large", cpu=4, queue="a"), start("small", queue="b", minute=1)
    assert admitted(places, large, small, minute=9) == {"small": 1}
    assert admitted(places, large, small, minute=10) == {}


def test_what_can_never_be_had_holds_up_nobody() -> None:
    places = queues(root(4, held=2, backfill=False), QueueState("sure", minimum=Charge(1)))
    never, small = start("never", cpu=4), start("small", minute=1)
    assert [short.of for short in impossible_nodes(places, never.nodes)] == ["0.004"]
    assert admitted(places, never, small, minute=60) == {"small": 1}
    gone = start("gone", queue="gone")
    assert admitted(places, gone, small, minute=60) == {"small": 1}
    greedy = growth("greedy", wanted=100, held=3)
    places = queues(root(4, held=3, backfill=False))
    assert admitted(places, greedy, small, minute=60) == {"greedy": 1}
    full = growth("full", wanted=100, held=4)
    assert admit(queues(root(4, held=4, backfill=False), QueueState("a")), [full], NOW).again is None


def test_growth_that_others_stand_in_the_way_of_gets_its_turn_too() -> None:
    places = queues(root(4, held=4))
    grown, small = growth("grown", wanted=3, held=2), start("small", minute=5)
    assert admitted(places, grown, small, minute=10) == {}
    assert admitted(queues(root(4, held=3)), grown, small, minute=10) == {"grown": 1}


def test_a_lowered_maximum_gives_nothing_and_takes_nothing() -> None:
    assert admitted(queues(root(2, held=5)), start("x"), growth("y", wanted=2)) == {}


def test_why_something_waits() -> None:
    places = queues(root(10, held=4), QueueState("a", maximum=Limit(3000, 5), held=Charge(2500, 1)))
    (cpu, memory) = shortages(places | {ROOT: root(None)}, start("x", queue="a", cpu=1000, memory=7))
    assert (cpu.queue, cpu.resource, cpu.needs, cpu.free, cpu.of) == ("a", "CPU", "1", "0.5", "3")
    assert (memory.queue, memory.resource) == ("a", "memory")
    assert shortages(queues(root(10, held=4)), start("x", cpu=6)) == ()
    (short,) = shortages(queues(root(10_000, held=4000)), growth("x", cpu=7000, wanted=3))
    assert (short.needs, short.free) == ("7", "6")


def test_amounts_are_rounded_up() -> None:
    assert milli(Decimal("0.0001")) == 1 and milli(Decimal("2.0005")) == 2001
    assert charge(NodeShape(ROOT, Decimal(1), 1, "gone"), {}).gpu == 1
    assert groups(SPEC, {})["g"][2] == 2 and groups(SPEC, {})[HEAD][2] == 1
    assert Charge(1000, 8 << 30).milli_cu == 2000 and Charge(3000, 8 << 30).milli_cu == 3000


# --- all rules at once ----------------------------------------------------------------------------------------------------

NAMES = (ROOT, "a", "b")
small = st.integers(0, 4)
bounds = st.none() | st.integers(0, 12)
states = st.tuples(
    *(
        st.builds(
            QueueState, st.just(name), st.builds(Charge, small, small), st.builds(Limit, bounds, bounds),
            st.integers(0, 1), st.booleans(), st.builds(Charge, st.integers(0, 6), st.integers(0, 6)),
        )
        for name in NAMES
    )
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> list[Request]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        whole, run = draw(st.booleans()), f"r{number}"
        claims = []
        for group in (HEAD, "g", "h")[: draw(st.integers(1, 3))]:
            held = 0 if whole else draw(st.integers(1 if group == HEAD else 0, 2))
            wanted = held + (draw(st.integers(1 if whole else 0, 4)) if group else int(whole))
            claims.append(
                a_claim(
                    run, group, draw(st.sampled_from((*NAMES, "b", "gone") if draw(st.booleans()) else NAMES)),
                    draw(st.integers(0, 3)), wanted, held, memory=draw(st.integers(0, 3)),
                    priority=draw(st.integers(0, 1)), minute=draw(st.integers(0, 15)),
                )
            )  # fmt: skip
        if any(row.missing for row in claims):
            found.append(Request(InstanceId(run), tuple(claims), whole))
    return found


@given(states, requests(), st.integers(15, 30))
@settings(max_examples=500, deadline=None)
@example((root(4), QueueState("a", Charge(2)), QueueState("b")), [start("x", cpu=2), start("y", cpu=2, queue="a")], 15)
def test_every_rule_holds(given_queues: tuple[QueueState, ...], waiting: list[Request], minute: int) -> None:
    places, now = queues(*given_queues), NOW + minute * MINUTE
    outcome = admit(places, waiting, now)
    claims = {(claim.instance, claim.group): claim for request in waiting for claim in request.claims}
    made: dict[tuple[str, str], int] = {}
    held = {name: _pair(state.held) for name, state in places.items()}
    for grant in outcome.grants:
        claim = claims[grant.instance, grant.group]
        made[grant.instance, grant.group] = made.get((grant.instance, grant.group), 0) + grant.nodes
        assert 0 < made[grant.instance, grant.group] <= claim.missing
        before, sure = held, _guaranteed(places, held)
        held = {**held, claim.queue: _plus(held[claim.queue], _pair(claim.node), grant.nodes)}
        for resource in (0, 1):
            if _pair(claim.node)[resource]:
                most = _most(places[claim.queue])[resource]
                assert most is None or held[claim.queue][resource] <= most
                most = _most(places[ROOT])[resource]
                assert most is None or sum(row[resource] for row in held.values()) <= most
                assert most is None or sure[resource] > most or _guaranteed(places, held)[resource] <= most
            else:
                assert before[claim.queue][resource] == held[claim.queue][resource]
    for request in waiting:
        got = [made.get((request.instance, claim.group), 0) for claim in request.claims]
        if request.whole:
            assert not any(got) or got == [claim.missing for claim in request.claims]
    assert (made, outcome.again) == _model(places, waiting, now)
    event(f"{len(outcome.grants)} grants of {len(waiting)} requests")


def _model(
    places: Mapping[str, QueueState], waiting: Sequence[Request], now: datetime
) -> tuple[dict[tuple[str, str], int], timedelta | None]:
    """The rules once more, one node at a time and without a memory."""
    held = {name: _pair(state.held) for name, state in places.items()}
    nothing = dict.fromkeys(held, (0, 0))
    closed: set[str] = set()
    made: dict[tuple[str, str], int] = {}
    again: list[timedelta] = []

    def rank(request: Request) -> tuple[object, ...]:
        rows = [row for row in request.claims if row.missing]
        queue = max((places[row.queue].priority for row in rows if row.queue in places), default=0)
        return -queue, -max(row.priority for row in rows), min(row.asked_at for row in rows), request.instance

    for request in sorted(waiting, key=rank):
        rows = [row for row in request.claims if row.missing]
        names = {row.queue for row in rows}
        if any(row.queue not in places for row in request.claims):
            continue
        if request.whole and _lacks(places, _taken(nothing, [(row, row.missing) for row in rows]), names, needs=rows):
            continue
        short: set[str] = set()
        if closed & (names | {ROOT}):
            short = names
        elif request.whole:
            after = _taken(held, [(row, row.missing) for row in rows])
            short = {name for row in rows for name in _lacks(places, after, {row.queue}, needs=rows)}
            if short:
                short |= names
            else:
                held = after
                made |= {(request.instance, row.group): row.missing for row in rows}
        else:
            alone = _taken(nothing, [(row, row.held) for row in request.claims])
            for row in rows:
                could = 0
                while could < row.missing and not _lacks(places, _taken(alone, [(row, 1)]), {row.queue}, needs=[row]):
                    alone, could = _taken(alone, [(row, 1)]), could + 1
                got = 0
                while got < row.missing:
                    lacks = _lacks(places, _taken(held, [(row, 1)]), {row.queue}, needs=[row])
                    if lacks:
                        break
                    held, got = _taken(held, [(row, 1)]), got + 1
                if got:
                    made[request.instance, row.group] = got
                if got < could:
                    short |= {row.queue} | lacks
        waited = now - min(row.asked_at for row in rows)
        for name in short:
            if not places[name].backfill or waited >= PATIENCE:
                closed.add(name)
        for name in short:
            if not closed & {name, ROOT}:
                again.append(PATIENCE - waited)
    return made, min(again, default=None)


def _lacks(
    places: Mapping[str, QueueState],
    held: Mapping[str, tuple[int, int]],
    names: set[str],
    needs: Sequence[Claim] | None = None,
) -> set[str]:
    """Which limits would be passed, of these queues and the root, in what is taken more."""
    found = set()
    for name in names:
        for resource in (0, 1):
            if needs is not None and not any(_pair(row.node)[resource] for row in needs if row.queue == name):
                continue
            most = _most(places[name])[resource]
            if most is not None and held[name][resource] > most:
                found.add(name)
            most = _most(places[ROOT])[resource]
            rest = sum(
                max(row[resource], _pair(places[other].minimum)[resource])
                if other not in (name, ROOT)
                else row[resource]
                for other, row in held.items()
            )
            if most is not None and rest > most:
                found.add(ROOT)
    return found


def _taken(held: Mapping[str, tuple[int, int]], nodes: Sequence[tuple[Claim, int]]) -> dict[str, tuple[int, int]]:
    after = dict(held)
    for row, count in nodes:
        after[row.queue] = _plus(after[row.queue], _pair(row.node), count)
    return after


def _guaranteed(places: Mapping[str, QueueState], held: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """What is held or kept free of the root."""
    sums = [0, 0]
    for name, row in held.items():
        for resource in (0, 1):
            sure = 0 if name == ROOT else _pair(places[name].minimum)[resource]
            sums[resource] += max(row[resource], sure)
    return sums[0], sums[1]


def _most(state: QueueState) -> tuple[int | None, int | None]:
    return state.maximum.milli_cpu, state.maximum.memory


def _pair(charge: Charge) -> tuple[int, int]:
    return charge.milli_cpu, charge.memory


def _plus(one: tuple[int, int], other: tuple[int, int], times: int) -> tuple[int, int]:
    return one[0] + other[0] * times, one[1] + other[1] * times


# --- over time ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 4), min_size=1, max_size=40), st.integers(5, 8), st.booleans())
@settings(max_examples=100, deadline=None)
def test_nobody_that_fits_starves(sizes: list[int], most: int, backfill: bool) -> None:
    """A run of the whole queue among an endless stream of small ones, each of which goes after three minutes."""
    large = start("large", cpu=most, minute=1)
    running: dict[str, tuple[int, int]] = {}
    waiting: dict[str, Request] = {"large": large}
    for minute in range(60):
        running = {run: row for run, row in running.items() if row[1] > minute}
        name = f"s{minute:02}"
        waiting[name] = start(name, cpu=sizes[minute % len(sizes)], minute=minute)
        place = root(most, held=sum(cpu for cpu, _ in running.values()), backfill=backfill)
        for run in admitted(queues(place), *waiting.values(), minute=minute):
            if run == "large":
                assert minute <= 1 + 10 + 3 and (backfill or minute <= 1 + 3)
                return
            running[run] = (waiting.pop(run).claims[0].node.milli_cpu, minute + 3)
    pytest.fail("the large one starves")
