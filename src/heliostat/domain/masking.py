"""What may be secret in the environment of a job or a node, and hiding it in whatever leaves us: logs, messages, events.

A name tells little (``DATABASE`` may hold a password) and so does a value (``production`` is a word of any log). So a value is
taken for a secret unless it is short, a path, a word or a number; a name that sounds like a secret leaves paths and short
values only. The value is looked for as it is, and as JSON, Python's ``repr`` and URLs write it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

MASK = "****"
CHARACTERS = 8
"""Shorter values (``1``, ``true``, ``info``) are words of any log and hide nothing."""
NAMED_CHARACTERS = 6
"""The same under a name that sounds like a secret."""
DECLARED_CHARACTERS = 4
"""The same of values that were declared to be secret."""
TOKEN_CHARACTERS = 16
"""User names in URLs that are shorter are names."""
LINE_CHARACTERS = 16
"""Lines of a value that are shorter (the last of a key's) are not looked for alone."""
PIECE_CHARACTERS = 4096
"""Longer values are looked for in pieces, so that a masker never holds back much."""

_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTH|PRIVATE|PWD|SIGNATURE", re.IGNORECASE
)
_NUMBER = re.compile(r"[+-]?[0-9][0-9_.,]*([eE][+-]?[0-9]+)?")
_USER = re.compile(r"://([^/\s@?#\"']+)@")
_BETWEEN_URLS = re.compile(r"[\s\"']+")
_ASSIGNMENT = re.compile(r"(?:--env[= ]|-e[= ]?)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_PASSWORD = re.compile(r"://[^/\s@]+@")
_FENCE = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")


def secret_values(env: Mapping[str, str]) -> frozenset[str]:
    """What to look for, of variables by name: every form of every value that may be secret."""
    return frozenset(form for name, value in env.items() for form in _of_value(name, value))


def declared_values(values: Iterable[str]) -> frozenset[str]:
    """What to look for, of values that somebody has declared to be secret, whatever they look like.

    They may travel in JSON, and that be printed as JSON or ``repr`` once more.
    """
    found: set[str] = set()
    for value in values:
        for text in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
            found.update(form for form in _forms(text) if len(form) >= DECLARED_CHARACTERS)
        found.update(_of_value("SECRET", value))
    return frozenset(found)


def of_runtime_env(runtime_env: Mapping[str, Any], public: Collection[str] = ()) -> frozenset[str]:  # JSON
    """The same of a Ray runtime environment: its variables and a container's, passwords in the URLs of packages.

    A variable whose whole value is among the ``public`` ones hides nothing.
    """
    variables = runtime_env.get("env_vars") or {}
    private = {name: value for name, value in variables.items() if value not in public}
    return of_settings({**runtime_env, "env_vars": private})


def of_settings(settings: Mapping[str, Any]) -> frozenset[str]:  # JSON, or a driver's options
    """The same of nested settings: all of ``env_vars`` and ``env``, other texts by the names they stand under."""
    return frozenset(_of_settings(settings, ""))


def hidden(text: str, secrets: Collection[str] = ()) -> str:
    """The text without these secrets and without the passwords of URLs."""
    known = sorted(filter(None, secrets), key=lambda secret: (-len(secret), secret))
    if known:
        text = re.sub("|".join(map(re.escape, known)), MASK, text)
    return _PASSWORD.sub(f"://{MASK}@", text)


def encoded(secrets: Collection[str]) -> frozenset[bytes]:
    """The same as bytes, for a :class:`StreamMasker`."""
    return frozenset(secret.encode(errors="surrogatepass") for secret in secrets)


def shown_url(url: str) -> str:
    """A URL for people: without user, password, query and fragment, any of which may be what opens it."""
    before = re.split(r"[?#]", url, maxsplit=1)
    return hidden(before[0]) + (f"?{MASK}" if len(before) > 1 else "")


class StreamMasker:
    """Replaces secrets in a stream of bytes, whatever the pieces in which it comes.

    The result is that of one pass over the whole from left to right, at each place with the longest secret that begins there.
    Only an end that may be the beginning of a secret is held back. Where nothing is, a new masker may go on with the same
    result: a collector notes ``bytes taken - held`` as its place in the source and begins there again after a crash.
    """

    def __init__(self, secrets: Collection[bytes]) -> None:
        self._secrets = sorted(set(filter(None, secrets)), key=lambda secret: (-len(secret), secret))
        self._pattern = re.compile(_any_of(self._secrets, _LEVELS)) if self._secrets else None
        self._held = b""

    @property
    def held(self) -> int:
        """Bytes that were taken and are in no output yet."""
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """Take some bytes; what can be said by now."""
        if self._pattern is None:
            return data
        text = self._held + data
        parts: list[bytes] = []
        done = 0
        pause = self._pause(text, 0)
        for found in self._pattern.finditer(text):
            if found.start() >= pause:
                break
            parts += (text[done : found.start()], _MASK_BYTES)
            done = found.end()
            if pause < done:
                pause = self._pause(text, done)
        self._held = text[pause:]
        parts.append(text[done:pause])
        return b"".join(parts)

    def finish(self) -> bytes:
        """The rest: there is nothing more to come."""
        rest, self._held = self._held, b""
        return self._pattern.sub(_MASK_BYTES, rest) if self._pattern else rest

    def _pause(self, text: bytes, start: int) -> int:
        """The first place from ``start`` on whose rest is the beginning of a secret, but no whole one; else the end."""
        best = len(text)
        for secret in self._secrets:
            place = max(start, len(text) - len(secret) + 1)
            while (place := text.find(secret[0], place, best)) >= 0:
                if secret.startswith(text[place:]):
                    best = place
                    break
                place += 1
        return best


_MASK_BYTES = MASK.encode()
_LEVELS = 4


def _any_of(secrets: Collection[bytes], levels: int) -> bytes:
    """A pattern of the longest of these. Branching by single bytes first saves most comparisons when there are many."""
    if levels == 0 or len(secrets) == 1:
        return b"|".join(map(re.escape, sorted(secrets, key=lambda secret: (-len(secret), secret))))
    below: dict[bytes, list[bytes]] = {}
    for secret in sorted(secrets, reverse=True):  # the empty rest is the shortest, and last
        below.setdefault(secret[:1], []).append(secret[1:])
    return b"|".join(
        re.escape(first) + (b"(?:" + _any_of(rests, levels - 1) + b")" if first else b"")
        for first, rests in below.items()
    )


def _of_value(name: str, value: str) -> Iterator[str]:
    if _may_be_secret(name, value):
        yield from _forms(value)
    yield from _in_urls(value)
    if value.lstrip().startswith(("{", "[")):
        try:
            document = json.loads(value)
        except (ValueError, RecursionError):
            return
        yield from _of_settings(document, name if isinstance(document, list) else "")


def _of_settings(value: Any, name: str) -> Iterator[str]:  # JSON
    if isinstance(value, Mapping):
        for inner, below in value.items():
            if inner in ("env_vars", "env") and isinstance(below, Mapping):
                yield from secret_values({str(key): str(text) for key, text in below.items()})
            else:
                yield from _of_settings(below, str(inner))
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _of_settings(below, name)
    elif isinstance(value, str):
        if _SECRET_NAME.search(name):
            yield from _of_value(name, value)
        else:
            yield from _in_urls(value)
        if assignment := _ASSIGNMENT.fullmatch(value):  # among the options of a container
            yield from _of_value(assignment[1], assignment[2])


def _may_be_secret(name: str, value: str) -> bool:
    value = value.strip()
    if value.startswith("/"):
        return False
    if _SECRET_NAME.search(name):
        return len(value) >= NAMED_CHARACTERS
    return len(value) >= CHARACTERS and not value.isalpha() and not _NUMBER.fullmatch(value)


def _in_urls(text: str) -> Iterator[str]:
    """Passwords in URLs, user names that are tokens, and parameters whose names sound like a secret."""
    if "://" not in text:
        return
    parts: list[str] = []
    for found in _USER.finditer(text):
        user, _, password = found[1].partition(":")
        parts += [
            part for part, least in ((user, TOKEN_CHARACTERS), (password, NAMED_CHARACTERS)) if len(part) >= least
        ]
    for word in _BETWEEN_URLS.split(text):
        url, _, query = word.partition("?")
        if query and "://" in url:
            pairs = (pair.partition("=") for pair in query.partition("#")[0].split("&"))
            parts += [part for name, _, part in pairs if _SECRET_NAME.search(name) and len(part) >= NAMED_CHARACTERS]
    for part in parts:
        yield from _forms(part)
        yield from _forms(unquote(part))


def _forms(value: str) -> Iterator[str]:
    """A secret as programs print it."""
    value = value.strip()
    written = {value, *_lines(value)}
    for text in tuple(written):
        written.add(json.dumps(text)[1:-1])
        written.add(json.dumps(text, ensure_ascii=False)[1:-1])
        written.add(repr(text)[1:-1])
        written.add(quote(text, safe="", errors="replace"))
    for text in written:
        yield from _pieces(text)


def _lines(value: str) -> Iterable[str]:
    """Lines of a value: Ray puts the name of the worker before each that a worker prints."""
    lines = [line.strip() for line in value.splitlines()]
    return [line for line in lines if len(line) >= LINE_CHARACTERS and not _FENCE.fullmatch(line)]


def _pieces(text: str) -> Iterator[str]:
    """Side by side and about equally long: a short rest would be found everywhere, an overlapping one nowhere."""
    count = max(1, -(-len(text) // PIECE_CHARACTERS))
    for number in range(count):
        yield text[len(text) * number // count : len(text) * (number + 1) // count]
