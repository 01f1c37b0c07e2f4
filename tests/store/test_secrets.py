"""Secrets at rest, and the values that attempts were given."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from sqlalchemy import text

from heliostat.domain.errors import NotReady
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.secrets import GivenSecret, SecretName, WorkspaceSecret
from heliostat.store import Store, StoreSettings
from heliostat.store.database import database
from heliostat.store.job_codec import decode_job_spec, encode_job_spec
from heliostat.store.sealing import Sealer

from .samples import ANNA, AWAY, HOME, NOW, a_job, make_workspaces

PASSWORD, USER = SecretName("db", "password"), SecretName("db", "user")
SECOND = SecretName("db", "password", "2")
LATER = NOW + timedelta(hours=1)


def a_secret(name: SecretName = PASSWORD, workspace: WorkspaceId = HOME) -> WorkspaceSecret:
    return WorkspaceSecret(workspace, name, NOW, ANNA, "anna")


async def put(store: Store, value: str, name: SecretName = PASSWORD, workspace: WorkspaceId = HOME) -> None:
    await store.write(lambda tx: tx.secrets.set(a_secret(name, workspace), value))


async def rows(settings: StoreSettings) -> int:
    """How many values there are, replaced ones included."""
    with database(settings).migrating() as connection:
        return int(connection.execute(text("SELECT count(*) FROM secrets")).scalar_one())


async def test_secrets_are_set_listed_replaced_and_removed(store: Store) -> None:
    await make_workspaces(store)
    for name in (USER, SECOND, PASSWORD):
        await put(store, f"of {name}", name)
    await put(store, "elsewhere", PASSWORD, AWAY)
    await put(store, "mail", SecretName("mail", "password"))
    listed = await store.read(lambda tx: tx.secrets.list(HOME, "db"))
    assert listed == [a_secret(PASSWORD), a_secret(SECOND), a_secret(USER)]
    assert await store.read(lambda tx: tx.secrets.count(HOME)) == 4
    names = [PASSWORD, SECOND, SecretName("db", "nothing")]
    found = await store.read(lambda tx: tx.secrets.values(HOME, names))
    assert found == {PASSWORD: "of db/password", SECOND: "of db/password@2"}

    changed = replace(a_secret(), modified_at=LATER, modifier_name="bert")
    await store.write(lambda tx: tx.secrets.set(changed, "new"))
    assert await store.read(lambda tx: tx.secrets.values(HOME, [PASSWORD])) == {PASSWORD: "new"}
    assert (await store.read(lambda tx: tx.secrets.list(HOME)))[0] == changed
    assert await store.write(lambda tx: tx.secrets.remove(HOME, PASSWORD, LATER))
    assert not await store.write(lambda tx: tx.secrets.remove(HOME, PASSWORD, LATER))
    assert not await store.read(lambda tx: tx.secrets.has(HOME, PASSWORD))
    assert await store.read(lambda tx: tx.secrets.values(AWAY, [PASSWORD])) == {PASSWORD: "elsewhere"}


async def test_a_value_that_nobody_was_given_is_gone_at_once(store: Store, settings: StoreSettings) -> None:
    await make_workspaces(store)
    for value in ("one", "two", "two"):
        await put(store, value)
        assert await rows(settings) == 1
    await store.write(lambda tx: tx.secrets.remove(HOME, PASSWORD, LATER))
    assert await rows(settings) == 0


async def test_an_attempt_keeps_what_it_was_given(store: Store, settings: StoreSettings) -> None:
    await make_workspaces(store)
    job = a_job()
    await store.write(lambda tx: tx.jobs.add(job))
    wanted = [PASSWORD, USER, PASSWORD]
    await put(store, "one")
    first = await store.write(lambda tx: tx.secrets.give(HOME, job.id, 1, wanted))
    assert first == [GivenSecret(PASSWORD, "one"), None, GivenSecret(PASSWORD, "one")]
    assert await store.read(lambda tx: tx.secrets.given([job.id])) == [], "nothing was given"
    await put(store, "ada", USER)
    given = [GivenSecret(PASSWORD, "one"), GivenSecret(USER, "ada"), GivenSecret(PASSWORD, "one")]
    assert await store.write(lambda tx: tx.secrets.give(HOME, job.id, 1, wanted)) == given

    await put(store, "two")
    await store.write(lambda tx: tx.secrets.remove(HOME, USER, LATER))
    assert await store.write(lambda tx: tx.secrets.give(HOME, job.id, 1, wanted)) == given, "handed over again"
    assert (await store.write(lambda tx: tx.secrets.give(HOME, job.id, 2, wanted)))[1] is None
    again = await store.write(lambda tx: tx.secrets.give(HOME, job.id, 2, [PASSWORD]))
    assert again == [GivenSecret(PASSWORD, "two")]
    known = await store.read(lambda tx: tx.secrets.given([job.id]))
    assert {(row.name, row.value) for row in known} == {(PASSWORD, "one"), (PASSWORD, "two"), (USER, "ada")}
    assert await store.read(lambda tx: tx.secrets.list(HOME)) == [a_secret()]

    assert await store.write(lambda tx: tx.secrets.forget_unused()) == 0
    await store.write(lambda tx: tx.jobs.remove(job.id))
    assert await store.read(lambda tx: tx.secrets.given([job.id])) == []
    assert await store.write(lambda tx: tx.secrets.forget_unused()) == 2
    assert await rows(settings) == 1
    assert await store.read(lambda tx: tx.secrets.values(HOME, [PASSWORD])) == {PASSWORD: "two"}


async def test_two_may_set_the_same_at_once(store: Store, other: Store) -> None:
    await make_workspaces(store)
    await asyncio.gather(*(put(opened, f"value {number}") for number, opened in enumerate((store, other) * 4)))
    assert await store.read(lambda tx: tx.secrets.list(HOME)) == [a_secret()]
    (value,) = (await other.read(lambda tx: tx.secrets.values(HOME, [PASSWORD]))).values()
    assert value.startswith("value ")


async def test_no_value_is_in_the_database(settings: StoreSettings, tmp_path: Path) -> None:
    store = await Store.open(settings)
    await make_workspaces(store)
    job = a_job()
    await store.write(lambda tx: tx.jobs.add(job))
    await put(store, "hunter2-first")
    await store.write(lambda tx: tx.secrets.give(HOME, job.id, 1, [PASSWORD]))
    await put(store, "hunter2-second")
    await store.close()
    with database(settings).migrating() as connection:
        columns = [
            str(column)
            for table in ("secrets", "secret_uses", "jobs", "events")
            for row in connection.execute(text(f"SELECT * FROM {table}"))
            for column in row
        ]
    raw = "".join(columns).encode() + b"".join(path.read_bytes() for path in tmp_path.glob("heliostat.db*"))
    assert b"password" in raw and job.id.encode() in raw, "the search looks at something"
    assert b"hunter2" not in raw


@pytest.mark.parametrize("column", ["value", "key", "workspace"])
async def test_a_value_that_was_moved_does_not_open(settings: StoreSettings, column: str) -> None:
    store = await Store.open(settings)
    await make_workspaces(store)
    await put(store, "one")
    await put(store, "two", USER, AWAY)
    await store.close()
    with database(settings).migrating() as connection:
        moved = (
            f"UPDATE secrets SET {column} = (SELECT {column} FROM secrets WHERE key = 'user') WHERE key = 'password'"
        )
        connection.execute(text(moved))
    store = await Store.open(settings)
    try:
        with pytest.raises(NotReady, match="changed outside"):
            await store.read(
                lambda tx: [tx.secrets.values(place, [name]) for place in (HOME, AWAY) for name in (PASSWORD, USER)]
            )
    finally:
        await store.close()


def test_a_job_from_before_there_were_secrets_is_read() -> None:
    sealer, job = Sealer([bytes(32)]), a_job()
    document = orjson.loads(encode_job_spec(job.spec, sealer, job.id))
    del document["secrets"]
    assert decode_job_spec(orjson.dumps(document).decode(), sealer, job.id) == replace(job.spec, secrets=())
