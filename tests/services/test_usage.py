"""Usage as its readers find it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from heliostat.domain.errors import InvalidRequest
from heliostat.domain.ids import ClusterId
from heliostat.domain.quota import Claim, Phase
from heliostat.services import UsageReport
from heliostat.store import Transaction

from .conftest import BOTH, Office

START = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


async def used(it: Office, name: str, phase: Phase, hours: float, at: datetime = START) -> ClusterId:
    """A cluster of three nodes with a core and 1 GiB each that was so for so long."""
    made = await it.running(name)

    def work(tx: Transaction) -> None:
        assert made.instance is not None
        for claim in tx.claims.of_instance(made.instance):
            past: Claim = replace(claim, phase=phase, metered_until=at)
            tx.ledger.add(past, at + timedelta(hours=hours))

    await it.store.write(work)
    return made.id


async def report(it: Office, **asked: Any) -> UsageReport:
    span = {"since": START, "until": START + timedelta(hours=5)} | asked
    return await it.services.usage.usage(await it.caller("viewer"), it.workspace, **span)


@BOTH
async def test_hours_by_what_was_asked_for(office: Office) -> None:
    one = await used(office, "one", Phase.USEFUL, 2)
    two = await used(office, "two", Phase.IDLE, 0.5, START + timedelta(hours=1, minutes=15))
    plain = await report(office)
    assert [line.keys for line in plain.lines] == [{}]
    assert plain.total.phases[Phase.USEFUL].cpu == pytest.approx(6)
    assert plain.total.phases[Phase.IDLE].memory_gib == pytest.approx(1.5)
    assert (plain.total.total.node, plain.total.total.cu) == pytest.approx((7.5, 7.5))
    by_cluster = await report(office, by=["cluster", "queue"])
    found = {line.keys["cluster"]: (line.names["cluster"], line.keys["queue"]) for line in by_cluster.lines}
    assert found == {one: ("one", "root_queue"), two: ("two", "root_queue")}
    [line] = (await report(office, by=["principal"], cluster=two)).lines
    assert (line.names, line.total.cpu) == ({"principal": "ann"}, pytest.approx(1.5))
    by_hour = await report(office, by=["hour"])
    assert [line.keys["hour"][11:13] for line in by_hour.lines] == ["10", "11"]
    assert (await report(office, queue="other")).lines == ()


async def test_whole_hours_are_counted_and_told(office: Office) -> None:
    await used(office, "one", Phase.USEFUL, 3)
    there = timezone(timedelta(hours=-5, minutes=-30))
    seen = await report(
        office, since=START.replace(minute=59).astimezone(there), until=START + timedelta(hours=1, minutes=1)
    )
    assert (seen.since, seen.until) == (START, START + timedelta(hours=2))
    assert seen.total.total.cpu == pytest.approx(6)


async def test_a_cluster_that_is_gone_still_counts(office: Office) -> None:
    one = await used(office, "one", Phase.USEFUL, 1)
    await office.store.write(lambda tx: tx.clusters.purge(one))
    [line] = (await report(office, by=["cluster"], cluster=one)).lines
    assert (line.keys, line.names) == ({"cluster": one}, {})


BAD: list[tuple[Any, ...]] = [
    ({"since": datetime(2026, 1, 1)}, "since"),
    ({"until": datetime.max.replace(tzinfo=UTC)}, "until"),
    ({"since": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))}, "since"),
    ({"since": START + timedelta(hours=6)}, "since"),
    ({"since": START - timedelta(days=400)}, "since"),
    ({"since": START - timedelta(days=31), "by": ["hour"]}, "since"),
    ({"by": ["queue", "colour"]}, "by[1]"),
    ({"by": ["queue", "queue"]}, "by[1]"),
]


async def test_bad_questions_name_the_path(office: Office) -> None:
    for asked, path in BAD:
        with pytest.raises(InvalidRequest) as refused:
            await report(office, **asked)
        assert refused.value.path == path, asked
