"""How the name of a workspace's secret is written: ``GROUP/KEY``, or ``GROUP/KEY@VERSION``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import InvalidRequest


def parse(text: str, path: str = "secret") -> dict[str, str]:
    """The parts of a name; a group may have slashes in it. Raises InvalidRequest, naming ``path``."""
    name, at, version = text.partition("@")
    group, slash, key = name.rpartition("/")
    if not slash or not group or not key or (at and not version):
        raise InvalidRequest(f"{text!r} is not of the form GROUP/KEY or GROUP/KEY@VERSION", path=path)
    return {"group": group, "key": key, "version": version}


def wanted(secrets: Mapping[str, str] | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:  # JSON
    """What is sent of the secrets of a job. Raises InvalidRequest."""
    if not isinstance(secrets, Mapping):
        return [dict(row) for row in secrets]
    variables: dict[str, list[str]] = {}
    for variable, text in secrets.items():
        variables.setdefault(text, []).append(variable)
    return [{**parse(text, f"secrets.{names[0]}"), "variables": names} for text, names in variables.items()]
