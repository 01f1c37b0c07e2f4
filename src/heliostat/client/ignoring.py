"""Ignore files, read as git reads them: the patterns of one file, asked about one file or folder at a time.

The library for it (pathspec) asks whether a whole path is ignored, and lets a folder that is taken back in take its
content along; git asks at each level on the way down. Packing walks a tree as git does, so it asks as git does. Names and
patterns are bytes, of which ``?`` matches one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_CLASSES = {
    b"alnum": rb"[0-9A-Za-z]", b"alpha": rb"[A-Za-z]", b"blank": rb"[ \t]", b"cntrl": rb"[\x00-\x1f\x7f]",
    b"digit": rb"[0-9]", b"graph": rb"[!-~]", b"lower": rb"[a-z]", b"print": rb"[ -~]",
    b"punct": rb"[!-/:-@\[-`{-~]", b"space": rb"[ \t-\r]", b"upper": rb"[A-Z]", b"xdigit": rb"[0-9A-Fa-f]",
}  # fmt: skip
_ESCAPED, _STAR, _LOW, _HIGH = b"\\", b"*", b"[", b"]"


class _Never(Exception):
    """A pattern that matches nothing: a bracket or an escape without end."""


@dataclass(frozen=True)
class Pattern:
    """One line."""

    keeps: bool
    """It began with ``!``."""
    folders_only: bool
    anywhere: bool
    """It has no slash, and is about the last part of a path, at any depth."""
    expression: re.Pattern[bytes]

    def matches(self, path: bytes, folder: bool) -> bool:
        if self.folders_only and not folder:
            return False
        return self.expression.fullmatch(path.rpartition(b"/")[2] if self.anywhere else path) is not None


def verdict(patterns: Iterable[Pattern], path: bytes, folder: bool) -> bool | None:
    """Whether a file's patterns ignore ``path``, which is relative to the file's folder; None when none is about it.

    ``patterns`` are in the order of :func:`parse`, the last line of the file first.
    """
    for pattern in patterns:
        if pattern.matches(path, folder):
            return not pattern.keeps
    return None


def parse(content: bytes) -> tuple[Pattern, ...]:
    """The patterns of a file, the last line first, since that decides."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    found = (_pattern(line.removesuffix(b"\r")) for line in reversed(lines))
    return tuple(pattern for pattern in found if pattern is not None)


def _pattern(line: bytes) -> Pattern | None:
    line = _without_trailing_blanks(line)
    if not line or line.startswith(b"#"):
        return None
    keeps = line.startswith(b"!")
    text = line[1:] if keeps else line
    folders_only = text.endswith(b"/")
    text = text.removesuffix(b"/")
    anywhere = b"/" not in text
    try:
        expression = _expression(text.removeprefix(b"/"))
    except _Never:
        return None
    return Pattern(keeps, folders_only, anywhere, re.compile(expression, re.DOTALL))


def _without_trailing_blanks(line: bytes) -> bytes:
    """Blanks at the end do not count, unless escaped."""
    end = len(line)
    while end and line[end - 1 : end] == b" ":
        escapes = len(line[: end - 1]) - len(line[: end - 1].rstrip(_ESCAPED))
        if escapes % 2:
            break
        end -= 1
    return line[:end]


def _expression(text: bytes) -> bytes:
    """A pattern as a regular expression. Raises _Never."""
    found, at = [], 0
    while at < len(text):
        letter = text[at : at + 1]
        if letter == _STAR:
            begin = at
            while text[at : at + 1] == _STAR:
                at += 1
            several = at - begin > 1 and text[:begin][-1:] in (b"", b"/") and text[at : at + 1] in (b"", b"/")
            if several and text[at : at + 1] == b"/":
                at += 1
                found.append(b"(?:.*/)?")
            else:
                found.append(b".*" if several else b"[^/]*")
        elif letter == b"?":
            found.append(b"[^/]")
            at += 1
        elif letter == _LOW:
            expression, at = _bracket(text, at + 1)
            found.append(expression)
        else:
            at += letter == _ESCAPED
            if at >= len(text):
                raise _Never
            found.append(re.escape(text[at : at + 1]))
            at += 1
    return b"".join(found)


def _bracket(text: bytes, at: int) -> tuple[bytes, int]:
    """The set that begins at ``at``, as an expression, and what is behind it. Raises _Never."""
    negated = text[at : at + 1] in (b"!", b"^")
    at += negated
    within: set[int] = set()
    before: int | None = None
    first = True
    while first or text[at : at + 1] != _HIGH:
        first = False
        if text[at : at + 1] == b"-" and before is not None and text[at + 1 : at + 2] not in (b"", _HIGH):
            last, at = _letter(text, at + 1)
            within.update(range(before, last + 1))
            before = None
        elif text[at : at + 2] == b"[:" and (named := _class(text, at + 2)) is not None:
            members, at = named
            within |= members
            before = None
        else:
            before, at = _letter(text, at)
            within.add(before)
    chosen = (set(range(256)) - within if negated else within) - {ord("/")}
    if not chosen:
        return b"(?!)", at + 1
    return b"[" + b"".join(b"\\x%02x" % value for value in sorted(chosen)) + b"]", at + 1


def _letter(text: bytes, at: int) -> tuple[int, int]:
    at += text[at : at + 1] == _ESCAPED
    if at >= len(text):
        raise _Never
    return text[at], at + 1


def _class(text: bytes, at: int) -> tuple[set[int], int] | None:
    """The members of a named class, and what is behind it; None when what is there has not the form of one."""
    end = text.find(_HIGH, at)
    if end < 0:
        raise _Never
    if end == at or text[end - 1 : end] != b":":
        return None
    expression = _CLASSES.get(text[at : end - 1])
    if expression is None:
        raise _Never
    members = {value for value in range(256) if re.fullmatch(expression, bytes([value]))}
    return members, end + 1
