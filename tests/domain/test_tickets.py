"""Tickets: good for one file, for their time, by one key, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.ids import WorkspaceId
from heliostat.domain.tickets import Ticket, issue, redeem

KEY = bytes(range(32))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TICKET = Ticket(
    WorkspaceId("w-0123456789abcdef"), "rj-0123456789abcdef", "nodes/n1/raylet.out", NOW + timedelta(hours=1)
)


def test_a_ticket_names_its_file() -> None:
    assert redeem(issue(TICKET, KEY), KEY, NOW) == TICKET


def test_it_is_good_until_its_end_and_not_at_it() -> None:
    text = issue(TICKET, KEY)
    assert redeem(text, KEY, TICKET.expires_at - timedelta(microseconds=1)) == TICKET
    assert redeem(text, KEY, TICKET.expires_at) is None
    assert redeem(text, KEY, TICKET.expires_at + timedelta(days=1)) is None


def test_another_key_does_not_open_it() -> None:
    assert redeem(issue(TICKET, KEY), bytes(32), NOW) is None


def test_it_stands_in_a_url_as_one_segment() -> None:
    odd = replace(TICKET, name="ä b/?#%&.log")
    text = issue(odd, KEY)
    assert quote(text, safe="") == text
    assert redeem(text, KEY, NOW) == odd


def test_changing_any_character_spoils_it() -> None:
    text = issue(TICKET, KEY)
    for place, character in enumerate(text):
        for other in "Aa0-_.=" + chr(ord(character) ^ 1):
            changed = text[:place] + other + text[place + 1 :]
            assert changed == text or redeem(changed, KEY, NOW) is None, place
    for changed in (
        text[:-1],
        text[1:],
        text + "A",
        text + "=",
        text + ".",
        text.replace(".", ""),
        f"{text}.{text}",
        "",
    ):
        assert redeem(changed, KEY, NOW) is None


def test_the_signature_of_one_is_not_good_for_another() -> None:
    body, signature = issue(TICKET, KEY).split(".")
    other_body, other_signature = issue(replace(TICKET, name="other.log"), KEY).split(".")
    assert (body, signature) != (other_body, other_signature)
    assert redeem(f"{other_body}.{signature}", KEY, NOW) is None
    assert redeem(f"{body}.{other_signature}", KEY, NOW) is None


@given(st.text(st.characters()))
def test_any_other_text_is_none(text: str) -> None:
    assert redeem(text, KEY, NOW) is None


@pytest.mark.parametrize("text", ["\ud800", "\ud800.\udfff", "a.\0", "=.=", "é.é"])
def test_text_that_is_none_at_all_is_none(text: str) -> None:
    assert redeem(text, KEY, NOW) is None


@given(st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True), st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_a_file_is_called_the_ticket_is_for_that_one(owner: str, name: str) -> None:
    ticket = replace(TICKET, owner=owner, name=name)
    assert redeem(issue(ticket, KEY), KEY, NOW) == ticket
