"""Secrets at rest: AES-256-GCM under the installation's master key.

A sealed text is ``hs1:<key id>:<base64url of nonce and ciphertext>``. The purpose (what the secret is and whose) is
authenticated with it, so that a ciphertext that was moved to another row does not open. The key id names the key
without telling anything about it; a key file may hold several keys, one per line: the first seals, all open. To rotate,
put a new line first (``openssl rand -hex 32``), restart, and keep the old lines for as long as old rows are around.

Random 96-bit nonces are sound for 2**32 seals per key, far beyond what an installation writes.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..domain.errors import NotReady

KEY_BYTES = 32
_NONCE_BYTES = 12
_PREFIX = "hs1"


class Sealer:
    """Seals with the first of ``keys`` (32 bytes each) and opens what any of them sealed."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise NotReady(f"a master key must have {KEY_BYTES} bytes; make one with: openssl rand -hex {KEY_BYTES}")
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._first = keys[0]
        self._current = _key_id(keys[0])
        self._cipher = self._ciphers[self._current]

    def seal(self, text: str | bytes, purpose: str) -> str:
        """``text`` made unreadable for everybody without the key; ``purpose`` must be given again to open it."""
        nonce = os.urandom(_NONCE_BYTES)
        plain = text.encode() if isinstance(text, str) else text
        box = nonce + self._cipher.encrypt(nonce, plain, purpose.encode())
        return f"{_PREFIX}:{self._current}:{urlsafe_b64encode(box).decode()}"

    def derived_key(self, purpose: str) -> bytes:
        """32 bytes for another use than sealing, by HKDF from the first master key; another purpose, another key."""
        derivation = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"heliostat {purpose}".encode())
        return derivation.derive(self._first)

    def open_bytes(self, sealed: str, purpose: str) -> bytes:
        """The inverse of :meth:`seal`. Raises NotReady when the key is another or the text was changed or moved."""
        prefix, _, rest = sealed.partition(":")
        key_id, _, body = rest.partition(":")
        cipher = self._ciphers.get(key_id)
        if prefix != _PREFIX or cipher is None:
            raise NotReady(
                f"a stored secret was sealed with the master key {key_id!r}, which this server does not have; "
                "put that key back into the key file"
            )
        box = urlsafe_b64decode(body)
        try:
            return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], purpose.encode())
        except InvalidTag:
            raise NotReady(f"a stored secret ({purpose.partition(':')[0]}) was changed outside of Heliostat") from None

    def open(self, sealed: str, purpose: str) -> str:
        """As :meth:`open_bytes`, decoded."""
        return self.open_bytes(sealed, purpose).decode()


def load_keys(path: Path, *, create: bool) -> list[bytes]:
    """The keys of a key file: lines of 64 hex digits; blank lines and lines that begin with ``#`` are skipped.

    With ``create``, a missing file is made with a new key, readable by its owner alone; of several processes that do so
    at once one wins and all get its key. Raises NotReady when it is missing, unreadable, malformed or open to others.
    """
    try:
        if create and not path.exists():
            _make(path)
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise NotReady(f"the master key {path} is open to other users; run: chmod 600 {path}")
            lines = [line.strip() for line in file.read().splitlines()]
    except FileNotFoundError:
        raise NotReady(
            f"the database has sealed secrets, but the master key {path} is missing; restore it from your backup"
        ) from None
    except OSError as error:
        raise NotReady(f"the master key {path} cannot be used: {error.strerror}") from error
    try:
        return [bytes.fromhex(line.decode("ascii")) for line in lines if line and not line.startswith(b"#")]
    except ValueError:
        raise NotReady(f"the master key {path} has a line that is not {2 * KEY_BYTES} hex digits") from None


def _make(path: Path) -> None:
    """Writes aside and links into place, so that nobody ever reads half a key or replaces another's."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_hex(KEY_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(aside)
    finally:
        aside.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"heliostat master key id" + key).hexdigest()[:8]
