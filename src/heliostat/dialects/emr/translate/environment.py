"""The ``env`` text of a node: what it means, and the text for variables that came from elsewhere.

The vendor shows one variable as ``KEY=VALUE`` and is silent about several (EMR contract, section 11, point 11). Accepted
are a JSON object, one assignment per line, or, on a single line, assignments separated by commas. In the last form a comma
separates only where an assignment follows it, so that ``NO_PROXY=a,b,MODE=fast`` are two variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

_LINE = re.compile(r"\r?\n")
_COMMA = re.compile(r",(?=\s*[A-Za-z_][A-Za-z0-9_]*=)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse_environment(text: str) -> dict[str, str]:
    """The variables of an ``env`` text; the last of two with one name counts. Raises ValueError with a sentence.

    Values are never repeated in an error, since they may be secrets.
    """
    stripped = text.strip()
    if stripped.startswith("{"):
        return _from_json(stripped)
    items = (_LINE if "\n" in stripped else _COMMA).split(stripped)
    variables = {}
    for place, item in enumerate((item.strip() for item in items), start=1):
        if not item:
            continue
        name, equals, value = item.partition("=")
        if not equals or not _NAME.fullmatch(name.strip()):
            raise ValueError(f"entry {place} is not of the form KEY=VALUE; write one a line, or a JSON object")
        variables[name.strip()] = value
    return variables


def format_environment(variables: Mapping[str, str]) -> str:
    """A text that :func:`parse_environment` reads back."""
    plain = "\n".join(f"{name}={value}" for name, value in variables.items())
    try:
        if parse_environment(plain) == dict(variables):
            return plain
    except ValueError:
        pass
    return orjson.dumps(dict(variables)).decode()


def _from_json(text: str) -> dict[str, str]:
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # The error's own text names a position and no value.
        raise ValueError(f"looks like a JSON object but is none: {error}") from None
    variables = {}
    for name, value in values.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name of an environment variable")
        if isinstance(value, dict | list) or value is None:
            raise ValueError(f"the value of {name} must be text")
        variables[name] = value if isinstance(value, str) else orjson.dumps(value).decode()
    return variables
