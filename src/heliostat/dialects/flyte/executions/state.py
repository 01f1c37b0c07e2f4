"""How far an execution is: what its document says, and the JSON in which it says it.

No value of an input or output is in here: those are files (see :mod:`.layout`). A node that nothing has happened to is absent.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from heliostat.domain.errors import NotReady

from ..runs.phases import Link, Phase
from .phases import ExecutionPhase, NodePhase

VERSION = 1
_Json = dict[str, Any]  # JSON


@dataclass(frozen=True)
class Fault:
    """Why something failed, as its readers are told."""

    code: str
    message: str
    kind: str = "USER"
    """USER, SYSTEM or UNKNOWN."""
    node: str = ""
    """The node with which it began."""


@dataclass(frozen=True)
class Attempt:
    """One try of a task; of a map task, one try of one of its elements."""

    number: int
    created_at: datetime
    run: str | None = None
    """None = it is to be begun, and may have been by one who could not write that down."""
    phase: Phase = Phase.QUEUED
    settled: bool = False
    """It is over, and its phase final."""
    stopping: bool = False
    """Its end has been asked for."""
    message: str = ""
    code: str = ""
    origin: str = "UNKNOWN"
    updated_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    links: tuple[Link, ...] = ()
    info: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeState:
    phase: NodePhase
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    arm: int | None = None
    """Of a branch: which was chosen."""
    size: int | None = None
    """Of a map task: how many elements."""
    elements: Mapping[int, tuple[Attempt, ...]] = field(default_factory=dict)
    """Attempts of each element; a plain task has one, 0."""
    fault: Fault | None = None


@dataclass(frozen=True)
class Abort:
    cause: str
    principal: str
    """Name."""
    at: datetime


@dataclass(frozen=True)
class State:
    phase: ExecutionPhase
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    fault: Fault | None = None
    abort: Abort | None = None

    def unsettled(self) -> list[Attempt]:
        """Attempts that are not over."""
        return [
            attempts[-1]
            for node in self.nodes.values()
            for attempts in node.elements.values()
            if attempts and not attempts[-1].settled
        ]


@dataclass(frozen=True)
class Target:
    """What is executed: a registered thing."""

    kind: str
    """``task``, ``workflow`` or ``launch-plan``."""
    project: str
    domain: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.kind.replace('-', ' ')} {self.project}/{self.domain}/{self.name} version {self.version}"


@dataclass(frozen=True)
class Options:
    """What an execution, or else its launch plan, asks for all of its tasks."""

    max_parallelism: int
    """Attempts at a time."""
    raw_prefix: str
    """URL below which tasks put files and frames."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    service_account: str = ""


@dataclass(frozen=True)
class Execution:
    """The document."""

    project: str
    domain: str
    name: str
    target: Target
    """A task or a workflow."""
    spec: bytes = field(repr=False)
    """admin.ExecutionSpec as it was asked for, without inputs."""
    program: str
    """Key of what is interpreted (see :mod:`.programs`)."""
    inputs_url: str
    options: Options
    state: State

    def write(self) -> bytes:
        """The document's body."""
        options = self.options
        return orjson.dumps(
            {
                "v": VERSION,
                "project": self.project,
                "domain": self.domain,
                "name": self.name,
                "target": [self.target.kind, *_names(self.target)],
                "spec": b64encode(self.spec).decode(),
                "program": self.program,
                "inputs": self.inputs_url,
                "options": {
                    "max_parallelism": options.max_parallelism,
                    "raw_prefix": options.raw_prefix,
                    "environment": dict(options.environment),
                    "labels": dict(options.labels),
                    "annotations": dict(options.annotations),
                    "service_account": options.service_account,
                },
                "state": _write_state(self.state),
            }
        )


def read_execution(body: bytes) -> Execution:
    found: _Json = orjson.loads(body)
    if found["v"] != VERSION:
        raise NotReady(f"an execution in the form {found['v']} was written by a newer server; update this one")
    return Execution(
        project=found["project"],
        domain=found["domain"],
        name=found["name"],
        target=Target(*found["target"]),
        spec=b64decode(found["spec"]),
        program=found["program"],
        inputs_url=found["inputs"],
        options=Options(**found["options"]),
        state=_read_state(found["state"]),
    )


def _names(target: Target) -> tuple[str, str, str, str]:
    return target.project, target.domain, target.name, target.version


def _write_state(state: State) -> _Json:
    return _short(
        {
            "phase": int(state.phase),
            **_write_times(state),
            "nodes": {id: _write_node(node) for id, node in state.nodes.items()},
            "fault": _write_fault(state.fault),
            "abort": None
            if state.abort is None
            else {"cause": state.abort.cause, "principal": state.abort.principal, "at": state.abort.at.isoformat()},
        }
    )


def _read_state(found: _Json) -> State:
    abort = found.get("abort")
    return State(
        phase=ExecutionPhase(found["phase"]),
        nodes={id: _read_node(node) for id, node in found.get("nodes", {}).items()},
        fault=_read_fault(found.get("fault")),
        abort=None if abort is None else Abort(abort["cause"], abort["principal"], datetime.fromisoformat(abort["at"])),
        **_read_times(found),
    )


def _write_node(node: NodeState) -> _Json:
    return _short(
        {
            "phase": int(node.phase),
            **_write_times(node),
            "arm": node.arm,
            "size": node.size,
            "elements": {
                str(index): [_write_attempt(attempt) for attempt in attempts]
                for index, attempts in node.elements.items()
            },
            "fault": _write_fault(node.fault),
        }
    )


def _read_node(found: _Json) -> NodeState:
    return NodeState(
        phase=NodePhase(found["phase"]),
        arm=found.get("arm"),
        size=found.get("size"),
        elements={
            int(index): tuple(_read_attempt(attempt) for attempt in attempts)
            for index, attempts in found.get("elements", {}).items()
        },
        fault=_read_fault(found.get("fault")),
        **_read_times(found),
    )


def _write_attempt(attempt: Attempt) -> _Json:
    return _short(
        {
            "number": attempt.number,
            "run": attempt.run,
            "phase": int(attempt.phase),
            "settled": attempt.settled or None,
            "stopping": attempt.stopping or None,
            "message": attempt.message,
            "code": attempt.code,
            "origin": None if attempt.origin == "UNKNOWN" else attempt.origin,
            **_write_times(attempt),
            "links": [[link.name, link.uri, link.while_pending, link.hidden_when_finished] for link in attempt.links],
            "info": dict(attempt.info),
        }
    )


def _read_attempt(found: _Json) -> Attempt:
    return Attempt(
        number=found.get("number", 0),
        run=found.get("run"),
        phase=Phase(found.get("phase", 0)),
        settled=found.get("settled", False),
        stopping=found.get("stopping", False),
        message=found.get("message", ""),
        code=found.get("code", ""),
        origin=found.get("origin", "UNKNOWN"),
        links=tuple(Link(*link) for link in found.get("links", ())),
        info=found.get("info", {}),
        **_read_times(found),
    )


def _write_fault(fault: Fault | None) -> list[str] | None:
    return None if fault is None else [fault.code, fault.message, fault.kind, fault.node]


def _read_fault(found: list[str] | None) -> Fault | None:
    return None if found is None else Fault(*found)


_TIMES = ("created_at", "updated_at", "started_at", "ended_at")


def _write_times(owner: State | NodeState | Attempt) -> _Json:
    times = {name: getattr(owner, name) for name in _TIMES}
    return {name: time.isoformat() for name, time in times.items() if time is not None}


def _read_times(found: _Json) -> _Json:
    return {name: datetime.fromisoformat(found[name]) for name in _TIMES if name in found}


def _short(body: _Json) -> _Json:
    """Without what is as in a fresh one; thousands of elements make a document long."""
    return {name: value for name, value in body.items() if value not in (None, "", [], {})}


def with_node(state: State, id: str, node: NodeState) -> State:
    return replace(state, nodes={**state.nodes, id: node})


def with_attempt(state: State, id: str, index: int, attempt: Attempt) -> State:
    """The attempt in the place of the one with its number."""
    node = state.nodes[id]
    row = tuple(attempt if old.number == attempt.number else old for old in node.elements[index])
    return with_node(state, id, replace(node, elements={**node.elements, index: row}))
