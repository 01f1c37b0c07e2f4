"""Logs on stdout, as they are: whatever their length, only a piece of them is in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click


def show(pieces: Iterable[str], *, before_each_line: str = "") -> bool:
    """Print what comes; whether there was anything.

    ``before_each_line`` tells where a line is from. Without it a log that ends within a line leaves the terminal there,
    as ``cat`` does.
    """
    begun = True
    shown = False
    for text in pieces:
        if not text:
            continue
        shown = True
        click.echo(_marked(text, before_each_line, begun) if before_each_line else text, nl=False)
        sys.stdout.flush()
        begun = text.endswith("\n")
    if before_each_line and not begun:
        click.echo()
    return shown


def _marked(text: str, mark: str, begun: bool) -> str:
    whole, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
    return (mark if begun else "") + whole.replace("\n", f"\n{mark}") + end
