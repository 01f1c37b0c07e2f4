"""What dialects keep that no other door knows: documents, each of one workspace.

Callers see and change those of workspaces in which they have a role. Attendants, which look after open documents in the
background, come without a caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from heliostat.domain.documents import Document, NewDocument, parts, ref
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.records import Role
from heliostat.store import Store, Transaction

from .caller import Caller, authorise
from .seams import Clock


class WakeDocument(Protocol):
    def __call__(self, ref: str, /) -> None:
        """Tell the attendants to look at a document. Losing a wake is harmless."""


class DocumentService:
    """Methods with a caller may raise NotFound (workspace) and Forbidden."""

    def __init__(self, store: Store, clock: Clock, wake: WakeDocument) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake

    async def add(self, caller: Caller, wish: NewDocument) -> tuple[Document, bool]:
        """The stored document, and whether it is new: one that is there already stays as it is."""

        def work(tx: Transaction) -> tuple[Document, bool]:
            authorise(tx, caller, wish.workspace, Role.EDITOR, f"make {wish.kind} documents")
            now = self._clock.now()
            document = Document(
                wish.kind, wish.workspace, wish.key, wish.body, caller.principal.id, now, now,
                group=wish.group, parent=wish.parent, open=wish.open, job=wish.job,
            )  # fmt: skip
            if tx.documents.add(document):
                return document, True
            present = tx.documents.get(wish.kind, wish.workspace, wish.key)
            assert present is not None  # within this transaction
            return present, False

        document, fresh = await self._store.write(work)
        if document.open:
            self._wake(document.ref)
        return document, fresh

    async def get(self, caller: Caller, workspace: WorkspaceId, kind: str, key: str) -> Document | None:
        def work(tx: Transaction) -> Document | None:
            authorise(tx, caller, workspace, Role.VIEWER, f"see {kind} documents")
            return tx.documents.get(kind, workspace, key)

        return await self._store.read(work)

    async def page(
        self, caller: Caller, workspace: WorkspaceId, kind: str, group: str, *, limit: int, before: str | None = None
    ) -> Sequence[Document]:
        """Of a group, newest first, following on the key ``before``. Raises InvalidRequest when that is not there."""

        def work(tx: Transaction) -> Sequence[Document]:
            authorise(tx, caller, workspace, Role.VIEWER, f"list {kind} documents")
            return tx.documents.page(workspace, kind, group, limit=limit, before=before)

        return await self._store.read(work)

    async def scan(
        self, caller: Caller, workspace: WorkspaceId, kind: str, prefix: str, *, limit: int, after: str | None = None
    ) -> Sequence[Document]:
        """Those whose keys begin with ``prefix``, in the order of the keys, following on ``after``."""

        def work(tx: Transaction) -> Sequence[Document]:
            authorise(tx, caller, workspace, Role.VIEWER, f"list {kind} documents")
            return tx.documents.scan(workspace, kind, prefix, limit=limit, after=after)

        return await self._store.read(work)

    async def change(self, caller: Caller, document: Document) -> Document:
        """:meth:`save` for a caller."""

        def check(tx: Transaction) -> None:
            authorise(tx, caller, document.workspace, Role.EDITOR, f"change {document.kind} documents")

        return await self._saved(document, check)

    # --- without a caller: for attendants, and to learn in which workspace something is ---------------------------------

    async def find(self, kind: str, key: str) -> Document | None:
        """In any workspace. Show nothing of it to a caller who may not see that one."""
        return await self._store.read(lambda tx: tx.documents.find(kind, key))

    async def load(self, name: str) -> Document | None:
        """By its ref."""
        return await self._store.read(lambda tx: tx.documents.get(*parts(name)))

    async def save(self, document: Document) -> Document:
        """Write a document over the version that it was made from, and have it and its parent looked at.

        Give it by ``dataclasses.replace`` of what was read, ``version`` untouched. Raises Conflict when another has
        changed it meanwhile: read it again.
        """
        return await self._saved(document, lambda tx: None)

    async def _saved(self, document: Document, check: Callable[[Transaction], None]) -> Document:
        now = self._clock.now()

        def work(tx: Transaction) -> Document:
            check(tx)
            return tx.documents.save(replace(document, modified_at=now))

        saved = await self._store.write(work)
        if saved.open:
            self._wake(saved.ref)
        kind, separator, key = saved.parent.partition("|")
        if separator:
            self._wake(ref(kind, saved.workspace, key))
        return saved
