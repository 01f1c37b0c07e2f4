"""Nothing leaves the machine: with a key of ours the SDK does not even try, and what it does with others is seen."""

from __future__ import annotations

import json

import pytest

from .served import Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
GOOGLE = "googleapis.com"


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_with_our_key_it_tries_to_reach_nobody_else(simulated: Served, transport: str) -> None:
    before = simulated.room.attempts()
    seen = simulated.script("alone.py", transport, simulated.key).report
    assert seen["universe"] not in ("", GOOGLE)
    assert seen["listed"] == []
    assert simulated.room.attempts() == before


def test_with_googles_universe_it_tries_to_and_is_seen(simulated: Served) -> None:
    """What the keys of ours have a universe for: without it the SDK takes its live token to Google (section 5.4)."""
    key = json.loads(simulated.key.read_text())
    other = simulated.home / "default-universe.json"
    other.write_text(json.dumps(key | {"universe_domain": GOOGLE}))
    before = simulated.room.attempts()
    seen = simulated.script("alone.py", "grpc", other).report
    assert (seen["universe"], seen["listed"]) == (GOOGLE, [])
    assert simulated.room.attempts() > before
