"""A value that must not be printed."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Secret:
    """Text that never shows in a repr, a log line or an error; :meth:`reveal` says where it is meant to leave."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        return self._text

    def matches(self, other: str) -> bool:
        """Comparison in constant time."""
        return hmac.compare_digest(self._text.encode(), other.encode())

    def __str__(self) -> str:
        return "******"
