"""Which operation a method and a path name (EMR contract, sections 5 and 9).

Paths are split before they are decoded, so that an id with ``%2F`` in it stays one segment, and an empty id is an empty
segment that names nothing. ``/api/v1/workspaces/queues`` has the shape of a workspace's path: fixed words come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from .errors import EmrError, unknown_action

_WORKSPACE = "/api/v1/workspaces/{workspaceId}"
_LOGS = "/api/interactive/v1/workspace/{workspaceId}/ray/{instanceId}"

OFFERED = (
    ("ListWorkspaces", "GET", "/api/v1/workspaces"),
    ("GetWorkspace", "GET", _WORKSPACE),
    ("ListReleaseVersions", "GET", "/api/v1/releaseVersions"),
    ("ListWorkspaceQueues", "GET", _WORKSPACE + "/queues"),
    ("CreateWorkspaceQueue", "POST", "/api/v1/workspaces/queues"),
    ("EditWorkspaceQueue", "POST", "/api/v1/workspaces/queues/action/edit"),
    ("DeleteWorkspaceQueue", "DELETE", _WORKSPACE + "/queues/{queueName}"),
    ("ListQueueTopJobs", "GET", _WORKSPACE + "/queues/{queueName}/topJobs"),
    ("GetCuHours", "GET", _WORKSPACE + "/metric/cuHours/{queue}"),
    ("ListNetworkServices", "GET", _WORKSPACE + "/networkServices"),
    ("ListRayCluster", "GET", _WORKSPACE + "/rayCluster"),
    ("CreateRayCluster", "POST", _WORKSPACE + "/rayCluster"),
    ("GetRayCluster", "GET", _WORKSPACE + "/rayCluster/{clusterId}"),
    ("UpdateRayCluster", "POST", _WORKSPACE + "/rayCluster/{clusterId}"),
    ("DeleteRayCluster", "DELETE", _WORKSPACE + "/rayCluster/{clusterId}"),
    ("StartRayCluster", "POST", _WORKSPACE + "/rayCluster/{clusterId}/start"),
    ("StopRayCluster", "POST", _WORKSPACE + "/rayCluster/{clusterId}/stop"),
    ("SubmitRayJob", "POST", _WORKSPACE + "/rayJob"),
    ("ListRayJob", "GET", _WORKSPACE + "/rayJob"),
    ("GetRayJob", "GET", _WORKSPACE + "/rayJob/{submissionId}"),
    ("CancelRayJob", "POST", _WORKSPACE + "/rayJob/{submissionId}/cancel"),
    ("ListRayLogs", "GET", _LOGS + "/logs"),
    ("GetRayLog", "GET", _LOGS + "/log"),
)
NOT_OFFERED = (
    ("CreateWorkspace", "POST", "/api/v1/workspaces"),
    ("UpdateWorkspace", "POST", "/api/v1/workspaces/update"),
    ("CreateNetworkService", "POST", _WORKSPACE + "/networkServices"),
    ("ListMembers", "GET", "/api/v1/auth/{workspaceId}/members"),
)
"""Operations that exist at the vendor, so that they are told apart from a wrong method: 404, not 405."""


@dataclass(frozen=True)
class Route:
    """An operation and the ids in its path."""

    operation: str
    ids: Mapping[str, str]


class MethodNotAllowed(EmrError):
    """The path is known with other methods."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__("UnsupportedHTTPMethod", f"{method} is not possible on this path; use {' or '.join(allowed)}.")
        self.allowed = allowed


@dataclass
class _Path:
    """One path of the API."""

    segments: tuple[str, ...]
    offered: dict[str, str] = field(default_factory=dict)
    """Method -> operation."""
    elsewhere: dict[str, str] = field(default_factory=dict)

    def match(self, segments: list[str]) -> dict[str, str] | None:
        ids = {}
        for own, given in zip(self.segments, segments, strict=True):
            if own.startswith("{"):
                ids[own[1:-1]] = given
            elif own != given:
                return None
        return ids


def _table() -> dict[int, list[_Path]]:
    """Paths by their number of segments, those with fewer placeholders first."""
    paths: dict[str, _Path] = {}
    for rows, offered in ((OFFERED, True), (NOT_OFFERED, False)):
        for operation, method, text in rows:
            path = paths.setdefault(text, _Path(tuple(text.split("/"))))
            (path.offered if offered else path.elsewhere)[method] = operation
    table: dict[int, list[_Path]] = {}
    for path in sorted(paths.values(), key=lambda path: sum(part.startswith("{") for part in path.segments)):
        table.setdefault(len(path.segments), []).append(path)
    return table


_TABLE = _table()


def find_route(method: str, raw_path: str) -> Route:
    """The operation. Raises EmrError: ``InvalidAction.NotFound``, or MethodNotAllowed."""
    segments = [unquote(segment) for segment in raw_path.split("/")]
    for path in _TABLE.get(len(segments), ()):
        ids = path.match(segments)
        if ids is None:
            continue
        if method in path.offered:
            return Route(path.offered[method], ids)
        if method in path.elsewhere:
            raise unknown_action(f"{path.elsewhere[method]} is not offered by this server.")
        if path.offered:
            raise MethodNotAllowed(method, tuple(path.offered))
        break
    raise unknown_action("No operation has this path; paths are case-sensitive and end without a slash.")
