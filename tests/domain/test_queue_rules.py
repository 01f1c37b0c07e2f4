"""Which queues there may be beside each other, and what their figures mean."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from heliostat.domain.errors import InvalidRequest
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.quantities import GIB
from heliostat.domain.queue_rules import check, notes, used
from heliostat.domain.records import Amount, Queue

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def cores(number: str | int) -> Amount:
    return Amount(cpu=Decimal(number))


def queue(name: str = "q", **fields: Any) -> Queue:
    return Queue(WorkspaceId("w"), name, NOW, **fields)


def root(**fields: Any) -> Queue:
    return queue("root_queue", **fields)


GOOD = {
    "nothing is said": (queue(), [root()]),
    "every letter": (queue("aZ_-9" + "x" * 58), [root()]),
    "minimum and maximum are the same": (queue(minimum=cores(4), maximum=cores(4)), [root()]),
    "no more is guaranteed than there is": (queue(minimum=cores(4)), [root(maximum=cores(10)), queue("o", minimum=cores(6))]),
    "the root's minimum does not count": (queue(minimum=cores(4)), [root(minimum=cores(99), maximum=cores(4))]),
    "the root's minimum may exceed its maximum": (root(minimum=cores(8), maximum=cores(4)), []),
    "the root is not limited": (queue(minimum=cores(1000)), [root(maximum=Amount(memory=GIB))]),
    "less is held than may be": (queue(held=cores(8), maximum=cores(4)), [root()]),
    "one that guarantees nothing, where too much was guaranteed before": (
        queue(), [root(maximum=cores(1)), queue("o", minimum=cores(6))],
    ),
    "closed": (queue(maximum=Amount(Decimal(0), 0, 0)), [root()]),
}  # fmt: skip
BAD = {
    "name": (queue("no good"), [root()]),
    "name ": (queue(""), [root()]),
    " name": (queue("x" * 64), [root()]),
    " name ": (queue("line\n"), [root()]),
    "description": (queue(description="x" * 1025), [root()]),
    "priority": (queue(priority=1001), [root()]),
    "minimum.cpu": (queue(minimum=cores("4.5"), maximum=cores(4)), [root()]),
    "minimum.memory": (queue(minimum=Amount(memory=2), maximum=Amount(memory=1)), [root()]),
    "minimum.gpu": (queue(minimum=Amount(gpu=2), maximum=Amount(gpu=1)), [root()]),
    "maximum.gpu": (queue(maximum=Amount(gpu=-1)), [root()]),
    "maximum.cpu ": (queue(maximum=cores(100_001)), [root()]),
    "minimum.cpu ": (queue(minimum=cores(5)), [root(maximum=cores(10)), queue("o", minimum=cores(6))]),
    "maximum.cpu": (root(maximum=cores(5)), [queue("o", minimum=cores(6))]),
}


@pytest.mark.parametrize("case", GOOD)
def test_good_queues(case: str) -> None:
    check(*GOOD[case])


@pytest.mark.parametrize("path", BAD)
def test_bad_queues_name_the_path(path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check(*BAD[path])
    assert refused.value.path == path.strip()


def test_an_error_tells_the_figures_and_the_remedy() -> None:
    with pytest.raises(InvalidRequest, match=r"11 CPU would be guaranteed .* may hold 10, the maximum of root_queue"):
        check(*BAD["minimum.cpu "])
    with pytest.raises(InvalidRequest, match="must be at least 6, which is guaranteed to the other queues"):
        check(*BAD["maximum.cpu"])


def test_what_all_hold_counts_against_the_roots_maximum() -> None:
    queues = [root(held=cores(1)), queue(held=Amount(Decimal("2.5"), GIB, 1))]
    assert used(queues[0], queues) == Amount(Decimal("3.5"), GIB, 1)
    assert used(queues[1], queues) == queues[1].held


def test_notes_tell_what_may_surprise() -> None:
    base = [root(maximum=cores(16)), queue(held=cores(8), maximum=cores(8))]
    assert list(notes(base[1], base)) == []
    [note] = notes(smaller := replace(base[1], maximum=cores(4)), [base[0], smaller])
    assert note.startswith("8 CPU is held, more than the maximum of 4: nothing is ended")
    [note] = notes(larger := replace(base[1], maximum=cores(32)), [base[0], larger])
    assert "can never be reached" in note and "16" in note
    [note] = notes(odd := root(minimum=cores(1)), [odd])
    assert "guarantees nothing" in note
