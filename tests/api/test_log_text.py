"""Parts of a log: every cut of the bytes gives the same text."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.api import log_text
from heliostat.api.log_text import Bytes, Characters, Lines, OutsideRange, Shape, byte_range
from heliostat.domain.errors import InvalidRequest


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-", (0, 10)),
        ("bytes=0-0", (0, 1)),
        ("bytes=3-5", (3, 6)),
        ("bytes=3-99", (3, 10)),
        ("bytes=9-", (9, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes = 3 - 5", (3, 6)),
        ("bytes=5-3", None),
        ("bytes=-", None),
        ("bytes=1-2,4-5", None),
        ("lines=1-2", None),
        ("bytes=a-b", None),
        ("", None),
    ],
)
def test_ranges(header: str, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=-5", 0)]
)
def test_ranges_outside_the_file(header: str, size: int) -> None:
    with pytest.raises(OutsideRange):
        byte_range(header, size)


def shaped(shape: Shape, data: bytes, cuts: list[int]) -> list[bytes]:
    """What comes out when the data comes in cut at these places."""
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    taken, found = 0, []
    for start, end in pairwise(places):
        found.append(shape.take(data[start:end]))
        taken = end
        assert 0 <= shape.pending <= taken
    return [*found, shape.finish()]


CUTS = st.lists(st.integers(0, 200), max_size=20)


@given(st.one_of(st.binary(max_size=200), st.text(max_size=80).map(lambda text: text.encode(errors="replace"))), CUTS)
def test_no_byte_is_lost_and_no_character_broken(data: bytes, cuts: list[int]) -> None:
    assert b"".join(shaped(Bytes(), data, cuts)) == data
    parts = shaped(Characters(), data, cuts)
    assert b"".join(parts) == data
    assert "".join(part.decode(errors="replace") for part in parts) == data.decode(errors="replace")


@given(st.lists(st.sampled_from([b"ab", b"x\xff", "ä".encode(), b"", b"b b"]), max_size=12), st.booleans(), CUTS)
def test_lines_are_those_that_match(lines: list[bytes], ended: bool, cuts: list[int]) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    expected = b"".join(line + b"\n" for line in data.split(b"\n") if re.search(b"b|\xc3\xa4", line))
    assert b"".join(shaped(Lines(log_text.pattern("b|ä")), data, cuts)) == expected


@given(
    st.lists(st.sampled_from([b"ab", b"b", b"", b"a b", b"aab"]), max_size=8),
    st.sampled_from(["^b", "b$", "^$", "^a.*b$", r"\bb", r"\Ab", r"b\z", "(?i)B", "[^a]b", "a|^b$", "b.?$", "(?s)a.b"]),
    CUTS,
)
def test_anchors_are_about_lines(lines: list[bytes], text: str, cuts: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    chosen = log_text.pattern(text)
    expected = b"".join(line + b"\n" for line in lines if re.search(text.replace(r"\z", r"\Z").encode(), line))
    assert b"".join(shaped(Lines(chosen), data, cuts)) == expected


def test_a_line_without_end_takes_bounded_memory() -> None:
    lines = Lines(log_text.pattern("needle"))
    for _ in range(100):
        assert lines.take(b"x" * log_text.MAX_LINE) == b""
        assert lines.pending <= log_text.MAX_LINE
    assert b"needle" in lines.take(b"needle\n")


@pytest.mark.parametrize("text", ["(", "(?=a)", r"(a)\1", "a{2,1}", "x" * 1001, "\ud800"])
def test_a_pattern_that_cannot_be_is_told(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        log_text.pattern(text)
    assert caught.value.path == "grep"


def test_no_pattern_takes_long() -> None:
    lines = Lines(log_text.pattern("(a|a)*(a+)+(a*)*b$"))
    since = time.process_time()
    lines.take(b"a" * log_text.MAX_LINE + b"\n")
    assert time.process_time() - since < 2
