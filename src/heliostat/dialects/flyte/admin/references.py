"""What is registered, by name: project, domain, name and version."""

from __future__ import annotations

from typing import NamedTuple

from flyteidl.core import identifier_pb2 as identifiers

from ..errors import FlyteError, invalid
from ..names import LONGEST_KEY, key

LONGEST = {"project": 200, "domain": 200, "name": 500, "version": 255}
"""Characters. Keys of documents are made of them."""
KINDS = {
    identifiers.TASK: "task",
    identifiers.WORKFLOW: "workflow",
    identifiers.LAUNCH_PLAN: "launch plan",
}


class Reference(NamedTuple):
    project: str
    domain: str
    name: str
    version: str

    @property
    def key(self) -> str:
        return key(*self)

    @property
    def group(self) -> str:
        """Of all versions."""
        return key(*self[:3])

    def __str__(self) -> str:
        return "/".join(self)


def reference(id: identifiers.Identifier, kind: int, path: str) -> Reference:
    """What an identifier names. Raises FlyteError when it is not one of that kind, or of nothing.

    ``kind`` is a ``ResourceType``; clients that leave it out mean the one that the method is about.
    """
    if id.resource_type not in (identifiers.UNSPECIFIED, kind):
        raise invalid(f"{path}.resource_type", f"must be of a {KINDS[kind]}")
    found = Reference(id.project, id.domain, id.name, id.version)
    for field, value in zip(Reference._fields, found, strict=True):
        check_name(value, f"{path}.{field}", LONGEST[field])
    if len(found.key) > LONGEST_KEY:
        raise invalid(path, "is too long: project, domain, name and version together")
    return found


def check_name(text: str, path: str, longest: int) -> None:
    """Raises FlyteError."""
    if not text:
        raise invalid(path, "is required")
    if len(text) > longest:
        raise invalid(path, f"has more than {longest} characters")
    if not text.isprintable():
        raise invalid(path, "holds a character that cannot be shown")


def identifier(found: Reference, kind: int) -> identifiers.Identifier:
    return identifiers.Identifier(
        resource_type=identifiers.ResourceType.ValueType(kind),
        project=found.project,
        domain=found.domain,
        name=found.name,
        version=found.version,
    )


def missing(found: Reference, kind: int) -> FlyteError:
    return FlyteError("NOT_FOUND", f"missing entity of type {KINDS[kind]} with identifier {found}")
