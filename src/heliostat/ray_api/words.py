"""Sentences out of Ray's texts: tracebacks in tracebacks, and messages with thousands of characters of log.

What remains goes into events, lists and errors, so it is short and without the secrets of the runtime environment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from heliostat.domain.ray_jobs import last_error

LONGEST = 400
"""Characters of a sentence."""
SHORTEST_SECRET = 4
"""Values of environment variables with fewer characters are left: masking every ``1`` hides no secret, only the sense."""
MASK = "***"

_ENDED = re.compile(r"\AJob entrypoint command failed with exit code (-?\d+)[,.]")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_IN_URL = re.compile(r"(?<=://)[^/\s'\"@]+@")
_QUERY = re.compile(r"(://[^\s'\"?]+\?)[^\s'\")]+")
_TELLING = re.compile(r"^\s*(?:error:|fatal:|\u00d7) .*", re.IGNORECASE | re.MULTILINE)
"""What pip, conda, git and uv say before the last words of the traceback around them."""
_MANAGERS = re.compile(r"^[-\d]+ [:,\d]+\tINFO job_manager\.py:\d+ -- .*\n?", re.MULTILINE)
"""Lines that Ray's job manager writes into the driver's log."""
_PARTICULARS = re.compile(r"^\t\w+: .*\n?", re.MULTILINE)
"""Name, ids and address of the supervisor that died."""
_GUESSES = re.compile(r"(?:There are some potential root causes|Some common causes include).*", re.DOTALL)
"""What Ray says of every process whose end it cannot explain."""
_KIND = re.compile(r"\A(?:[a-z_]\w*\.)*(?:ValueError|TypeError|RuntimeError|Exception): ")


def without_echo(text: str, entrypoint: str) -> str:
    """A job's message without the entry point, which Ray repeats in the log: it is no word of the job's own.

    Ray writes it before the entry point begins, but into a buffer, so that it may come at the very end.
    """
    return re.sub(rf"^Running entrypoint for job [^:\n]*: {re.escape(entrypoint)}\n?", "", text, flags=re.MULTILINE)


def sentence(text: str) -> str:
    """What went wrong, out of a job's message or the end of a log."""
    text = _MANAGERS.sub("", _COLOURS.sub("", text)).strip()
    ended = _ENDED.match(text)
    if ended is not None:
        _, _, log = text.partition("\n")
        killed = " (killed, as when memory runs out)" if ended[1] in ("-9", "137") else ""
        error, line = last_error(log) or _logged_error(log), _last_line(log)
        said = f": {error}" if error else f"; its last line: {line}" if line else ""
        return _short(f"its entry point ended with exit code {ended[1]}{killed}{said}")
    if text.startswith("Traceback"):
        return _short(last_error(text) or _last_line(text))
    told = _GUESSES.sub("", _PARTICULARS.sub("", text.partition(". Full traceback:")[0]))
    headline, _, rest = told.partition("\n")
    details = _TELLING.findall(rest)
    detail = details[-1] if details else last_error(rest)
    return _short(f"{headline.rstrip(' .')}: {detail}" if detail else told)


def refusal(text: str) -> str:
    """Why Ray does not take a submission, out of the traceback that it answers with."""
    text = _COLOURS.sub("", text)
    said = last_error(text) or _last_line(text)
    return _short(_KIND.sub("", said).rstrip(". \n"))


def masked(text: str, runtime_env: Mapping[str, Any] | None) -> str:  # JSON
    """The text without the values of the environment variables, as they are and as they look within JSON or a repr, and
    without what URLs carry of credentials."""
    for value in sorted(_secrets(runtime_env or {}), key=len, reverse=True):
        for form in {value, json.dumps(value)[1:-1], repr(value)[1:-1]}:
            text = text.replace(form, MASK)
    return _QUERY.sub(rf"\1{MASK}", _IN_URL.sub(f"{MASK}@", text))


def _secrets(runtime_env: Mapping[str, Any]) -> Iterator[str]:  # JSON
    variables = runtime_env.get("env_vars")
    if isinstance(variables, Mapping):
        for value in map(str, variables.values()):
            yield from {part for part in (value, *value.splitlines()) if len(part) >= SHORTEST_SECRET}


def _logged_error(log: str) -> str:
    """The last exception in a log whose lines are JSON objects, with their text below ``message``."""
    for line in reversed(log.splitlines()):
        try:
            row = json.loads(line) if line.startswith("{") else None
        except (ValueError, RecursionError):
            continue
        text = row.get("message") if isinstance(row, dict) else None
        if isinstance(text, str):
            error = last_error("\n".join(part.strip() for part in text.splitlines()))
            if error:
                return error
    return ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3].rstrip() + "..."
