"""Amounts: what is accepted, what is refused, and that what is written is read back as the same."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.quantities import (
    GIB,
    MAX_CORES,
    MAX_MEMORY,
    format_cores,
    format_duration,
    format_memory,
    parse_cores,
    parse_duration,
    parse_memory,
)

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "cores"), [("2", "2"), ("0.5", "0.5"), ("500m", "0.5"), (" 4 ", "4"), ("100", "100"), ("1.50", "1.5")]
)
def test_cores(text: str, cores: str) -> None:
    assert parse_cores(text) == Decimal(cores)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "two", "1.", ".5", "1 m", "NaN", "Infinity", "\u0662", "100001"])
def test_what_are_no_cores(text: str) -> None:
    with pytest.raises(ValueError, match="cores"):
        parse_cores(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *((text, 8 * GIB) for text in ("8Gi", "8", "8G", "8GB", "8GiB", "8 Gi", " 8Gi ", "8.0Gi", "8192Mi", "8192MB")),
        ("0.5", GIB // 2),
        ("1Ti", 1 << 40),
        ("1TiB", 1 << 40),
        ("1M", MIB),
    ],
)
def test_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "0", "-8Gi", "8Ki", "8gi", "eight", "8Gi Gi", "0.0000000001Mi", "9999999Ti"])
def test_what_is_no_memory(text: str) -> None:
    with pytest.raises(ValueError, match="amount of memory"):
        parse_memory(text)


@given(st.decimals(min_value=0, max_value=MAX_CORES, allow_nan=False, allow_infinity=False, places=6))
def test_cores_come_back_as_written(cores: Decimal) -> None:
    text = format_cores(cores)
    assert parse_cores(text) == cores
    assert format_cores(parse_cores(text)) == text
    assert "E" not in text and text.lstrip("0") != "."


@given(st.integers(1, MAX_MEMORY // MIB))
def test_whole_mebibytes_come_back_as_written(mebibytes: int) -> None:
    size = mebibytes * MIB
    assert parse_memory(format_memory(size)) == size


@given(st.integers(1, MAX_MEMORY))
def test_any_amount_is_written_as_one_that_can_be_read_and_is_a_mebibyte_off_at_most(size: int) -> None:
    assert abs(parse_memory(format_memory(size)) - size) < MIB


@pytest.mark.parametrize(
    ("size", "text"), [(8 * GIB, "8Gi"), (GIB // 2, "0.5Gi"), (300 * MIB, "300Mi"), (1 << 40, "1024Gi"), (1, "1Mi")]
)
def test_memory_is_written_as_people_do(size: int, text: str) -> None:
    assert format_memory(size) == text


@given(st.text(max_size=40))
def test_any_text_is_an_amount_or_a_sentence(text: str) -> None:
    for parse in (parse_cores, parse_memory):
        try:
            assert parse(text) >= 0
        except ValueError as error:
            assert "write for example" in str(error) or "is more than" in str(error)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5H", 5400), (" 1d 2h ", 93600), ("0.5m", 30)],
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "30 minutes", "30ms", "s30", "-1m", "1e3", "0.5s", "never", "\u0662m"])
def test_what_are_no_lengths_of_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"length of time|whole seconds"):
        parse_duration(text)


@given(st.integers(0, 10**9))
def test_a_length_of_time_is_written_as_it_can_be_read(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
