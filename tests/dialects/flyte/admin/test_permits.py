"""Permits say what they were made of, and nothing else is one."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from heliostat.dialects.flyte.admin import permits
from heliostat.dialects.flyte.admin.permits import Permit
from heliostat.domain.ids import PrincipalId, WorkspaceId

END = datetime(2030, 1, 1, tzinfo=UTC)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(texts, texts, st.sampled_from([permits.PUT, permits.GET]))
def test_what_was_signed_is_read_back(url: str, name: str, verb: str) -> None:
    permit = Permit(verb, WorkspaceId("w-1"), PrincipalId("p-1"), url, "0" * 32, name, END)
    text = permits.issue(permit, b"key")
    assert permits.read(text, b"key") == permit
    assert permits.read(text, b"other") is None


@given(st.one_of(st.text(max_size=80), st.from_regex(r"[A-Za-z0-9_-]{1,80}\.[A-Za-z0-9_-]{43}", fullmatch=True)))
def test_nothing_else_is_a_permit(text: str) -> None:
    assert permits.read(text, b"key") is None
