"""Opening: what is refused and how it is told, and several processes at once."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from heliostat.domain.errors import NotReady, Unavailable
from heliostat.store import Store, StoreSettings

OPENER = """
import asyncio, sys
from pathlib import Path
from heliostat.domain.records import Workspace
from heliostat.domain.ids import new_workspace_id
from heliostat.store import Store, StoreSettings
from datetime import UTC, datetime

async def main(url, key, name):
    sys.stdin.readline()
    store = await Store.open(StoreSettings(url, Path(key)))
    await store.write(lambda tx: tx.workspaces.add(Workspace(new_workspace_id(), name, datetime.now(UTC))))
    await store.close()

print("ready", flush=True)
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
async def test_processes_that_open_a_new_database_at_once(settings: StoreSettings) -> None:
    openers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", OPENER, settings.url, str(settings.master_key), f"process-{number}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for number in range(4)
    ]
    try:
        for opener in openers:
            assert opener.stdout is not None
            assert await opener.stdout.readline() == b"ready\n"
        outcomes = await asyncio.gather(*(opener.communicate(b"go\n") for opener in openers))
    finally:
        for opener in openers:
            if opener.returncode is None:
                opener.kill()
    assert [opener.returncode for opener in openers] == [0] * 4, [stderr.decode()[-800:] for _, stderr in outcomes]
    store = await Store.open(settings)
    assert len(await store.read(lambda tx: tx.workspaces.list(limit=9))) == 4
    await store.close()


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("mysql://host/db", "use sqlite or postgresql"),
        ("no url", "sqlite:///"),
        ("sqlite:////proc/nowhere/heliostat.db", "cannot be used"),
    ],
)
async def test_other_urls_are_refused(url: str, remedy: str) -> None:
    with pytest.raises(NotReady, match=remedy):
        await Store.open(StoreSettings(url, bytes(32)))


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "heliostat.db"
    path.write_text("something else " * 100)
    with pytest.raises(NotReady, match="not an SQLite database"):
        await Store.open(StoreSettings(f"sqlite:///{path}", bytes(32)))
    assert path.read_text().startswith("something else")


async def test_a_postgresql_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as raised:
        await Store.open(StoreSettings(f"postgresql://user:hidden-password@/db?host={tmp_path}", bytes(32)))
    assert "hidden-password" not in str(raised.value)


async def test_a_postgresql_user_who_may_not_create_tables(postgres_url: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN")
    with pytest.raises(NotReady, match="create tables"):
        await Store.open(StoreSettings(postgres_url.replace("postgres@", "guest@"), bytes(32)))


async def test_a_postgresql_database_that_is_not_utf8(postgres_url: str, tmp_path: Path) -> None:
    plain = postgres_url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        with pytest.raises(NotReady, match="createdb -E UTF8"):
            await Store.open(StoreSettings(plain.replace(plain.split("/")[3].split("?")[0], "latin"), bytes(32)))
    finally:
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute("DROP DATABASE latin WITH (FORCE)")


async def test_the_sqlite_files_belong_to_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        settings = StoreSettings(f"sqlite:///{tmp_path}/home/heliostat.db", tmp_path / "home" / "master.key")
        store = await Store.open(settings)
        await store.write(lambda tx: tx.leases.release_all("me"))
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in (tmp_path / "home").iterdir()}
        await store.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["heliostat.db", "heliostat.db-wal", "heliostat.db-shm", "master.key"], 0o600)
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


async def test_an_sqlite_database_that_another_program_holds(tmp_path: Path) -> None:
    settings = StoreSettings(f"sqlite:///{tmp_path}/heliostat.db", bytes(32))
    store = await Store.open(replace(settings, patience=settings.patience / 100))
    holder = sqlite3.connect(tmp_path / "heliostat.db", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await store.write(lambda tx: tx.leases.release_all("me"))
        assert await store.read(lambda tx: tx.clusters.active()) == []
        holder.execute("ROLLBACK")
        await store.write(lambda tx: tx.leases.release_all("me"))
    finally:
        holder.close()
        await store.close()
