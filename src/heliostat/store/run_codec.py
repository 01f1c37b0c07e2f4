"""What was last seen of an instance, its nodes and its progress, as versioned JSON documents.

Times are microseconds since 1970, as in the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from ..domain.engine import Demand, NodeObservation, NodeState, Progress, Step, Want
from ..domain.errors import NotReady
from ..domain.ids import NodeId
from ..domain.records import Activity
from .codec import dump

VERSION = 1
Shapes = Mapping[str, tuple[tuple[int, str], ...]]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode_nodes(nodes: Iterable[NodeObservation]) -> str:
    """One row of values per node, in the order of the dataclass."""
    rows = [
        (
            node.node,
            node.kind,
            node.group,
            node.state,
            _number(node.created_at),
            _number(node.started_at),
            node.ray_node_id,
            node.pid,
            node.reason,
            node.message,
            node.exit_code,
            node.restarts,
            node.generation,
            node.metrics,
        )
        for node in nodes
    ]
    return dump({"v": VERSION, "nodes": rows}) if rows else ""


def decode_nodes(text: str) -> tuple[NodeObservation, ...]:
    """The inverse of :func:`encode_nodes`. Rows that were written before there was a last value lack it."""
    return tuple(
        NodeObservation(
            NodeId(node),
            kind,
            group,
            NodeState(state),
            _time(created),
            None if started is None else _time(started),
            *rest[:_PLAIN],
            *map(tuple, rest[_PLAIN:]),
        )
        for node, kind, group, state, created, started, *rest in _rows(text, "nodes")
    )


_PLAIN = 7
"""Values of a node between its times and ``metrics`` that need no conversion."""


def encode_progress(progress: Iterable[Progress]) -> str:
    """One row of values per step."""
    rows = [(item.step, _number(item.started_at), _number(item.ended_at), item.detail) for item in progress]
    return dump({"v": VERSION, "progress": rows}) if rows else ""


def decode_progress(text: str) -> tuple[Progress, ...]:
    """The inverse of :func:`encode_progress`."""
    return tuple(
        Progress(Step(step), _time(started), None if ended is None else _time(ended), detail)
        for step, started, ended, detail in _rows(text, "progress")
    )


def encode_demand(demand: Demand | None) -> str:
    """What the autoscaler reported; empty text for nothing."""
    if demand is None:
        return ""

    def rows(wants: Iterable[Want]) -> list[tuple[dict[str, float], int, str]]:
        return [(dict(want.resources), want.count, want.source) for want in wants]

    row = (rows(demand.pending), rows(demand.infeasible), demand.problem)
    return dump({"v": VERSION, "demand": [row]})


def decode_demand(text: str) -> Demand | None:
    """The inverse of :func:`encode_demand`."""
    for pending, infeasible, problem in _rows(text, "demand"):
        return Demand(tuple(Want(*row) for row in pending), tuple(Want(*row) for row in infeasible), problem)
    return None


def encode_activity(activity: Activity | None) -> str:
    """What goes on; empty text for "not known"."""
    if activity is None:
        return ""
    return dump({"v": VERSION, "activity": [(activity.reasons, _number(activity.idle_since))]})


def decode_activity(text: str) -> Activity | None:
    """The inverse of :func:`encode_activity`."""
    for reasons, idle_since in _rows(text, "activity"):
        return Activity(tuple(reasons), None if idle_since is None else _time(idle_since))
    return None


def encode_shapes(shapes: Shapes) -> str:
    """Marks of the shapes of worker groups; empty text when none has changed."""
    rows = [(group, marks) for group, marks in shapes.items()]
    return dump({"v": VERSION, "shapes": rows}) if rows else ""


def decode_shapes(text: str) -> Shapes:
    """The inverse of :func:`encode_shapes`."""
    return {group: tuple((since, mark) for since, mark in marks) for group, marks in _rows(text, "shapes")}


# Rows of a parsed document: mixed values, in the order in which they were written.
def _rows(text: str, key: str) -> list[list[Any]]:
    if not text:
        return []
    document = orjson.loads(text)
    if document["v"] != VERSION:
        raise NotReady(f"stored {key} have the format {document['v']}; this server knows {VERSION}: upgrade it")
    rows: list[list[Any]] = document[key]
    return rows


def _number(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def _time(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)
