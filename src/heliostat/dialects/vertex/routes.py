"""Which method a REST request is, by its HTTP method and path alone (Vertex contract, section 1.2). Pure.

``/v1`` and ``/v1beta1`` have everything; ``/ui``, where the vendor's client polls, has operations only. Projects are where
two versions of the Resource Manager have them.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from .call import Json
from .errors import NOT_FOUND, UNIMPLEMENTED, VertexError, invalid
from .wire import Version

PROJECT_1 = "GetProjectOfVersion1"
"""GetProject, answered as version 1 of the Resource Manager."""
ALLOWED_LOCATIONS = "AllowedLocations"
"""What the vendor's authentication library asks for in the background (Vertex contract, section 5.4)."""

_VERSIONED: tuple[Version, ...] = ("v1", "v1beta1")
_PREFIXES = (*_VERSIONED, "ui", "v3")


@dataclass(frozen=True)
class Target:
    """A method with what the path says of its request."""

    method: str
    version: Version
    request: Json
    """Fields of the request message."""
    query: tuple[str, ...] = ()
    """Fields that the query may give."""
    body: str | None = None
    """The field that the body is; ``*`` when it is the request's other fields; None when there is none."""


class MethodNotAllowed(VertexError):
    """The path is known, but not with this HTTP method."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(UNIMPLEMENTED, f"{method[:20]} is not served here; {', '.join(allowed)} is.", http=405)
        self.allowed = allowed


def find_target(method: str, raw_path: str) -> Target:
    """What is asked for. Raises VertexError, and MethodNotAllowed (always for OPTIONS)."""
    known = _targets(raw_path)
    found = known.get("GET" if method == "HEAD" else method)
    if found is None:
        raise MethodNotAllowed(method, (*known, *(["HEAD"] if "GET" in known else [])))
    return found


def _targets(raw_path: str) -> dict[str, Target]:
    """What there is at a path, by HTTP method."""
    prefix, segments, verb = _split(raw_path)
    kinds = tuple(segments[::2])
    version: Version = "v1" if prefix == "v1" else "v1beta1"
    found: dict[str, Target] = {}
    if kinds[-1:] == ("operations",) and prefix != "v3":
        found = _operations(version, segments, verb)
    elif kinds == ("projects", "locations", "persistentResources") and prefix in _VERSIONED:
        found = _resources(version, segments, verb)
    elif kinds == ("projects",) and len(segments) == 2 and not verb and prefix in ("v1", "v3"):
        name = PROJECT_1 if prefix == "v1" else "GetProject"
        found = {"GET": Target(name, version, {"name": "/".join(segments)})}
    elif kinds == ("projects", "serviceAccounts", "allowedLocations") and len(segments) == 5 and prefix == "v1":
        found = {"GET": Target(ALLOWED_LOCATIONS, version, {})}
    if not found:
        raise VertexError(NOT_FOUND, "There is no such method or resource at this path.")
    return found


def _resources(version: Version, segments: list[str], verb: str) -> dict[str, Target]:
    name = "/".join(segments)
    if len(segments) == 5:
        if verb:
            return {}
        parent = {"parent": name.rpartition("/")[0]}
        return {
            "GET": Target("ListPersistentResources", version, parent, ("pageSize", "pageToken")),
            "POST": Target(
                "CreatePersistentResource", version, parent, ("persistentResourceId",), "persistentResource"
            ),
        }
    if verb:
        found = Target("RebootPersistentResource", version, {"name": name}, body="*")
        return {"POST": found} if verb == "reboot" else {}
    update = {"persistentResource": {"name": name}}
    return {
        "GET": Target("GetPersistentResource", version, {"name": name}),
        "PATCH": Target("UpdatePersistentResource", version, update, ("updateMask",), "persistentResource"),
        "DELETE": Target("DeletePersistentResource", version, {"name": name}),
    }


def _operations(version: Version, segments: list[str], verb: str) -> dict[str, Target]:
    kinds = tuple(segments[::2])
    if kinds not in (
        ("projects", "locations", "operations"),
        ("projects", "locations", "persistentResources", "operations"),
    ):
        return {}
    name = "/".join(segments)
    if len(segments) % 2:
        owner = {"name": name.rpartition("/")[0]}
        return {} if verb else {"GET": Target("ListOperations", version, owner, ("filter", "pageSize", "pageToken"))}
    if verb:
        method = {"cancel": "CancelOperation", "wait": "WaitOperation"}.get(verb)
        return {} if method is None else {"POST": Target(method, version, {"name": name}, ("timeout",), "*")}
    return {
        "GET": Target("GetOperation", version, {"name": name}),
        "DELETE": Target("DeleteOperation", version, {"name": name}),
    }


def _split(raw_path: str) -> tuple[str, list[str], str]:
    """The prefix, the decoded segments behind it, and the verb behind the last one's colon. Raises VertexError."""
    prefix, *parts = raw_path.removeprefix("/").split("/")
    try:
        segments = [unquote(part, errors="strict") for part in parts]
    except UnicodeDecodeError:
        raise invalid("path", "must be UTF-8") from None
    if prefix not in _PREFIXES or not segments or any(not part or "/" in part for part in segments):
        raise VertexError(NOT_FOUND, "There is no such method or resource at this path.")
    segments[-1], _, verb = segments[-1].partition(":")
    return prefix, segments, verb
