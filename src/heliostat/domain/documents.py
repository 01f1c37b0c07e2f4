"""Documents: what a dialect keeps that no other door knows, in a form of its own.

The house sees bytes with a name. A document that is ``open`` has something to be done for: its kind's attendant looks after it
in the background until it is closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from .ids import JobId, PrincipalId, WorkspaceId


@dataclass(frozen=True)
class Document:
    kind: str
    """One word of the dialect: ``flyte.run``."""
    workspace: WorkspaceId
    key: str
    """Unique for its kind in its workspace."""
    body: bytes = field(repr=False)
    """Sealed at rest."""
    creator: PrincipalId
    created_at: datetime
    modified_at: datetime
    version: int = 1
    """Grows with each change."""
    group: str = ""
    """What it is listed under."""
    parent: str = ""
    """The open document that is to be looked at when this one changes, ``kind|key`` of the same workspace; empty = none."""
    open: bool = False
    job: JobId | None = None
    """What becomes of that job is news for it."""
    expires_at: datetime | None = None
    """When it may go, with all that its attendant keeps for it elsewhere; None = never by itself."""

    @property
    def ref(self) -> str:
        return ref(self.kind, self.workspace, self.key)


def ref(kind: str, workspace: WorkspaceId, key: str) -> str:
    """One text for a document, as loops and leases know it."""
    return f"{kind}|{workspace}|{key}"


def parts(text: str) -> tuple[str, WorkspaceId, str]:
    """The inverse of :func:`ref`."""
    kind, workspace, key = text.split("|", 2)
    return kind, WorkspaceId(workspace), key


@dataclass(frozen=True)
class NewDocument:
    """What its creator says of it."""

    kind: str
    workspace: WorkspaceId
    key: str
    body: bytes = field(repr=False)
    group: str = ""
    parent: str = ""
    open: bool = False
    job: JobId | None = None
