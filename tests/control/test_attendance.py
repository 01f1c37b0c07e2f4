"""Documents are looked after: when they change, when their job does, and again after a failure; what has expired goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from heliostat.control.attendance import Attendance
from heliostat.control.clock import SystemClock
from heliostat.control.leases import SoleServer
from heliostat.control.loop import Loop
from heliostat.domain.documents import Document, NewDocument
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import JobId, WorkspaceId
from heliostat.services import Caller, DocumentService
from heliostat.services.identity import IdentityService
from heliostat.store import Store, StoreSettings, Transaction

JOB = JobId("rj-0123456789abcdef")


@dataclass
class Clerk:
    """Counts its looks in the body, and closes a document whose body says so."""

    documents: DocumentService
    kind: str = "test.thing"
    troubles: int = 0
    looks: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    stubborn: str = ""
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def look(self, document: Document) -> timedelta | None:
        self.looks.append(document.key)
        self.looked.set()
        if self.troubles:
            self.troubles -= 1
            raise Unavailable("not now")
        if document.body == b"close":
            expires = document.created_at - timedelta(seconds=1)
            await self.documents.save(replace(document, open=False, expires_at=expires))
        return None

    async def forget(self, document: Document) -> None:
        if document.key == self.stubborn:
            raise Unavailable("not now")
        self.forgotten.append(document.key)


@dataclass
class Room:
    store: Store
    attendance: Attendance
    documents: DocumentService
    clerk: Clerk
    caller: Caller
    workspace: WorkspaceId

    async def add(self, key: str, body: bytes = b"", **more: object) -> Document:
        wish = NewDocument("test.thing", self.workspace, key, body, open=True, **more)  # type: ignore[arg-type]
        return (await self.documents.add(self.caller, wish))[0]

    async def looks(self, count: int) -> list[str]:
        async with asyncio.timeout(10):
            while len(self.clerk.looks) < count:
                self.clerk.looked.clear()
                await self.clerk.looked.wait()
        return self.clerk.looks


@pytest_asyncio.fixture
async def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    store = await Store.open(StoreSettings(f"sqlite:///{tmp_path}/heliostat.db", tmp_path / "master.key"))
    clock = SystemClock()
    identity = IdentityService(store, clock)
    first = await identity.first_start("anna")
    assert first is not None
    caller = Caller(await identity.by_token(first.token.reveal()))
    attendance = Attendance(store, clock)
    loop = Loop(store, attendance, SoleServer())
    documents = DocumentService(store, clock, loop.wake)
    clerk = Clerk(documents)
    attendance.add(clerk)
    ticked, active, here = asyncio.Event(), attendance.active, asyncio.get_running_loop()

    def first_round(tx: Transaction) -> list[str]:
        found = active(tx)
        here.call_soon_threadsafe(ticked.set)
        return found

    monkeypatch.setattr(attendance, "active", first_round)
    task = asyncio.create_task(loop.run())
    try:
        await asyncio.wait_for(ticked.wait(), 10)  # else the loop's first round may find what a test adds, too
        yield Room(store, attendance, documents, clerk, caller, first.workspace)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.close()


async def test_a_new_document_is_looked_at_and_again_when_it_changes(room: Room) -> None:
    document = await room.add("one")
    await room.looks(1)
    saved = await room.documents.save(replace(document, body=b"2"))
    await room.looks(2)
    await room.documents.save(replace(saved, open=False))
    await room.add("two")
    assert await room.looks(3) == ["one", "one", "two"]  # a closed one is left alone


async def test_a_change_is_news_for_the_parent(room: Room) -> None:
    await room.add("parent")
    await room.looks(1)
    await room.add("child", b"close", parent="test.thing|parent")
    assert await room.looks(3) == ["parent", "child", "parent"]


async def test_the_news_of_a_job(room: Room) -> None:
    await room.add("one", job=JOB)
    await room.add("other")
    await room.looks(2)
    room.attendance.job_changed(JobId("rj-fedcba9876543210"))
    room.attendance.job_changed(JOB)
    assert (await room.looks(3))[2:] == ["one"]


async def test_a_store_that_is_away_does_not_end_the_loop(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    await room.add("one", job=JOB)
    await room.looks(1)
    read, away = room.store.read, asyncio.Event()

    async def unavailable(work: object) -> object:
        away.set()
        raise Unavailable("the database is away")

    monkeypatch.setattr(room.store, "read", unavailable)
    room.attendance.job_changed(JOB)
    await asyncio.wait_for(away.wait(), 10)
    monkeypatch.setattr(room.store, "read", read)
    room.attendance.job_changed(JOB)
    assert await room.looks(2) == ["one", "one"]


async def test_a_failure_is_tried_again(room: Room) -> None:
    room.clerk.troubles = 2
    await room.add("one")
    assert await room.looks(3) == ["one"] * 3


async def test_what_has_expired_goes_and_is_forgotten_first(room: Room) -> None:
    room.clerk.stubborn = "two"
    for key in ("one", "two", "three"):
        await room.add(key, b"close")
    await room.looks(3)
    async with asyncio.timeout(10):
        while await room.store.read(lambda tx: tx.documents.open(["test.thing"])):
            await asyncio.sleep(0.005)
    assert await room.attendance.remove_expired() == 2
    assert sorted(room.clerk.forgotten) == ["one", "three"]
    left = await room.documents.scan(room.caller, room.workspace, "test.thing", "", limit=9)
    assert [row.key for row in left] == ["two"]
    room.clerk.stubborn = ""
    assert await room.attendance.remove_expired() == 1
