"""Cluster definitions from a command line: options and files to the fields that the SDK's create and update take."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from .durations import Duration

Fields = dict[str, Any]
"""A definition or a change as JSON, in the native API's words."""

GROUP_FIELDS = {
    "name": str, "replicas": int, "min_replicas": int, "max_replicas": int, "type": str, "cpu": str, "memory": str,
    "gpu": str, "queue": str, "ray_start_params": str, "release": str, "idle_timeout_seconds": timedelta,
}  # fmt: skip
SHAPE = ("cpu", "memory", "gpu", "queue", "env", "ray_start_params")
"""What a definition may say at its top for every node, as the SDK's ``create`` does."""
SHORT = {"idle": "idle_timeout_seconds", "min": "min_replicas", "max": "max_replicas", "params": "ray_start_params"}


Bounds = Mapping[str, Sequence[tuple[str | None, int]]]
"""``min_replicas`` and ``max_replicas``, each for named groups or for the only one."""
NO_BOUNDS: Bounds = {}


class Pair(click.ParamType[tuple[str, str]]):
    """``KEY=VALUE``."""

    name = "KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is not of the form KEY=VALUE", param, ctx)
        return key, text


class LabelChange(click.ParamType[tuple[str, str | None]]):
    """``KEY=VALUE``, or ``KEY-`` to remove one."""

    name = "KEY=VALUE|KEY-"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str | None]:
        if isinstance(value, tuple):
            return value
        text = str(value)
        if "=" not in text and len(text) > 1 and text.endswith("-"):
            return text[:-1], None
        key, text_value = Pair().convert(value, param, ctx)
        return key, text_value


class GroupText(click.ParamType[Fields]):
    """``name=gpu,replicas=2,cpu=4,memory=8Gi,env.KEY=VALUE``; a comma inside a value is written ``\\,``."""

    name = "KEY=VALUE,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fields:
        if isinstance(value, dict):
            return value
        group: Fields = {}
        for part in str(value).replace("\\,", "\0").split(","):
            key, equals, text = (word.replace("\0", ",").strip() for word in part.partition("="))
            key = SHORT.get(key, key.replace("-", "_"))
            if key.startswith("env.") and equals:
                group.setdefault("env", {})[key.removeprefix("env.")] = text
            elif key not in GROUP_FIELDS or not equals:
                known = ", ".join([*GROUP_FIELDS, "env.KEY"])
                self.fail(f"{part.strip()!r} is not of the form KEY=VALUE with one of: {known}", param, ctx)
            else:
                group[key] = self._value(key, text, param, ctx)
        if "name" not in group:
            self.fail(f"{value!r} names no group; begin with name=...", param, ctx)
        return group

    def _value(self, key: str, text: str, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        if GROUP_FIELDS[key] is timedelta:
            return round(Duration().convert(text, param, ctx).total_seconds())
        if GROUP_FIELDS[key] is not int:
            return text
        if not text.isdecimal():
            self.fail(f"{key}={text} is not a whole number", param, ctx)
        return int(text)


class Mount(click.ParamType[Fields]):
    """``SERVER:PATH=NAME``: an export of a server, and the name below ``/mnt/nfs`` that nodes see it under."""

    name = "SERVER:PATH=NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fields:
        if isinstance(value, dict):
            return value
        export, _, point = str(value).rpartition("=")
        server, colon, path = export.partition(":/")
        if not server or not colon or not point:
            self.fail(f"{value!r} is not of the form SERVER:PATH=NAME, as in 10.0.0.2:/exports/data=data", param, ctx)
        return {"server": server, "path": f"/{path}", "mount_point": point}


class Scale(click.ParamType[tuple[str | None, int]]):
    """``3``, or ``GROUP=3``."""

    name = "N|GROUP=N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, int]:
        if isinstance(value, tuple):
            return value
        group, _, count = str(value).rpartition("=")
        if not count.isdecimal():
            self.fail(f"{value!r} is not of the form N or GROUP=N", param, ctx)
        return group or None, int(count)


def read(path: str) -> Fields:
    """The definition in a YAML or JSON file (``-`` is stdin), also from what ``cluster get -o yaml`` printed."""
    found = document(path)
    if isinstance(found, dict) and isinstance(found.get("spec"), dict):
        found = {"name": found["name"], **found["spec"]} if "name" in found else found["spec"]
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise click.BadParameter(f"{path} holds no definition: give a mapping with release, head, workers ...")
    return found


def document(path: str) -> Any:
    """What a YAML or JSON file (``-`` is stdin) holds. Raises click.BadParameter when it cannot be read."""
    import yaml

    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise click.BadParameter(f"{path} is neither YAML nor JSON: {error}") from error


def creation(
    file: Fields,
    *,
    workers: int | None,
    groups: Iterable[Fields],
    shape: Mapping[str, Any],
    head: Mapping[str, Any],
    plain: Mapping[str, Any],
    bounds: Bounds = NO_BOUNDS,
) -> Fields:
    """The fields of a create. Options win over the file; ``shape`` (cpu, memory, ...) is for every node that the
    command line or the file does not say it for, ``head`` for the head alone. Empty values count as not given; ``bounds``
    switch autoscaling on, unless it is said otherwise."""
    fields = copy.deepcopy(file)
    fields.update(_given(plain))
    default = {key: fields.pop(key) for key in SHAPE if key in fields}
    shape, head, groups = _given(shape), _given(head), list(groups)
    if workers is not None and groups:
        raise click.UsageError("--workers and --worker-group cannot both be given; name each group with --worker-group")
    listed = _listed(fields.pop("workers", None))
    if workers is not None:
        listed = _sized(listed, workers)
    for group in groups:
        listed = _with_group(listed, group, merge=False)
    if any(bounds.values()):
        listed = _bounded(listed or [{"name": "workers", "replicas": _least(bounds)}], bounds)
        listed = [{"min_replicas": 0} | row if row.get("max_replicas") is not None else row for row in listed]
        fields.setdefault("autoscaling", {"enabled": True})
    typed = {group["name"] for group in groups}
    whole = _overlaid(default, shape)
    fields["workers"] = [
        _overlaid(whole, row) if row.get("name") in typed else _overlaid(_overlaid(default, row), shape)
        for row in listed
    ]
    fields["head"] = _overlaid(_overlaid(default, _mapping(fields, "head")), shape) | head
    return {key: value for key, value in fields.items() if value != {}}


def change(
    present: Mapping[str, Any],
    file: Fields,
    *,
    scales: Iterable[tuple[str | None, int]],
    groups: Iterable[Fields],
    removed: Iterable[str],
    shape: Mapping[str, Any],
    head: Mapping[str, Any],
    plain: Mapping[str, Any],
    bounds: Bounds = NO_BOUNDS,
) -> Fields:
    """The fields of an update of a cluster whose stored definition is ``present``; only what is to change."""
    fields = copy.deepcopy(file)
    fields.update(_given(plain))
    shape, head = _given(shape), _given(head)
    workers = _listed(copy.deepcopy(fields.get("workers", present.get("workers") or [])))
    before = copy.deepcopy(workers)
    for name, count in scales:
        _group(workers, name)["replicas"] = count
    for group in groups:
        workers = _with_group(workers, group, merge=True)
    workers = _bounded(workers, bounds)
    for name in removed:
        workers.remove(_group(workers, name))
    if shape or head:
        base = {"env": present["head"]["env"]} if "env" in shape and "env" in (present.get("head") or {}) else {}
        fields["head"] = _overlaid(base | _mapping(fields, "head"), shape) | head
        workers = [_overlaid(group, shape) for group in workers]
    if workers != before:
        fields["workers"] = workers
    return fields


def _bounded(workers: list[Fields], bounds: Bounds) -> list[Fields]:
    """The groups with least and greatest numbers."""
    workers = [dict(row) for row in workers]
    for key, rows in bounds.items():
        for name, count in rows:
            _group(workers, name)[key] = count
    return workers


def _least(bounds: Bounds) -> int:
    return max((count for _, count in bounds.get("min_replicas", ())), default=0)


def _given(values: Mapping[str, Any]) -> Fields:
    return {key: value for key, value in values.items() if value is not None and value != {} and value != []}


def _overlaid(part: Mapping[str, Any], shape: Mapping[str, Any]) -> Fields:
    """``shape`` over ``part``, where environments are joined."""
    found = {**part, **shape}
    if "env" in part and "env" in shape:
        found["env"] = {**part["env"], **shape["env"]}
    return found


def _mapping(fields: Fields, key: str) -> Fields:
    value = fields.get(key) or {}
    if not isinstance(value, dict):
        raise click.BadParameter(f"{key} must be a mapping")
    return value


def _listed(workers: Any) -> list[Fields]:
    """Worker groups as a list, where a file may say a number."""
    if isinstance(workers, int):
        return [{"name": "workers", "replicas": workers}] if workers else []
    if workers is None:
        return []
    if not isinstance(workers, list) or not all(isinstance(group, dict) for group in workers):
        raise click.BadParameter("workers must be a number or a list of groups")
    return workers


def _sized(workers: Any, count: int) -> list[Fields]:
    groups = _listed(workers)
    if not groups:
        return _listed(count)
    _group(groups, None)["replicas"] = count
    return groups


def _group(workers: list[Fields], name: str | None) -> Fields:
    """The group of that name; without a name, the only one."""
    names = ", ".join(str(group.get("name")) for group in workers) or "none"
    if name is None and len(workers) == 1:
        return workers[0]
    for group in workers:
        if name is not None and group.get("name") == name:
            return group
    if name is None:
        raise click.UsageError(f"say which worker group: GROUP=N; there are: {names}")
    raise click.UsageError(f"no worker group is named {name!r}; there are: {names}")


def _with_group(workers: list[Fields], group: Fields, *, merge: bool) -> list[Fields]:
    if not any(row.get("name") == group["name"] for row in workers):
        return [*workers, group]
    return [(_overlaid(row, group) if merge else group) if row.get("name") == group["name"] else row for row in workers]
