"""Requirements files: what users' code needs beside Ray, as pip's files say it. Text in, requirements out; no file is read here.

Only what an environment can be known by is accepted, one package per line: its name says which packages are in it, so a
line that leads elsewhere (``-r``, ``-e``, a folder) would make one environment of two contents. The lines are shown
by the API, so none may hold a credential.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_COMMENT = re.compile(r"(?:^|\s)#.*$")
_OPTIONS = {
    "-r": "put the lines of that file into this one",
    "-c": "write the versions into this file",
    "-e": "build a wheel of it and write NAME @ file:///PATH.whl, or give it to the job as its code",
    "-i": "set UV_DEFAULT_INDEX for the server, or write a uv.toml",
    "-f": "set UV_FIND_LINKS for the server",
    "--requirement": "-r",
    "--constraint": "-c",
    "--editable": "-e",
    "--index-url": "-i",
    "--extra-index-url": "-i",
    "--find-links": "-f",
    "--hash": "leave the hashes out: Ray itself is installed without any, and all or none must have them",
}
"""Beginning of an option -> what to do instead, or the option that says it."""


class BadLine(ValueError):
    """A line cannot be used. ``line`` counts from 1; the message is a sentence with the remedy, and holds no secret."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_requirements(text: str) -> tuple[str, ...]:
    """The requirements of a file, in its order and as they are written, without comments. Raises BadLine."""
    return tuple(_requirement(number, line) for number, line in _lines(text))


def name_of(requirement: str) -> str | None:
    """The package's name as indexes write it: ``Flyte_Kit[x]>=1`` -> ``flyte-kit``. None for a path and the like."""
    try:
        return canonicalize_name(Requirement(requirement).name)
    except InvalidRequirement:
        return None


def with_defaults(given: Iterable[str], defaults: Iterable[str]) -> tuple[str, ...]:
    """The defaults that no given requirement names, then what is given, each once."""
    rows = tuple(dict.fromkeys(given))
    named = {name_of(row) for row in rows}
    return (*(row for row in defaults if name_of(row) not in named), *rows)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Number of its first line and content of each logical line that has any; a backslash at the end goes on."""
    held, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if held else number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            held += line[:-1] + " "
            continue
        whole, held = _COMMENT.sub("", held + line).strip(), ""
        if whole:
            yield first, whole
    if held.strip():
        yield first, held.strip()


def _requirement(number: int, line: str) -> str:
    option = next((word for word in line.split() if word.startswith("-")), None)
    if option is not None:
        raise BadLine(number, f"the option {_spelt(option)} is not accepted; {_remedy(option)}")
    if "${" in line:
        raise BadLine(number, "variables are not filled in; write what they stand for, and credentials into ~/.netrc")
    try:
        found = Requirement(line)
    except InvalidRequirement as error:
        raise BadLine(
            number,
            "not a requirement as pip has them; write for example pandas==2.3.0, or NAME @ https://HOST/FILE.whl",
        ) from error
    if found.url is not None and _has_credential(found.url):
        raise BadLine(number, "the address has a credential in it, which everybody would see; write it into ~/.netrc")
    return line


def _spelt(option: str) -> str:
    """The option without its value, which may be a secret."""
    return option.partition("=")[0] if option.startswith("--") else option[:2]


def _remedy(option: str) -> str:
    remedy = _OPTIONS.get(_spelt(option), "write one requirement per line")
    return _OPTIONS.get(remedy, remedy)


def _has_credential(url: str) -> bool:
    scheme, place = url.partition("://")[0], urlsplit(url)
    return bool(place.password) or (bool(place.username) and not scheme.endswith("ssh"))
