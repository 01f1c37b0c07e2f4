"""Answers about runs, as messages of Flyte. Pure. Imports flyteidl.

Flyte 2 has messages of its own, which are Flyte 1's byte for byte where both have a field: its inputs and outputs are repeated
entries with the numbers of a map's entries. So the same classes serve both, and the fields that Flyte 2 has dropped are left out
for it. Its additions to requests are unknown fields here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flyteidl.admin import agent_pb2
from flyteidl.core import execution_pb2

from heliostat.domain.ids import JobId

from ..runs.phases import Phase, RunView
from .kinds import NAME, TASK_TYPE

# flyteidl ships no types, so its messages are Any.
META_VERSION = 1


class UnreadableMeta(ValueError):
    """A resource_meta that is none of ours."""


def meta_of(run: JobId) -> bytes:
    """The ``resource_meta`` of a run: the same for the same run."""
    return json.dumps({"v": META_VERSION, "id": run}, separators=(",", ":")).encode()


def run_of(meta: bytes) -> JobId:
    """The inverse; what later versions add is not looked at. Raises UnreadableMeta."""
    try:
        body = json.loads(meta)
        id = body["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UnreadableMeta from None
    if not isinstance(id, str):
        raise UnreadableMeta
    return JobId(id)


def resource(run: RunView, *, first: bool) -> Any:
    """An ``admin.Resource``; ``first`` = of Flyte 1."""
    found = agent_pb2.Resource(phase=int(run.phase), message=run.message)
    for link in run.links:
        found.log_links.add(
            name=link.name,
            uri=link.uri,
            ShowWhilePending=link.while_pending,
            HideOnceFinished=link.hidden_when_finished,
        )
    found.custom_info.update(dict(run.info))
    if run.outputs:
        found.outputs.ParseFromString(run.outputs)
    if first and run.phase in (Phase.FAILED, Phase.RETRYABLE_FAILED):
        kinds = agent_pb2.AgentError
        found.agent_error.code = run.code
        found.agent_error.kind = kinds.RECOVERABLE if run.recoverable else kinds.NON_RECOVERABLE
        found.agent_error.origin = execution_pb2.ExecutionError.ErrorKind.Value(run.origin)
    return found


def unknown_run() -> Any:
    """A job that was deleted, or never was: another attempt may be made."""
    return agent_pb2.Resource(phase=int(Phase.RETRYABLE_FAILED), message="job not found")


def unreadable_run() -> Any:
    return agent_pb2.Resource(phase=int(Phase.FAILED), message="the resource_meta is not one that this connector gave")


def connector(*, first: bool) -> Any:
    """Who we are. One category only: of several for one type the propeller keeps the last (Flyte contract, section 4.3)."""
    found = agent_pb2.Agent(name=NAME)
    found.supported_task_categories.add(name=TASK_TYPE)
    if first:
        found.supported_task_types.append(TASK_TYPE)
    return found


def log_head(token: int) -> Any:
    return agent_pb2.GetTaskLogsResponse(header=agent_pb2.GetTaskLogsResponseHeader(token=str(token)))


def log_body(lines: Sequence[str], *, first: bool) -> Any:
    """Lines; Flyte 1 has them twice, the old way too."""
    body = agent_pb2.GetTaskLogsResponseBody(results=lines if first else ())
    for line in lines:
        body.structured_lines.add(message=line, originator=agent_pb2.LogLineOriginator.USER)
    return agent_pb2.GetTaskLogsResponse(body=body)
