"""Two hundred readers that wait for a cluster at once, each on a connection of its own."""

from __future__ import annotations

import pytest

from .held import measured

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
COUNT, MIB = 200, 20


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_they_cost_little_and_are_all_answered_in_the_end(way: str) -> None:
    cost = measured(way, COUNT)
    if cost.mib >= MIB:  # what else the server happens to do meanwhile counts, too, and can only make it more
        cost = measured(way, COUNT)
    assert cost.mib < MIB
    assert len(cost.answers) == COUNT
    assert all("persistentResources/slow" in answer for answer in cost.answers)
