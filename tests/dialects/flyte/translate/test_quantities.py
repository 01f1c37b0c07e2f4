"""Kubernetes' quantities."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.dialects.flyte.translate.quantities import parse_bytes, parse_cores, parse_devices, parse_quantity

SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6),
    "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18), "Ki": Decimal(2**10),
    "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("500m", "0.5"), ("2", "2"), (2, "2"), (2.0, "2"), (0.5, "0.5"), ("1e3", "1000"), ("1E3", "1000"), ("1E", "1e18"),
        ("1.5e-1", "0.15"), (".5", "0.5"), ("1.", "1"), ("+1", "1"), (" 1Gi ", "1073741824"), ("0", "0"), ("-0", "0"),
        (1e22, "1e22"), (1024.0, "1024"), ("1e+2", "100"),
    ],
)  # fmt: skip
def test_a_quantity_is_exact(written: object, amount: str) -> None:
    assert parse_quantity(written) == Decimal(amount)


@given(st.decimals(0, 10**9, places=3), st.sampled_from(sorted(SUFFIXES)))
def test_every_suffix_multiplies_exactly(number: Decimal, suffix: str) -> None:
    assert Fraction(parse_quantity(f"{number:f}{suffix}")) == Fraction(number) * Fraction(SUFFIXES[suffix])


@given(st.floats(0, 1e15))
def test_a_json_number_is_the_number_that_it_is_written_as(number: float) -> None:
    assert parse_quantity(number) == Decimal(repr(number))


@given(
    st.one_of(st.text(), st.none(), st.booleans(), st.floats(), st.integers(), st.lists(st.text()), st.just("1e999"))
)
def test_anything_else_is_an_error_in_words(value: object) -> None:
    for parse in (parse_quantity, parse_cores, parse_bytes, parse_devices):
        try:
            assert parse(value) >= 0
        except ValueError as error:
            assert len(str(error)) < 200


@pytest.mark.parametrize(
    "bad", ["", "1 Gi", "-1", "-1m", "Gi", "1ki", "1K", "0x1", "1e", "nan", "inf", "1_0", "٣", True, [], None, {}]
)
def test_what_is_no_quantity_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r"quantity|negative"):
        parse_quantity(bad)


def test_units_and_limits() -> None:
    assert parse_cores("1n") == Decimal("0.001"), "rounded up as Kubernetes does"
    assert parse_cores(2.0) == 2
    assert parse_bytes("2048") == 2048, "bytes, and not GiB as elsewhere"
    assert parse_bytes("1500m") == 2
    assert parse_devices("2") == 2
    for parse, value in ((parse_cores, "1e9"), (parse_bytes, "2Ei"), (parse_devices, "0.5"), (parse_devices, "1e20")):
        with pytest.raises(ValueError, match=r"more than|whole"):
            parse(value)
