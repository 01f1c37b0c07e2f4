"""Documents in the database: they come back as they were, change in order, and are sealed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from heliostat.domain.documents import Document, parts
from heliostat.domain.errors import Conflict, InvalidRequest, NotReady
from heliostat.domain.ids import JobId
from heliostat.store import Store, StoreSettings
from heliostat.store.database import database

from .samples import ANNA, AWAY, HOME, NOW, make_workspaces

JOB = JobId("rj-aaaaaaaaaaaaaaaa")


def a_document(key: str = "p/d/one/v1", **more: object) -> Document:
    whole = Document(
        "flyte.task", HOME, key, b"\x00\xff body", ANNA, NOW, NOW + timedelta(seconds=1),
        group="p/d/one", parent="flyte.execution|p/d/e", open=True, job=JOB, expires_at=NOW + timedelta(days=1),
    )  # fmt: skip
    return replace(whole, **more)  # type: ignore[arg-type]


async def add(store: Store, *rows: Document) -> list[bool]:
    return await store.write(lambda tx: [tx.documents.add(row) for row in rows])


async def test_comes_back_as_it_was_written(store: Store, other: Store) -> None:
    await make_workspaces(store)
    bare = a_document("bare", group="", parent="", open=False, job=None, expires_at=None, body=b"")
    assert await add(store, a_document(), bare) == [True, True]
    for row in (a_document(), bare):
        assert await other.read(lambda tx, row=row: tx.documents.get(row.kind, HOME, row.key)) == row
        assert await other.read(lambda tx, row=row: tx.documents.get(*parts(row.ref))) == row
        assert await other.read(lambda tx, row=row: tx.documents.find(row.kind, row.key)) == row
        assert await other.read(lambda tx, row=row: tx.documents.get(row.kind, AWAY, row.key)) is None
        assert await other.read(lambda tx, row=row: tx.documents.get("flyte.run", HOME, row.key)) is None


async def test_what_is_there_stays(store: Store) -> None:
    await make_workspaces(store)
    assert await add(store, a_document(), a_document(body=b"another"), a_document(workspace=AWAY)) == [
        True,
        False,
        True,
    ]
    found = await store.read(lambda tx: tx.documents.get("flyte.task", HOME, "p/d/one/v1"))
    assert found is not None and found.body == b"\x00\xff body"


async def test_a_change_needs_the_version_that_it_was_made_from(store: Store, other: Store) -> None:
    await make_workspaces(store)
    await add(store, a_document())
    changed = replace(a_document(), body=b"2", open=False, job=None, group="g", expires_at=None)
    saved = await store.write(lambda tx: tx.documents.save(changed))
    assert saved == replace(changed, version=2)
    assert await other.read(lambda tx: tx.documents.get("flyte.task", HOME, "p/d/one/v1")) == saved
    with pytest.raises(Conflict, match="changed by another"):
        await other.write(lambda tx: tx.documents.save(changed))
    assert await store.write(lambda tx: tx.documents.remove(*parts(saved.ref)))
    assert not await store.write(lambda tx: tx.documents.remove(*parts(saved.ref)))
    with pytest.raises(Conflict):
        await store.write(lambda tx: tx.documents.save(saved))


async def test_lists(store: Store) -> None:
    await make_workspaces(store)
    rows = [a_document(f"p/d/one/v{n}", created_at=NOW + timedelta(seconds=n // 2)) for n in range(7)]
    await add(store, *rows, a_document("p/d/other/v1", group="p/d/other"), a_document("p/d/one/v9", workspace=AWAY))
    expected = sorted(rows, key=lambda row: (row.created_at, row.key), reverse=True)
    whole, before = [], None
    while page := await store.read(
        lambda tx, before=before: tx.documents.page(HOME, "flyte.task", "p/d/one", limit=3, before=before)
    ):
        whole += page
        before = page[-1].key
    assert whole == expected
    scanned, after = [], None
    while page := await store.read(
        lambda tx, after=after: tx.documents.scan(HOME, "flyte.task", "p/d/", limit=3, after=after)
    ):
        scanned += [row.key for row in page]
        after = page[-1].key
    assert scanned == [*(f"p/d/one/v{n}" for n in range(7)), "p/d/other/v1"]
    assert await store.read(lambda tx: tx.documents.scan(HOME, "flyte.task", "p/d/x", limit=9)) == []
    with pytest.raises(InvalidRequest):
        await store.read(lambda tx: tx.documents.page(HOME, "flyte.task", "p/d/one", limit=3, before="gone"))


async def test_who_needs_care_and_who_may_go(store: Store) -> None:
    await make_workspaces(store)
    closed = a_document("closed", open=False)
    later = a_document("later", open=False, expires_at=NOW + timedelta(days=9))
    await add(store, a_document(), closed, later, a_document("without a job", job=None, kind="flyte.run"))
    assert await store.read(lambda tx: tx.documents.open(["flyte.task"])) == [a_document().ref]
    assert len(await store.read(lambda tx: tx.documents.open(["flyte.task", "flyte.run", "other"]))) == 2
    assert await store.read(lambda tx: tx.documents.of_job(JOB)) == [a_document().ref]
    when = NOW + timedelta(days=2)
    assert await store.read(lambda tx: tx.documents.expired(when, limit=9)) == [closed]  # an open one never goes


async def test_sealed_and_bound_to_its_place(store: Store, settings: StoreSettings) -> None:
    await make_workspaces(store)
    await add(store, a_document(body=b"very secret indeed"), a_document("two", body=b"two"))
    with database(settings).connect(write=True) as connection:
        bodies = dict(connection.execute(text("SELECT key, body FROM documents")).all())
        assert not any("very secret" in body for body in bodies.values())
        moved = text("UPDATE documents SET body = :body WHERE key = 'two'")
        connection.execute(moved, {"body": bodies["p/d/one/v1"]})
        connection.commit()
    with pytest.raises(NotReady, match="changed outside"):
        await store.read(lambda tx: tx.documents.get("flyte.task", HOME, "two"))
