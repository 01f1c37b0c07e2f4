"""The options of ``ray start`` that users may give as their ``rayStartParams``. Standard library only, and pure.

Two spellings are understood: a command line such as ``--num-cpus=0 --resources '{"disk": 1}'``, split as a shell would,
and a JSON object such as ``{"num-cpus": "0", "resources": {"disk": 1}}``. Both become the same dictionary of
``RayParams`` names, which is ``NodeSpec.ray_params``. Every option of ``ray start`` in the supported releases is either
in :data:`OPTIONS` or, with the reason, in :data:`REFUSED`; anything else is no option of Ray's.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Option:
    """An option that is honoured."""

    parameter: str
    """Name in ``RayParams``; empty for an option that only asks for what is always so."""
    kind: str
    """What a value looks like, for messages."""
    convert: Convert
    """From text or a JSON value; raises ValueError."""
    flag: bool = False
    """May stand alone on a command line, meaning true."""
    head_only: bool = False
    """Ray has it for the head alone; on a worker it is refused."""


def _count(value: Any) -> int:
    number = _number(value)
    if number < 0 or number != int(number):
        raise ValueError
    return int(number)


def _bytes(value: Any) -> int:
    number = _number(value)
    if number <= 0 or number != int(number) or number >= 1 << 63:
        raise ValueError
    return int(number)


def _number(value: Any) -> float | int:
    if isinstance(value, str):
        value = int(value) if value.strip().isdecimal() else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise ValueError
    return value


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "1", "yes"):
        return True
    if isinstance(value, str) and value.lower() in ("false", "0", "no"):
        return False
    raise ValueError


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return value


def _path(value: Any) -> str:
    if not _text(value).startswith("/"):
        raise ValueError
    return str(value)


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, dict):
        raise ValueError
    return value


def _resources(value: Any) -> dict[str, int]:
    reserved = {"CPU", "GPU", "memory", "object_store_memory"}
    amounts = _object(value)
    if not all(amounts) or reserved & amounts.keys() or any(isinstance(amount, str) for amount in amounts.values()):
        raise ValueError
    return {name: _count(amount) for name, amount in amounts.items()}


def _labels(value: Any) -> dict[str, str]:
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        pairs = [pair.partition("=") for pair in value.split(",")]
        if not all(key.strip() and equals for key, equals, _ in pairs):
            raise ValueError
        value = {key.strip(): text.strip() for key, _, text in pairs}
    labels = _object(value)
    if not all(name and isinstance(text, str) for name, text in labels.items()):
        raise ValueError
    return labels


def _must_be_true(value: Any) -> bool:
    if not _flag(value):
        raise ValueError
    return True


_COUNT = "a whole number of 0 or more"
_BYTES = "a positive whole number of bytes"
_BOOLEAN = "true or false"

OPTIONS: dict[str, Option] = {
    "num-cpus": Option("num_cpus", _COUNT, _count),
    "num-gpus": Option("num_gpus", _COUNT, _count),
    "memory": Option("memory", _BYTES, _bytes),
    "object-store-memory": Option("object_store_memory", _BYTES, _bytes),
    "resources": Option(
        "resources", "a JSON object of amounts, without CPU, GPU, memory and object_store_memory", _resources
    ),
    "labels": Option("labels", "'name=value,name=value' or a JSON object of texts", _labels),
    "plasma-directory": Option("plasma_directory", "an absolute path", _path),
    "object-spilling-directory": Option("object_spilling_directory", "an absolute path", _path),
    "include-log-monitor": Option("include_log_monitor", _BOOLEAN, _flag),
    "system-config": Option("_system_config", "a JSON object", _object, head_only=True),
    "tracing-startup-hook": Option("tracing_startup_hook", "a 'module:function'", _text, head_only=True),
    "no-monitor": Option("no_monitor", _BOOLEAN, _flag, flag=True, head_only=True),
    "disable-usage-stats": Option("", "true, as they are always off", _must_be_true, flag=True),
    "include-dashboard": Option("", "true, as jobs are submitted through the dashboard", _must_be_true, head_only=True),
}
"""What users may give."""

_PORTS = "ports are chosen by the engine, so that clusters on one machine do not collide"
_PLACE = "the engine decides where a node finds its cluster"
_FILES = "the engine keeps each node's files in the node's own directory"
_OUTPUT = "it changes what 'ray start' prints, and nothing prints here"
_REDIS = "the cluster's state is kept by the engine, without Redis"

REFUSED: dict[str, str] = {
    "address": _PLACE,
    "head": "the group says whether a node is the head",
    "block": "the engine watches the node, no command waits for it",
    "node-ip-address": "every node listens on 127.0.0.1 only; the gateway is the way in",
    "dashboard-host": "every node listens on 127.0.0.1 only; the gateway is the way in",
    "ray-debugger-external": "every node listens on 127.0.0.1 only; the gateway is the way in",
    "node-name": "the engine names its nodes",
    "port": _PORTS,
    "dashboard-port": _PORTS,
    "dashboard-agent-listen-port": _PORTS,
    "dashboard-agent-grpc-port": _PORTS,
    "dashboard-grpc-port": _PORTS,
    "gcs-server-port": _PORTS,
    "runtime-env-agent-port": _PORTS,
    "object-manager-port": _PORTS,
    "node-manager-port": _PORTS,
    "min-worker-port": _PORTS,
    "max-worker-port": _PORTS,
    "worker-port-list": _PORTS,
    "metrics-export-port": _PORTS,
    "ray-client-server-port": _PORTS,
    "redis-shard-ports": _REDIS,
    "redis-username": _REDIS,
    "redis-password": _REDIS,
    "temp-dir": _FILES,
    "storage": _FILES,
    "plasma-store-socket-name": _FILES,
    "raylet-socket-name": _FILES,
    "no-redirect-output": "logs must be in files to be shown",
    "labels-file": "a file of the caller is not on the node; give the labels with --labels",
    "autoscaling-config": "the engine writes it from the cluster's groups",
    "proxy-server-url": "requests of the dashboard go to the cluster itself",
    "enable-object-reconstruction": "Ray always reconstructs lost objects in the releases offered here",
    "enable-resource-isolation": "the engine, not Ray, divides the machine among clusters",
    "system-reserved-cpu": "the engine, not Ray, divides the machine among clusters",
    "system-reserved-memory": "the engine, not Ray, divides the machine among clusters",
    "cgroup-path": "the engine, not Ray, divides the machine among clusters",
    "log-style": _OUTPUT,
    "log-color": _OUTPUT,
    "verbose": _OUTPUT,
    "help": _OUTPUT,
}
"""What users may not give, each with the reason."""


def parse_ray_start_params(text: str, kind: str | None = None) -> dict[str, Any]:
    """The ``RayParams`` in a user's ``rayStartParams``, by name; empty text gives none.

    ``kind`` is ``head`` or ``worker`` where it is known, so that an option of the head is refused on a worker. Raises
    ValueError with a sentence that names the option and what is expected; values of other options are not repeated.
    """
    values: dict[str, Any] = {}
    seen: set[str] = set()
    for name, value in _pairs(text):
        option = _find(name)
        if name in seen:
            raise ValueError(f"--{name} is given twice.")
        seen.add(name)
        if option.head_only and kind == "worker":
            raise ValueError(f"--{name} is an option of the head node only.")
        if value is _ALONE and not option.flag:
            raise ValueError(f"--{name} needs a value: {option.kind}.")
        try:
            converted = option.convert(True if value is _ALONE else value)
        except (ValueError, OverflowError, RecursionError):
            raise ValueError(f"--{name} must be {option.kind}.") from None
        if option.parameter:
            values[option.parameter] = converted
    return values


_ALONE = object()


def _pairs(text: str) -> list[tuple[str, Any]]:
    if text.lstrip().startswith("{"):
        return _json_pairs(text)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"The options cannot be split into words: {str(error).lower().rstrip('.')}.") from None
    pairs: list[tuple[str, Any]] = []
    while words:
        word = words.pop(0)
        if not word.startswith("--") or len(word) < 3:
            raise ValueError(f"{word!r} is not an option; options are written as --name=value or --name value.")
        name, equals, value = word[2:].partition("=")
        if equals:
            pairs.append((name, value))
        elif words and not words[0].startswith("--") and not _is_flag(name):
            pairs.append((name, words.pop(0)))
        else:
            pairs.append((name, _ALONE))
    return pairs


def _is_flag(name: str) -> bool:
    return name in OPTIONS and OPTIONS[name].flag


def _json_pairs(text: str) -> list[tuple[str, Any]]:
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise ValueError(f"The options look like JSON but are not: {reason}.") from None
    return [(name.removeprefix("--"), value.plain() if isinstance(value, _Pairs) else value) for name, value in pairs]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object that keeps repeated names, so that they can be refused."""

    def plain(self) -> dict[str, Any]:
        return {name: value.plain() if isinstance(value, _Pairs) else value for name, value in self}


def _find(name: str) -> Option:
    if name in REFUSED:
        raise ValueError(f"--{name} cannot be used here: {REFUSED[name]}.")
    if name not in OPTIONS:
        close = get_close_matches(name, OPTIONS, n=1)
        hint = f" Did you mean --{close[0]}?" if close else f" Usable are: {', '.join(f'--{key}' for key in OPTIONS)}."
        raise ValueError(f"--{name} is not an option of 'ray start'.{hint}")
    return OPTIONS[name]
