"""Ray's messages quote logs: what they may not say of it."""

from __future__ import annotations

import pytest

from heliostat.control.log_secrets import without_secrets
from heliostat.domain.masking import MASK

SECRET = "tok-0123456789"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("", ""),
        ("it failed", "it failed"),
        (f"no login with {SECRET}", f"no login with {MASK}"),
        (f"{SECRET} and {SECRET}...", f"{MASK} and {MASK}..."),
        ("no login with tok-012...", "no login with ..."),
        ("no login with tok-012", "no login with tok-012"),
        ("\u00e9 \ud800 to...", "\u00e9 \ud800 ..."),
    ],
)
def test_a_message_is_shown_without_secrets_and_without_the_beginning_of_one(message: str, shown: str) -> None:
    assert without_secrets(message, {SECRET}) == shown
