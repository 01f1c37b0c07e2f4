"""Kubernetes' quantities, as they arrive in Flyte's messages (Flyte contract, section 5.6).

``500m``, ``2Gi``, ``1e3``, ``1.5G`` or a JSON number. Unlike the amounts that people give us elsewhere, a bare number of memory
is bytes: ``Resources(mem="2048")`` is 2 KiB. Other text is repeated in messages, since a quantity is no secret.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal, localcontext

from heliostat.dialects.bodies import kind_of
from heliostat.domain.quantities import MAX_CORES, MAX_MEMORY

_QUANTITY = re.compile(
    r"([+-]?)([0-9]{1,60}(?:\.[0-9]{0,60})?|\.[0-9]{1,60})(?:[eE]([+-]?[0-9]{1,3})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII
)
_SUFFIXES: dict[str | None, Decimal] = {
    None: Decimal(1),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("num", -3)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}
MAX_DEVICES = 1024


def parse_quantity(value: object) -> Decimal:
    """The exact amount. Raises ValueError with a sentence."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be a quantity such as 500m or 2Gi, not {kind_of(value)}")
    text = repr(value) if isinstance(value, float) else str(value).strip()
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:80]!r} is not a quantity; write for example 500m, 1.5 or 2Gi")
    sign, number, exponent, suffix = match.groups()
    with localcontext() as context:
        context.prec = 400
        amount = Decimal(number)
        amount = amount.scaleb(int(exponent)) if exponent else amount * _SUFFIXES[suffix]
        if sign == "-" and amount:
            raise ValueError(f"{text[:80]!r} must not be negative")
    return amount


def parse_cores(value: object) -> Decimal:
    """Cores, in whole thousandths, rounded up as Kubernetes does. Raises ValueError with a sentence."""
    amount = parse_quantity(value)
    if amount > MAX_CORES:
        raise ValueError(f"{str(value)[:80]!r} is more than {MAX_CORES} cores")
    with localcontext() as context:
        context.prec = 400
        return amount.quantize(Decimal("0.001"), ROUND_CEILING).normalize()


def parse_bytes(value: object) -> int:
    """Bytes, rounded up. Raises ValueError with a sentence."""
    amount = parse_quantity(value)
    if amount > MAX_MEMORY:
        raise ValueError(f"{str(value)[:80]!r} is more than 1 PiB")
    return int(amount.to_integral_value(ROUND_CEILING))


def parse_devices(value: object) -> int:
    """A number of devices. Raises ValueError with a sentence."""
    amount = parse_quantity(value)
    if amount > MAX_DEVICES:
        raise ValueError(f"{str(value)[:80]!r} is more than any node has")
    if amount != amount.to_integral_value():
        raise ValueError(f"{str(value)[:80]!r} must be a whole number")
    return int(amount)
