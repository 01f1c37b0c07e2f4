"""Invariants 1 and 5 at the store: what was acknowledged survives a kill, and no secret lies about in plain bytes."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from heliostat.domain.ids import new_cluster_id
from heliostat.domain.records import Credential, CredentialKind, Principal
from heliostat.domain.secret import Secret
from heliostat.store import Store, StoreSettings
from heliostat.store.database import database
from heliostat.store.schema import metadata

from .samples import ANNA, NOW, a_cluster, an_instance, make_workspaces, seen

WRITER = """
import asyncio, sys
from heliostat.domain.records import Event
from heliostat.domain.ids import ClusterId, WorkspaceId
from heliostat.store import Store, StoreSettings
from datetime import UTC, datetime

async def main(url, cluster):
    store = await Store.open(StoreSettings(url, bytes(32)))
    for number in range(1_000_000):
        event = Event(ClusterId(cluster), WorkspaceId("w"), datetime.now(UTC), "x", "Fact", f"{number}")
        await store.write(lambda tx: tx.events.add(event))
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
async def test_an_acknowledged_write_survives_kill_9(settings: StoreSettings) -> None:
    settings = replace(settings, master_key=bytes(32))
    cluster = new_cluster_id()
    acknowledged = -1
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WRITER, settings.url, cluster), stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    try:
        while acknowledged < 300:
            acknowledged = int(await asyncio.wait_for(writer.stdout.readline(), 60))
    finally:
        writer.kill()
    for line in (await writer.stdout.read()).split(b"\n")[:-1]:
        acknowledged = int(line)
    await writer.wait()

    store = await Store.open(settings)
    events = await store.read(lambda tx: tx.events.page(cluster, limit=1_000_000, after=0))
    await store.close()
    numbers = [int(event.message) for event in events]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > acknowledged
    if settings.url.startswith("sqlite"):
        with sqlite3.connect(settings.url.removeprefix("sqlite:///")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_no_secret_in_plain_bytes(settings: StoreSettings) -> None:
    store = await Store.open(settings)
    await make_workspaces(store)
    cluster = a_cluster()
    instance = seen(an_instance(cluster))
    await store.write(lambda tx: (tx.clusters.add(cluster), tx.instances.add(instance)))
    key = Credential("HELIKEY", CredentialKind.ACCESS_KEY, ANNA, "", NOW)
    token = Credential("tok-1", CredentialKind.TOKEN, ANNA, "", NOW)
    await store.write(lambda tx: tx.principals.add(Principal(ANNA, "anna")))
    await store.write(lambda tx: tx.credentials.add_access_key(key, Secret("access-key-secret")))
    await store.write(lambda tx: tx.credentials.add_token(token, "hlt_bearer"))
    stored = await asyncio.to_thread(everything, settings)
    await store.close()

    secrets = [
        *("access-key-secret", "hlt_bearer", "head-env", "worker-env", "redis-password", "--num-cpus", "extra-value"),
        *(instance.submit_token.reveal(), instance.ray_token.reveal()),
    ]
    assert isinstance(settings.master_key, Path)
    master_key = bytes.fromhex(settings.master_key.read_text())
    for secret in [*(secret.encode() for secret in secrets), master_key, master_key.hex().encode()]:
        assert secret not in stored, secret
    assert b"root_queue" in stored


async def test_no_value_in_the_text_of_an_unforeseen_error(store: Store) -> None:
    key = Credential("HELIKEY", CredentialKind.ACCESS_KEY, ANNA, "a private remark", NOW)
    with pytest.raises(IntegrityError) as raised:
        await store.write(lambda tx: tx.credentials.add_access_key(key, Secret("access-key-secret")))
    assert "credentials" in str(raised.value)
    assert "a private remark" not in str(raised.value)


def everything(settings: StoreSettings) -> bytes:
    """All bytes of the SQLite files, or all values of all PostgreSQL tables."""
    if settings.url.startswith("sqlite"):
        path = Path(settings.url.removeprefix("sqlite:///"))
        return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    with database(settings).connect(write=False) as connection:
        rows = [tuple(row) for table in metadata.sorted_tables for row in connection.execute(table.select())]
    return repr(rows).encode()
