from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from heliostat.cli import durations

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("1h30m", 5400), ("2 d", 172800), ("250ms", 0.25)]
)
def test_lengths_of_time_as_people_write_them(text: str, seconds: float) -> None:
    assert durations.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "5x", "-1s", "1m later", "m"])
def test_what_is_no_length_of_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 90s"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (3.14159, "3.1 s"), (65, "1 m 05 s"), (3700, "1 h 01 m"), (-2, "0.0 s")]
)
def test_progress_shows_tenths_while_they_matter(seconds: float, text: str) -> None:
    assert durations.seconds(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h00m"), (36000, "10h"), (172800, "2d"), (-5, "0s")],
)
def test_ages_stay_short(seconds: float, text: str) -> None:
    assert durations.age(NOW - timedelta(seconds=seconds), NOW) == text


def test_what_has_not_begun_has_no_age() -> None:
    assert durations.age(None, NOW) == ""
