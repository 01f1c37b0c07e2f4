"""Keys: made, shown once, listed, ended; and the nonces of signed requests."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from heliostat.domain.errors import InvalidRequest, NotFound, Unauthenticated
from heliostat.domain.records import CredentialKind
from heliostat.services.identity import NONCE_MEMORY

from .conftest import BOTH, Office


@BOTH
async def test_a_token_opens_until_it_is_revoked(office: Office) -> None:
    identity, editor = office.services.identity, await office.caller("editor")
    made = await identity.create_token(editor, description="laptop")
    text = made.token.reveal()
    assert re.fullmatch(r"hlt_[A-Za-z0-9_-]{43}", text) and made.credential.id.startswith("tok-")
    assert await identity.by_token(text) == editor.principal
    await identity.revoke(editor, made.credential.id)
    with pytest.raises(Unauthenticated):
        await identity.by_token(text)
    listed = next(row for row in await identity.keys(editor) if row.id == made.credential.id)
    assert listed.revoked_at == office.clock.now() and listed.description == "laptop"


@BOTH
async def test_an_access_key_is_found_with_its_secret(office: Office) -> None:
    identity, editor = office.services.identity, await office.caller("editor")
    made = await identity.create_access_key(editor)
    assert re.fullmatch(r"HELI[A-Z0-9]{20}", made.credential.id)
    found = await identity.access_key(made.credential.id)
    assert found is not None
    credential, principal, secret = found
    assert (credential, principal, secret.reveal()) == (made.credential, editor.principal, made.secret.reveal())
    await identity.revoke(editor, made.credential.id)
    found = await identity.access_key(made.credential.id)
    assert found is not None and not found[0].usable(office.clock.now())
    assert await identity.access_key("HELIUNKNOWN") is None


async def test_keys_expire(office: Office) -> None:
    identity, editor = office.services.identity, await office.caller("editor")
    token = await identity.create_token(editor, lifetime=timedelta(hours=1))
    key = await identity.create_access_key(editor, lifetime=timedelta(hours=1))
    office.clock.advance(minutes=59)
    assert await identity.by_token(token.token.reveal()) == editor.principal
    office.clock.advance(minutes=1)
    with pytest.raises(Unauthenticated, match="heliostat key create"):
        await identity.by_token(token.token.reveal())
    found = await identity.access_key(key.credential.id)
    assert found is not None and not found[0].usable(office.clock.now())


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(days=36501), timedelta.max])
async def test_an_impossible_lifetime_is_refused(office: Office, lifetime: timedelta) -> None:
    editor = await office.caller("editor")
    with pytest.raises(InvalidRequest) as raised:
        await office.services.identity.create_token(editor, lifetime=lifetime)
    assert raised.value.path == "lifetime"


@pytest.mark.parametrize(
    "text", ["", "hlt_", "hlt_unknown", "HELI", "\0", "hlt_\0", "Bearer hlt_x", "hlp_x", "\ud800", "hlt_\ud800"]
)
async def test_what_is_no_token_opens_nothing(office: Office, text: str) -> None:
    with pytest.raises(Unauthenticated):
        await office.services.identity.by_token(text)


async def test_everybody_sees_and_ends_only_their_own(office: Office) -> None:
    identity = office.services.identity
    editor, viewer, ann = [await office.caller(name) for name in ("editor", "viewer", "ann")]
    made = await identity.create_token(editor)
    assert await identity.keys(editor) == [made.credential] and await identity.keys(viewer) == []
    assert made.credential in await identity.keys(ann)
    with pytest.raises(NotFound):
        await identity.revoke(viewer, made.credential.id)
    assert await identity.by_token(made.token.reveal()) == editor.principal
    await identity.revoke(ann, made.credential.id)
    with pytest.raises(Unauthenticated):
        await identity.by_token(made.token.reveal())
    with pytest.raises(NotFound):
        await identity.revoke(ann, "tok-unknown")


async def test_an_admin_makes_keys_for_others_and_so_makes_people(office: Office) -> None:
    identity, ann = office.services.identity, await office.caller("ann")
    known = await identity.create_token(ann, principal="editor")
    assert (await identity.by_token(known.token.reveal())).name == "editor"
    fresh = await identity.create_access_key(ann, principal="robot@ci.example")
    assert fresh.credential.kind is CredentialKind.ACCESS_KEY
    robot = await office.caller("robot@ci.example")
    assert robot.principal.id == fresh.credential.principal
    assert not robot.principal.admin and not robot.principal.roles


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "(submit token)", "\u00e4", "a\n"])
async def test_a_bad_name_makes_nobody(office: Office, name: str) -> None:
    ann = await office.caller("ann")
    with pytest.raises(InvalidRequest) as raised:
        await office.services.identity.create_token(ann, principal=name)
    assert raised.value.path == "principal"


async def test_the_last_use_is_noted_at_most_once_an_hour(office: Office) -> None:
    identity, editor = office.services.identity, await office.caller("editor")
    token, key = await identity.create_token(editor), await identity.create_access_key(editor)
    assert {row.last_used_at for row in await identity.keys(editor)} == {None}
    first = office.clock.now()

    async def use() -> None:
        await identity.by_token(token.token.reveal())
        assert await identity.remember_nonce(key.credential.id, f"nonce {office.clock.now()}")

    await use()
    office.clock.advance(minutes=59)
    await use()
    assert {row.last_used_at for row in await identity.keys(editor)} == {first}
    office.clock.advance(minutes=1)
    await use()
    assert {row.last_used_at for row in await identity.keys(editor)} == {office.clock.now()}


@BOTH
async def test_a_nonce_is_good_once_per_key(office: Office) -> None:
    identity = office.services.identity
    assert await identity.remember_nonce("HELIA", "n")
    assert not await identity.remember_nonce("HELIA", "n")
    assert await identity.remember_nonce("HELIB", "n")
    office.clock.advance(seconds=NONCE_MEMORY.total_seconds() - 1)
    assert not await identity.remember_nonce("HELIA", "n")
    office.clock.advance(seconds=1)
    assert await identity.remember_nonce("HELIA", "n")
