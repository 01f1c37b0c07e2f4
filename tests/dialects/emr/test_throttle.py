"""Token buckets on a clock set by hand."""

from __future__ import annotations

import pytest

from heliostat.dialects.emr import throttle
from heliostat.dialects.emr.settings import EmrSettings
from heliostat.dialects.emr.throttle import Throttle
from heliostat.domain.errors import Throttled


class Hand:
    """A clock in seconds."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hand() -> Hand:
    return Hand()


def admitted(bucket: Throttle, key: str = "k", *, write: bool = False, tries: int = 100) -> int:
    """How many of ``tries`` requests at this moment are admitted."""
    count = 0
    for _ in range(tries):
        try:
            bucket.admit(key, write=write)
        except Throttled:
            continue
        count += 1
    return count


def test_a_second_holds_fifty_reads_and_ten_writes_per_key(hand: Hand) -> None:
    bucket = Throttle(EmrSettings(), hand)
    assert (admitted(bucket), admitted(bucket, write=True), admitted(bucket, "other")) == (50, 10, 50)
    hand.now += 0.5
    assert (admitted(bucket), admitted(bucket, write=True)) == (25, 5)
    hand.now += 3600
    assert admitted(bucket) == 50


def test_it_says_when_to_come_again(hand: Hand) -> None:
    bucket = Throttle(EmrSettings(writes_per_second=0.1), hand)
    bucket.admit("k", write=True)
    hand.now += 4
    with pytest.raises(Throttled) as refused:
        bucket.admit("k", write=True)
    assert refused.value.after_ms == 6000
    hand.now += 6
    bucket.admit("k", write=True)


def test_limits_can_be_lifted(hand: Hand) -> None:
    bucket = Throttle(EmrSettings(reads_per_second=None), hand)
    assert admitted(bucket, tries=500) == 500


def test_keys_that_fell_silent_are_forgotten(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_BUCKETS", 3)
    bucket = Throttle(EmrSettings(), hand)
    for number in range(3):
        admitted(bucket, f"old {number}")
    hand.now += 60
    assert admitted(bucket, "busy") == 50
    assert len(bucket._buckets) == 1
    assert admitted(bucket, "busy") == 0
