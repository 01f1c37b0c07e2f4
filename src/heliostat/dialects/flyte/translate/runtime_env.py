"""A task's runtime environment: YAML, or an older plugin's base64 of JSON (Flyte contract, sections 2.5 and 5.4).

flytekit gives Ray the driver's folder as ``working_dir`` itself, and Ray refuses a second one. So the user's own is never
handed on: a URL is unpacked into that folder, the folder itself is there anyway, and anything else is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import yaml

from heliostat.dialects.bodies import kind_of

from ..errors import invalid
from .fields import Fields, Json, check_text

LONGEST = 64 << 10
"""Characters, of which the parser makes some hundred thousand a second."""
MAX_BRACKETS = 100
"""Open at once. The parser takes a time that grows with the square of it."""
MAX_VALUES = 20_000
"""YAML can say in a line what has a million values."""
MAX_DEPTH = 50
_HERE = ("", ".", "./")
_YAML_FAULTS = (
    yaml.YAMLError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError
)  # fmt: skip
"""What its parser raises: its own, and for a value that does not fit a tag (``!!timestamp x``) whatever came of it."""
_UPLOAD = "upload it and give its URL, or leave it out: pyflyte run ships the folder of the task anyway"


@dataclass(frozen=True)
class RuntimeEnv:
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)  # JSON
    """For Ray, without ``working_dir`` and ``excludes``."""
    working_dir: str | None = field(default=None, repr=False)
    """A URL."""


def read_runtime_env(job: Fields) -> RuntimeEnv:
    """Of a decoded ``RayJob``. Raises FlyteError."""
    text, coded = job.text("runtimeEnvYaml"), job.text("runtimeEnv")
    if text.strip():
        key, found = "runtimeEnvYaml", _yaml(job, text)
    elif coded.strip():
        key, found = "runtimeEnv", _coded(job, coded)
    else:
        return RuntimeEnv()
    if found is None:
        return RuntimeEnv()
    if not isinstance(found, dict):
        raise job.error(key, f"must hold an object, not {kind_of(found)}")
    values = {name: value for name, value in _json(found, job.at(key), _Budget(), 0).items() if value is not None}
    _check(values, job.at(key))
    working_dir = _working_dir(values.pop("working_dir", None), f"{job.at(key)}.working_dir")
    values.pop("excludes", None)  # of what is packed into a working_dir, which is flytekit's own
    return RuntimeEnv(values, working_dir)


def _yaml(job: Fields, text: str) -> object:
    if len(text) > LONGEST:
        raise job.error("runtimeEnvYaml", f"must have at most {LONGEST} characters, has {len(text)}")
    if _brackets(text) > MAX_BRACKETS:
        raise job.error("runtimeEnvYaml", f"has more than {MAX_BRACKETS} objects and lists within each other")
    try:
        return yaml.safe_load(text)
    except _YAML_FAULTS as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise job.error("runtimeEnvYaml", f"is not YAML that can be read{where}") from None


def _brackets(text: str) -> int:
    """How many brackets are open at once at the most, those in texts included."""
    steps = ((character in "[{") - (character in "]}") for character in text if character in "[]{}")
    return max(accumulate(steps), default=0)


def _coded(job: Fields, text: str) -> object:
    if len(text) > LONGEST:
        raise job.error("runtimeEnv", f"must have at most {LONGEST} characters, has {len(text)}")
    try:
        return json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise job.error("runtimeEnv", "must be base64 of JSON") from None


class _Budget:
    """How many values may still be looked at."""

    def __init__(self) -> None:
        self.left = MAX_VALUES

    def spend(self, path: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise invalid(path, f"has more than {MAX_VALUES} values")


def _json(value: Any, path: str, budget: _Budget, depth: int) -> Any:  # JSON; what is read may be any of YAML's types
    """A copy that is JSON. Raises FlyteError for what is not."""
    budget.spend(path)
    if depth > MAX_DEPTH:
        raise invalid(path, f"has more than {MAX_DEPTH} objects and lists within each other")
    if isinstance(value, dict):
        return {_name(key, path): _json(item, f"{path}.{key}", budget, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item, f"{path}[{index}]", budget, depth + 1) for index, item in enumerate(value)]
    if isinstance(value, str):
        return check_text(value, path)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise invalid(path, "must be text, a number, true, false, null, a list or an object; put it in quotes")


def _name(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise invalid(path, f"has a name that is no text: put {str(key)[:40]!r} in quotes")
    return check_text(key, path)


def _check(values: Json, path: str) -> None:
    """What Ray would only complain about when the cluster is there."""
    variables = values.get("env_vars")
    if variables is not None:
        if not isinstance(variables, dict):
            raise invalid(f"{path}.env_vars", f"must be an object, not {kind_of(variables)}")
        for name, value in variables.items():
            if not isinstance(value, str):
                raise invalid(f"{path}.env_vars.{name}", "must be text; put it in quotes")
    for key, item in _local_modules(values.get("py_modules")):
        raise invalid(f"{path}.py_modules{key}", f"{item[:80]!r} is a folder of your machine; {_UPLOAD}")


def _local_modules(modules: object) -> Iterator[tuple[str, str]]:
    if isinstance(modules, list):
        for index, item in enumerate(modules):
            if isinstance(item, str) and "://" not in item:
                yield f"[{index}]", item


def _working_dir(value: object, path: str) -> str | None:
    if value is None or value in _HERE:
        return None
    if not isinstance(value, str):
        raise invalid(path, f"must be a string, not {kind_of(value)}")
    if "://" not in value:
        raise invalid(path, f"{value[:80]!r} is a folder of your machine, which the cluster does not have; {_UPLOAD}")
    return value
