"""Amounts of CPU and memory, and lengths of time, as people write them.

Source of the accepted forms: EMR contract, section 8 (``8Gi``, also ``8``, ``8G``, ``8GB``, ``8GiB``; cores as ``2`` or
``0.5``), widened by Kubernetes' ``Mi``/``Ti`` and ``m``. A bare memory number is GiB.
"""

from __future__ import annotations

import re
from decimal import Decimal

GIB = 1 << 30
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(Ti|TiB|Gi|GiB|GB|G|Mi|MiB|MB|M)?")
_UNITS = {"T": 1 << 40, "G": GIB, "M": 1 << 20}
_CORES = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m?)")

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|d)")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}

MAX_CORES = Decimal(100_000)
MAX_MEMORY = 1 << 50


def parse_cores(text: str) -> Decimal:
    """``"2"`` -> 2, ``"0.5"`` -> 0.5, ``"500m"`` -> 0.5. Raises ValueError with a sentence."""
    match = _CORES.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a number of cores; write for example 2 or 0.5")
    cores = Decimal(match[1]) / (1000 if match[2] else 1)
    if cores > MAX_CORES:
        raise ValueError(f"{text!r} is more than {MAX_CORES} cores")
    return cores.normalize()


def format_cores(cores: Decimal) -> str:
    """The shortest plain spelling: ``Decimal("2.0")`` -> ``"2"``."""
    return f"{cores.normalize():f}"


def parse_memory(text: str) -> int:
    """``"8Gi"`` -> 8589934592 bytes. Raises ValueError with a sentence."""
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount of memory; write for example 8Gi or 512Mi")
    size = int(Decimal(match[1]) * _UNITS[(match[2] or "G")[0]])
    if not 0 < size <= MAX_MEMORY:
        raise ValueError(f"{text!r} is not a usable amount of memory; write for example 8Gi")
    return size


def format_memory(size: int) -> str:
    """Bytes as ``8Gi`` or ``0.5Gi`` where three decimals say it exactly, else in whole Mi, rounded down: ``300Mi``."""
    if size % GIB == 0:
        return f"{size // GIB}Gi"
    gibibytes = Decimal(size) / GIB
    if gibibytes == gibibytes.quantize(Decimal("0.001")):
        return f"{gibibytes.normalize():f}Gi"
    return f"{max(1, size >> 20)}Mi"


def parse_duration(text: str) -> int:
    """``"90"`` and ``"90s"`` -> 90 seconds, ``"1h30m"`` -> 5400. Raises ValueError with a sentence."""
    compact = re.sub(r"\s", "", text).lower()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", compact):
        compact += "s"
    parts = _PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ValueError(f"{text!r} is not a length of time; write for example 90s, 30m or 1h30m")
    seconds = sum(Decimal(number) * _SECONDS[unit] for number, unit in parts)
    if seconds != int(seconds):
        raise ValueError(f"{text!r} is not a number of whole seconds")
    return int(seconds)


def format_duration(seconds: int) -> str:
    """The shortest plain spelling: 5400 -> ``"1h30m"``, 0 -> ``"0s"``."""
    words = ""
    for unit, length in _SECONDS.items():
        count, seconds = divmod(seconds, length)
        words += f"{count}{unit}" if count else ""
    return words or "0s"
