"""Sealing, the key file, and the proof in the database that it is the right one."""

from __future__ import annotations

import secrets
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from heliostat.domain.errors import NotReady
from heliostat.store import Store, StoreSettings
from heliostat.store.sealing import Sealer, load_keys

OLD, NEW = bytes([1]) * 32, bytes([2]) * 32


@pytest.mark.parametrize("text", ["", "secret", "\N{SUN BEHIND CLOUD}\0" * 1000])
def test_opens_what_was_sealed(text: str) -> None:
    sealer = Sealer([OLD])
    sealed = sealer.seal(text, "purpose")
    assert sealer.open(sealed, "purpose") == text
    assert sealed != sealer.seal(text, "purpose")


def test_does_not_open_for_another_purpose() -> None:
    sealer = Sealer([OLD])
    with pytest.raises(NotReady, match="changed outside"):
        sealer.open(sealer.seal("secret", "access_key:one"), "access_key:two")


def test_does_not_open_when_a_bit_is_changed() -> None:
    sealer = Sealer([OLD])
    prefix, key, body = sealer.seal("secret", "p").split(":")
    box = bytearray(urlsafe_b64decode(body))
    for place in range(len(box)):
        changed = bytes(box[:place]) + bytes([box[place] ^ 1]) + bytes(box[place + 1 :])
        with pytest.raises(NotReady):
            sealer.open(f"{prefix}:{key}:{urlsafe_b64encode(changed).decode()}", "p")


def test_a_new_key_seals_and_the_old_one_still_opens() -> None:
    before = Sealer([OLD]).seal("secret", "p")
    rotated = Sealer([NEW, OLD])
    assert rotated.open(before, "p") == "secret"
    assert Sealer([NEW]).open(rotated.seal("secret", "p"), "p") == "secret"
    with pytest.raises(NotReady, match="put that key back"):
        Sealer([NEW]).open(before, "p")


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b""]])
def test_refuses_keys_of_another_length(keys: list[bytes]) -> None:
    with pytest.raises(NotReady, match="openssl rand"):
        Sealer(keys)


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "master.key"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: load_keys(path, create=True), range(16)))
    assert all(key == keys[0] for key in keys)
    assert len(keys[0][0]) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["master.key"]


def test_a_key_file_may_hold_older_keys(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.touch(0o600)
    path.write_text(f"# made in spring\n{NEW.hex()}\n\n  {OLD.hex()}\n")
    assert load_keys(path, create=False) == [NEW, OLD]


@pytest.mark.parametrize(
    ("content", "mode", "remedy"), [(OLD.hex(), 0o640, "chmod 600"), ("not hex", 0o600, "hex digits")]
)
def test_a_bad_key_file_is_refused(tmp_path: Path, content: str, mode: int, remedy: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(NotReady, match=remedy):
        load_keys(path, create=True)


async def test_a_lost_key_is_told_and_not_replaced(settings: StoreSettings) -> None:
    await (await Store.open(settings)).close()
    assert isinstance(settings.master_key, Path)
    settings.master_key.rename(settings.master_key.with_suffix(".away"))
    with pytest.raises(NotReady, match="restore it"):
        await Store.open(settings)
    assert not settings.master_key.exists()


async def test_another_installations_key_is_told_at_once(settings: StoreSettings) -> None:
    given = replace(settings, master_key=secrets.token_bytes(32))
    await (await Store.open(given)).close()
    with pytest.raises(NotReady, match="which this server does not have"):
        await Store.open(replace(settings, master_key=secrets.token_bytes(32)))
    await (await Store.open(given)).close()
