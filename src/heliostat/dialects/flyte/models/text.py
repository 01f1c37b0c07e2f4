"""How people are shown a message: one line for each field that is set (Flyte contract, section 2.4)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from google.protobuf.message import Message

WIDTH = 80


def outline(message: Message, indent: int = 0) -> str:
    """Without a newline at the end. A message inside that has nothing set is left out."""
    return "\n".join(_lines(message, " " * indent))


def _lines(message: Message, margin: str) -> Iterator[str]:
    for field, value in message.ListFields():
        if isinstance(value, Message):
            if value.ListFields():
                yield f"{margin}{field.name}:"
                yield from _lines(value, margin + "  ")
        elif text := textwrap.shorten(str(value), WIDTH):
            yield f"{margin}{field.name}: {text}"
