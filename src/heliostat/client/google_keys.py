"""Key files for Google's clients: made on this machine, written for their owner alone, and told from Google's own.

The private key is made here and never sent anywhere; the server is given the public key and says what else the file holds.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InvalidRequest

BITS = 2048
DEFAULT_UNIVERSE = "googleapis.com"
MAX_BYTES = 64 << 10
_OF_GOOGLE = ("service_account", "authorized_user")
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without hard links say."""
_NEEDED = ("private_key_id", "private_key", "client_email", "token_uri")


@dataclass(frozen=True)
class KeyPair:
    """PEM both, PKCS#8 and SPKI."""

    private: str
    public: str

    def __repr__(self) -> str:
        return "KeyPair()"


def new_key_pair() -> KeyPair:
    """A fresh one. It takes up to a second."""
    from cryptography.hazmat.primitives import serialization  # here, since hardly any call needs it
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(private.decode(), public.decode())


def whole(parts: Mapping[str, Any], private_key: str) -> dict[str, Any]:
    """The content of a key file, in the order that Google writes it in."""
    first = {name: parts[name] for name in ("type", "project_id", "private_key_id") if name in parts}
    return {**first, "private_key": private_key, **{name: row for name, row in parts.items() if name not in first}}


class KeyFile:
    """A place for a key file, taken before the key is made: with ``with new_file(...) as file``."""

    def __init__(self, path: Path, partial: Path, descriptor: int, *, force: bool) -> None:
        self.path = path
        self._partial = partial
        self._descriptor = descriptor
        self._force = force

    def write(self, document: Mapping[str, Any]) -> None:
        """Give the file its content and its name. Raises InvalidRequest."""
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.ftruncate(self._descriptor, 0)
            data = (json.dumps(document, indent=2) + "\n").encode()
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
            if self._force:
                self._partial.replace(self.path)
            else:
                self._name()
        except FileExistsError:
            raise InvalidRequest(_there(self.path), path=str(self.path)) from None
        except OSError as error:
            raise InvalidRequest(f"cannot be written: {error.strerror}", path=str(self.path)) from error

    def _name(self) -> None:
        """Raises FileExistsError: unlike a rename, a link never replaces a file."""
        try:
            os.link(self._partial, self.path)
        except OSError as error:
            if error.errno not in _NO_LINKS or self.path.exists():
                raise
            self._partial.replace(self.path)


@contextlib.contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[KeyFile]:
    """A place that can be written, with room for a key, readable by its owner alone; nothing is left of it at the end
    unless :meth:`KeyFile.write` was called.

    Raises InvalidRequest, also for a file that is there already (unless ``force``) and for one with a key of Google's.
    """
    if path.is_symlink() or path.exists():
        if not force or path.is_dir():
            raise InvalidRequest(_there(path), path=str(path))
        with contextlib.suppress(OSError, UnicodeDecodeError):
            refuse_googles(path.read_text()[:MAX_BYTES], str(path))
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = -1
    try:
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.write(descriptor, b" " * 4096)
        except OSError as error:
            raise InvalidRequest(f"cannot be written: {error.strerror}", path=str(path)) from error
        yield KeyFile(path, partial, descriptor, force=force)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
            partial.unlink(missing_ok=True)


def read_file(path: Path, universe: str | None = None) -> dict[str, Any]:
    """The content of a key file for a server of ours, with this universe if one is given. Raises InvalidRequest."""
    place = str(path)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode()
    except FileNotFoundError:
        raise InvalidRequest(
            f"is not there; make one with: heliostat key create --google-json {path}", path=place
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"cannot be read: {getattr(error, 'strerror', 'it is not text')}", path=place) from error
    refuse_googles(text, place)
    document = _object(text)
    if document is None or document.get("type") != "service_account":
        raise InvalidRequest(
            "is not a service account's key file; make one with: heliostat key create --google-json FILE", path=place
        )
    lacking = [name for name in _NEEDED if not isinstance(document.get(name), str)]
    if lacking:
        raise InvalidRequest(f"lacks {', '.join(lacking)}", path=place)
    if universe is not None and document["universe_domain"] != universe:
        raise InvalidRequest(
            f"is a key for {document['universe_domain']}, and this server is {universe}; make one for it with: "
            "heliostat key create --google-json FILE",
            path=place,
        )
    return document


def refuse_googles(text: str, place: str) -> None:
    """Raises InvalidRequest when a text is a credential that Google issued."""
    document = _object(text)
    if document is None or ("private_key" not in document and document.get("type") not in _OF_GOOGLE):
        return
    universe = document.get("universe_domain")
    if not isinstance(universe, str) or universe in ("", DEFAULT_UNIVERSE):
        raise InvalidRequest(
            "is a credential that Google issued, which must not be used with this server: whoever is shown a token of it can "
            "act for that account at Google for an hour. It was not sent anywhere. Make a key for this server with: "
            "heliostat key create --google-json FILE",
            path=place,
        )


def _object(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _there(path: Path) -> str:
    return f"{path.name} is there already; choose another name, or say that it shall be replaced (--force)"
