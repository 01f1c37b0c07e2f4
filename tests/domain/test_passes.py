"""Passes: genuine ones hold until they expire; anything else does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from heliostat.domain import passes
from heliostat.domain.ids import ClusterId, new_instance_id
from heliostat.domain.passes import PREFIX, Pass, Purpose
from heliostat.domain.records import Role
from heliostat.domain.secret import Secret

TOKEN = Secret("0123456789abcdef0123456789abcdef")
OTHER = Secret("fedcba9876543210fedcba9876543210")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
INSTANCES = st.builds(new_instance_id, st.just(ClusterId("ray-aaaaaaaaaaaaaaaa")))
GRANTED = st.builds(
    Pass,
    st.sampled_from(Purpose),
    INSTANCES,
    st.sampled_from(Role),
    st.text(min_size=1, max_size=64),
    st.integers(1, 10**6).map(lambda seconds: NOW + seconds * SECOND),
)


@given(GRANTED)
def test_a_pass_says_what_was_granted_and_holds_until_it_expires(granted: Pass) -> None:
    text = passes.issue(granted, TOKEN)
    assert passes.read(text) == granted
    assert passes.holds(text, TOKEN, NOW)
    assert passes.holds(text, TOKEN, granted.expires_at - SECOND)
    assert not passes.holds(text, TOKEN, granted.expires_at)


@given(GRANTED)
def test_a_pass_may_stand_in_a_url_and_a_cookie(granted: Pass) -> None:
    text = passes.issue(granted, TOKEN)
    assert text.startswith(PREFIX) and text.isascii()
    assert not set(text) & set("/~?&#=%;, \"'\\")


@given(GRANTED)
def test_a_pass_of_another_instance_does_not_hold(granted: Pass) -> None:
    assert not passes.holds(passes.issue(granted, TOKEN), OTHER, NOW)


@given(GRANTED, st.data())
def test_a_tampered_pass_does_not_hold(granted: Pass, data: st.DataObject) -> None:
    text = passes.issue(granted, TOKEN)
    position = data.draw(st.integers(len(PREFIX), len(text) - 1))
    character = data.draw(st.characters(codec="utf-8"))
    tampered = text[:position] + character + text[position + 1 :]
    assume(tampered != text)
    assert not passes.holds(tampered, TOKEN, NOW)


@given(GRANTED, GRANTED)
def test_the_signature_of_one_pass_is_no_good_for_another(one: Pass, two: Pass) -> None:
    assume(one != two)
    body = passes.issue(one, TOKEN).partition(".")[0]
    signature = passes.issue(two, TOKEN).partition(".")[2]
    assert not passes.holds(f"{body}.{signature}", TOKEN, NOW)


@given(st.text() | st.text().map(PREFIX.__add__) | st.text("AZaz09-_.").map(PREFIX.__add__))
def test_no_other_text_holds(text: str) -> None:
    assert not passes.holds(text, TOKEN, NOW)
    passes.read(text)


@pytest.mark.parametrize("cut", [1, 10, 43])
def test_a_pass_that_was_cut_off_does_not_hold(cut: int) -> None:
    granted = Pass(Purpose.LINK, new_instance_id(ClusterId("ray-x")), Role.VIEWER, "ann", NOW + SECOND)
    assert not passes.holds(passes.issue(granted, TOKEN)[:-cut], TOKEN, NOW)
