"""Credentials, nonces and client tokens: what a request is let in by, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from heliostat.domain.errors import AlreadyExists, IdempotencyMismatch
from heliostat.domain.ids import PrincipalId, random_text
from heliostat.domain.records import Credential, CredentialKind, Principal, Role
from heliostat.domain.secret import Secret
from heliostat.store import ServiceAccountKey, Store

from .samples import ANNA, AWAY, HOME, NOW, make_workspaces

KEY = Credential("HELIKEY", CredentialKind.ACCESS_KEY, ANNA, "laptop", NOW, NOW + timedelta(days=90))
TOKEN = Credential("tok-1", CredentialKind.TOKEN, ANNA, "", NOW + timedelta(seconds=1))
TEXT = "hlt_" + random_text(40)
MINUTE = timedelta(minutes=1)


async def make_anna(store: Store) -> Principal:
    await make_workspaces(store)
    anna = Principal(ANNA, "anna", roles={HOME: Role.OWNER, AWAY: Role.VIEWER})
    await store.write(lambda tx: tx.principals.add(anna))
    await store.write(lambda tx: tx.credentials.add_access_key(KEY, Secret("the-secret")))
    await store.write(lambda tx: tx.credentials.add_token(TOKEN, TEXT))
    return anna


async def test_an_access_key_gives_its_principal_and_secret(store: Store) -> None:
    anna = await make_anna(store)
    found = await store.read(lambda tx: tx.credentials.access_key("HELIKEY"))
    assert found == (KEY, anna, Secret("the-secret"))
    for id in ("HELIOTHER", "tok-1", "", "\0", "\ud800"):
        assert await store.read(lambda tx, id=id: tx.credentials.access_key(id)) is None


async def test_a_token_gives_its_principal(store: Store) -> None:
    anna = await make_anna(store)
    assert await store.read(lambda tx: tx.credentials.token(TEXT)) == (TOKEN, anna)
    for text in ("tok-1", TEXT[:-1], "HELIKEY", "", "\ud800"):
        assert await store.read(lambda tx, text=text: tx.credentials.token(text)) is None


async def test_a_service_account_key_gives_what_believes_its_tokens(store: Store) -> None:
    anna = await make_anna(store)
    key = Credential("0" * 40, CredentialKind.SERVICE_ACCOUNT_KEY, ANNA, "robot", NOW, NOW + timedelta(days=9))
    await store.write(lambda tx: tx.credentials.add_service_account_key(key, "PEM", "anna@p.iam.heliostat.internal"))
    found = await store.read(lambda tx: tx.credentials.service_account_key(key.id))
    assert found == ServiceAccountKey(key, anna, "PEM", "anna@p.iam.heliostat.internal")
    for id in ("1" * 40, "HELIKEY", "tok-1", "", "\0", "\ud800"):
        assert await store.read(lambda tx, id=id: tx.credentials.service_account_key(id)) is None
    assert await store.read(lambda tx: tx.credentials.access_key(key.id)) is None
    assert key in await store.read(lambda tx: tx.credentials.list(ANNA))
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: tx.credentials.add_service_account_key(key, "PEM2", "other"))
    assert await store.write(lambda tx: tx.credentials.revoke(key.id, NOW))
    found = await store.read(lambda tx: tx.credentials.service_account_key(key.id))
    assert found is not None and found.credential == replace(key, revoked_at=NOW)


async def test_a_credential_of_any_kind_is_found_by_its_id(store: Store) -> None:
    anna = await make_anna(store)
    for credential in (KEY, TOKEN):
        assert await store.read(lambda tx, id=credential.id: tx.credentials.get(id)) == (credential, anna)
    for id in ("tok-2", "", "\0", "\ud800"):
        assert await store.read(lambda tx, id=id: tx.credentials.get(id)) is None


async def test_a_principal_without_roles(store: Store) -> None:
    robot = Principal(PrincipalId("7"), "robot", admin=True)
    key = replace(KEY, principal=robot.id)
    await store.write(lambda tx: (tx.principals.add(robot), tx.credentials.add_access_key(key, Secret("s"))))
    assert await store.read(lambda tx: tx.credentials.access_key(key.id)) == (key, robot, Secret("s"))


async def test_ids_and_tokens_are_unique(store: Store) -> None:
    await make_anna(store)
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: tx.credentials.add_access_key(KEY, Secret("another")))
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: tx.credentials.add_token(replace(TOKEN, id="tok-2"), TEXT))


async def test_a_revoked_one_is_found_and_not_usable(store: Store) -> None:
    await make_anna(store)
    at = NOW + MINUTE
    assert await store.write(lambda tx: tx.credentials.revoke(KEY.id, at))
    assert not await store.write(lambda tx: tx.credentials.revoke(KEY.id, at + MINUTE))
    assert not await store.write(lambda tx: tx.credentials.revoke("HELIOTHER", at))
    found = await store.read(lambda tx: tx.credentials.access_key(KEY.id))
    assert found is not None
    assert found[0] == replace(KEY, revoked_at=at)
    assert not found[0].usable(at)


async def test_listed_newest_first(store: Store) -> None:
    await make_anna(store)
    assert await store.read(lambda tx: tx.credentials.list(ANNA)) == [TOKEN, KEY]
    assert await store.read(lambda tx: tx.credentials.list()) == [TOKEN, KEY]
    assert await store.read(lambda tx: tx.credentials.list(PrincipalId("7"))) == []


async def test_uses_are_noted_once_an_hour(store: Store, other: Store) -> None:
    await make_anna(store)

    async def last(opened: Store, minutes: int) -> float:
        await opened.write(lambda tx: tx.credentials.used(KEY.id, NOW + minutes * MINUTE))
        found = await store.read(lambda tx: tx.credentials.access_key(KEY.id))
        assert found is not None and found[0].last_used_at is not None
        return (found[0].last_used_at - NOW) / MINUTE

    assert await last(store, 0) == 0
    assert await last(store, 59) == 0
    assert await last(other, 59) == 0
    assert await last(store, 60) == 60
    assert await last(other, 130) == 130


async def test_a_nonce_is_good_once(store: Store, other: Store) -> None:
    async def fresh(key: str, nonce: str, minutes: int, opened: Store = store) -> bool:
        return await opened.write(lambda tx: tx.nonces.remember(key, nonce, NOW + minutes * MINUTE, 15 * MINUTE))

    assert await fresh("k", "n", 0)
    assert not await fresh("k", "n", 0)
    assert not await fresh("k", "n", 14, other)
    assert await fresh("k", "other", 0)
    assert await fresh("kn", "", 0)
    assert await fresh("k2", "n", 0)
    assert await fresh("k", "\ud800\0" * 1000, 0)
    assert await fresh("k", "n", 15)
    assert not await fresh("k", "n", 29)


async def test_of_simultaneous_uses_of_a_nonce_one_wins(store: Store, other: Store) -> None:
    results = await asyncio.gather(
        *(opened.write(lambda tx: tx.nonces.remember("k", "n", NOW, MINUTE)) for opened in (store, other) * 5)
    )
    assert sorted(results) == [False] * 9 + [True]


async def test_forgotten_nonces_leave_the_database(store: Store) -> None:
    for number in range(100):
        await store.write(lambda tx, n=f"{number}": tx.nonces.remember("k", n, NOW, MINUTE))
    later = NOW + 2 * MINUTE
    for number in range(100):
        await store.write(lambda tx, n=f"new{number}": tx.nonces.remember("k", n, later, MINUTE))
    earlier = NOW + MINUTE / 2
    for number in range(100):
        assert await store.write(lambda tx, n=f"{number}": tx.nonces.remember("k", n, earlier, MINUTE))
    assert not await store.write(lambda tx: tx.nonces.remember("k", "new0", later, MINUTE))


async def test_a_client_token_leads_to_its_first_target(store: Store) -> None:
    async def remember(token: str, action: str, target: str, hours: int, who: PrincipalId = ANNA) -> str | None:
        now = NOW + timedelta(hours=hours)
        keep = timedelta(hours=24)
        return await store.write(lambda tx: tx.client_tokens.remember(who, token, action, target, now, keep))

    assert await remember("t", "start", "ray-1", 0) is None
    assert await remember("t", "start", "ray-1", 1) == "ray-1"
    assert await remember("t", "start", "ray-2", 2) == "ray-1"
    assert await remember("u", "start", "ray-2", 2) is None
    assert await remember("t", "start", "ray-2", 2, PrincipalId("7")) is None
    with pytest.raises(IdempotencyMismatch, match="start of ray-1"):
        await remember("t", "stop", "ray-1", 3)
    assert await remember("t", "stop", "ray-3", 24) is None
    assert await remember("t", "stop", "ray-3", 25) == "ray-3"
