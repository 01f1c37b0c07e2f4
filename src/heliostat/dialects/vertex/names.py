"""Resource names: paths such as ``projects/P/locations/L/persistentResources/R``, and the ids in them. Pure.

Each kind of name is a class whose ``str()`` is the name, and has a ``parse_`` and a ``format_`` function. A project may be
given by number, id or name, and a resource by its name or its cluster's id, so parsing is generous about these segments: who
looks them up says whether they exist. Ids that are to be given to something new have to keep the rules of the Vertex
contract's section 9.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LOCATION = re.compile(r"[A-Za-z0-9-]{1,63}")
_RESOURCE_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_CLUSTER_ID = re.compile(r"ray-[a-z0-9]{16}")
_PROJECT_ID = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_LONGEST_SEGMENT = 128


class InvalidName(ValueError):
    """A text is no name of the kind that is wanted. ``path`` is the field or parameter that holds it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


@dataclass(frozen=True)
class ProjectName:
    """``projects/P``."""

    project: str

    def __str__(self) -> str:
        return f"projects/{self.project}"


@dataclass(frozen=True)
class Parent:
    """``projects/P/locations/L``: where resources are listed and made."""

    project: str
    location: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"


@dataclass(frozen=True)
class ResourceName:
    """``projects/P/locations/L/persistentResources/R``."""

    project: str
    location: str
    resource: str

    @property
    def parent(self) -> Parent:
        return Parent(self.project, self.location)

    def __str__(self) -> str:
        return f"{self.parent}/persistentResources/{self.resource}"


@dataclass(frozen=True)
class OperationName:
    """``projects/P/locations/L/operations/N``, with ``persistentResources/R`` between when ``resource`` is given."""

    project: str
    location: str
    operation: str
    resource: str | None = None

    @property
    def parent(self) -> Parent | ResourceName:
        """What its list of operations belongs to."""
        if self.resource is None:
            return Parent(self.project, self.location)
        return ResourceName(self.project, self.location, self.resource)

    def __str__(self) -> str:
        return f"{self.parent}/operations/{self.operation}"


def parse_project(text: str, path: str = "name") -> ProjectName:
    return ProjectName(*_segments(text, "projects/{project}", path))


def parse_parent(text: str, path: str = "parent") -> Parent:
    return Parent(*_segments(text, "projects/{project}/locations/{location}", path))


def parse_resource(text: str, path: str = "name") -> ResourceName:
    return ResourceName(*_segments(text, "projects/{project}/locations/{location}/persistentResources/{id}", path))


def parse_operation(text: str, path: str = "name") -> OperationName:
    if "/persistentResources/" in text:
        form = "projects/{project}/locations/{location}/persistentResources/{id}/operations/{operation}"
        project, location, resource, operation = _segments(text, form, path)
        return OperationName(project, location, operation, resource)
    return OperationName(*_segments(text, "projects/{project}/locations/{location}/operations/{operation}", path))


def parse_owner_of_operations(text: str, path: str = "name") -> Parent | ResourceName:
    """Whose operations are to be listed: those of a resource, or all of a location."""
    return parse_resource(text, path) if "/persistentResources/" in text else parse_parent(text, path)


def is_resource_id(text: str) -> bool:
    """Whether a cluster with this name is shown by it. The ids of clusters are not for names."""
    return _RESOURCE_ID.fullmatch(text) is not None and _CLUSTER_ID.fullmatch(text) is None


def check_new_resource_id(text: str, path: str = "persistentResourceId") -> None:
    """InvalidName when a new resource cannot have this id."""
    if not text:
        raise InvalidName(path, "is required")
    if _RESOURCE_ID.fullmatch(text) is None:
        rule = "must be 1 to 63 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen"
        raise InvalidName(path, rule)
    if _CLUSTER_ID.fullmatch(text) is not None:
        raise InvalidName(path, "has the shape of a generated id (ray- and 16 letters or digits); choose another one")


def is_project_id(text: str) -> bool:
    """Whether a workspace's name can be shown as the id of a project."""
    return _PROJECT_ID.fullmatch(text) is not None


def _segments(text: str, form: str, path: str) -> list[str]:
    """What stands in the form's braces; InvalidName when the text has not this form."""
    wanted, given = form.split("/"), text.split("/")
    if len(wanted) != len(given):
        raise InvalidName(path, f"must be of the form {form}")
    values = []
    for pattern, segment in zip(wanted, given, strict=True):
        if not pattern.startswith("{"):
            if pattern != segment:
                raise InvalidName(path, f"must be of the form {form}")
            continue
        if not 1 <= len(segment) <= _LONGEST_SEGMENT or not segment.isprintable():
            raise InvalidName(path, f"must have 1 to {_LONGEST_SEGMENT} printable characters for {pattern}")
        if pattern == "{location}" and _LOCATION.fullmatch(segment) is None:
            raise InvalidName(path, "must have a location of at most 63 letters, digits and hyphens")
        if pattern in ("{id}", "{operation}") and ":" in segment:  # a REST path's verb, such as :reboot
            raise InvalidName(path, f"must have no colon in {pattern}")
        values.append(segment)
    return values
