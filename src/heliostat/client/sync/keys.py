"""``client.keys``: credentials.

Derived from ``aio/keys.py`` by ``python -m heliostat.client.derive``: change that one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import google_keys, protocol
from ..decode import decode
from ..errors import HeliostatError
from ..google_keys import KeyFile
from ..models import GoogleKey, Key, NewKey, VertexSetup

if TYPE_CHECKING:
    from .client import Client


class Keys:
    """API tokens (``kind="token"``), access key pairs for the EMR SDK (``kind="access_key"``), and key files for Google's
    clients."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        kind: str = "token",
        *,
        principal: str | None = None,
        description: str = "",
        lifetime_seconds: int | None = None,
    ) -> NewKey:
        """A key for yourself or, as an admin, for another principal (made if it does not exist). Shown this once."""
        body = {"kind": kind, "principal": principal, "description": description, "lifetime_seconds": lifetime_seconds}
        return decode(NewKey, self._client.send(protocol.post("/v1/keys", _given(body))))

    def create_google_key(
        self,
        file: str | Path | None = None,
        *,
        project: str | None = None,
        principal: str | None = None,
        description: str = "",
        lifetime_seconds: int | None = None,
        force: bool = False,
    ) -> GoogleKey:
        """A service account's key for Google's clients: the key pair is made here, and only the public key is sent.

        ``file`` is where the key file goes, for its owner alone; one that is there is replaced with ``force`` alone.
        ``project`` is a workspace (id, name or number), else the client's. Raises InvalidRequest when the file cannot
        be written, and then there is no key.
        """
        place = contextlib.nullcontext(None) if file is None else google_keys.new_file(Path(file), force=force)
        with place as taken:
            pair = self._client.work(google_keys.new_key_pair)
            body = {
                "kind": "service_account_key",
                "public_key": pair.public,
                "workspace": project or self._client.workspace(),
                "principal": principal,
                "description": description,
                "lifetime_seconds": lifetime_seconds,
            }
            answer = self._client.send(protocol.post("/v1/keys", _given(body)))
            try:
                return _written(answer, pair.private, taken)
            except HeliostatError:
                self.revoke(answer["key"]["id"])
                raise

    def google_setup(self, project: str | None = None) -> VertexSetup:
        """What Google's clients must be told to work with this server. Raises NotReady when it has no port with TLS."""
        chosen = project or self._client.workspace()
        return decode(VertexSetup, self._client.send(protocol.get("/v1/vertex", project=chosen)))

    def list(self) -> list[Key]:
        """Your keys; an admin sees everybody's."""
        answer = self._client.send(protocol.get("/v1/keys"))
        return [decode(Key, row) for row in answer["keys"]]

    def revoke(self, key: str) -> None:
        """End a key at once."""
        self._client.send(protocol.delete(f"/v1/keys/{protocol.segment(key)}"))


def _given(body: dict[str, Any]) -> dict[str, Any]:  # JSON
    return {name: value for name, value in body.items() if value not in (None, "")}


def _written(answer: dict[str, Any], private_key: str, file: KeyFile | None) -> GoogleKey:  # JSON
    """The key of an answer, in its file if there is one."""
    made = answer["google"]
    whole = google_keys.whole(made["key_file"], private_key)
    key = GoogleKey(decode(Key, answer["key"]), whole, decode(VertexSetup, made["setup"]))
    if file is not None:
        file.write(whole)
    return key
