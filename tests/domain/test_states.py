"""The table of states is complete, connected and says why."""

from __future__ import annotations

from itertools import product

import pytest

from heliostat.domain.states import COHERENT, EDGES, State, Wanted, may, toward

PAIRS = list(product(State, State))


def test_every_state_has_its_row() -> None:
    assert set(EDGES) == set(State)
    assert set(COHERENT) == set(Wanted)


@pytest.mark.parametrize("state", State)
def test_every_edge_says_why_it_exists(state: State) -> None:
    assert state not in EDGES[state], "staying needs no edge"
    assert all(len(reason.split()) >= 3 for reason in EDGES[state].values())


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_staying_is_allowed_and_else_the_table_decides(before: State, after: State) -> None:
    assert may(before, after) == (before is after or after in EDGES[before])


@pytest.mark.parametrize(("before", "goal"), PAIRS)
def test_every_state_can_be_reached_from_every_other_along_edges(before: State, goal: State) -> None:
    walked = [before]
    while walked[-1] is not goal:
        following = toward(walked[-1], goal)
        assert following in EDGES[walked[-1]]
        walked.append(following)
        assert len(walked) <= len(State)


@pytest.mark.parametrize(("before", "goal"), PAIRS)
def test_one_step_is_taken_at_once(before: State, goal: State) -> None:
    assert (toward(before, goal) is goal) == may(before, goal)


def test_what_is_wanted_rules_out_the_opposite() -> None:
    assert not COHERENT[Wanted.RUNNING] & {State.STOPPED, State.STOPPING}
    assert not (COHERENT[Wanted.STOPPED] | COHERENT[Wanted.DELETED]) & {State.STARTING, State.RUNNING}
