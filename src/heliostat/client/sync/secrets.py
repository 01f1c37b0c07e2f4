"""``client.secrets``: values that jobs get, and that nobody can read back.

Derived from ``aio/secrets.py`` by ``python -m heliostat.client.derive``: change that one.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from .. import protocol
from ..decode import decode
from ..models import SecretInfo

if TYPE_CHECKING:
    from .client import Client


class Secrets:
    """Secrets of the client's workspace, each known by a group, a key and, where there are several, a version.

    All of it takes an editor. Any call may raise what :mod:`heliostat.client.errors` lists.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def set(self, group: str, key: str, value: str, *, version: str = "") -> SecretInfo:
        """Make it or replace its value: text of at most 64 KiB."""
        body = {"group": group, "key": key, "version": version, "value": value}
        path = self._client.in_workspace("/secrets")
        return decode(SecretInfo, self._client.send(protocol.put(path, body)))

    def list(self, group: str | None = None) -> builtins.list[SecretInfo]:
        """Names, and who has set them when; of one group, or all."""
        path = self._client.in_workspace("/secrets")
        answer = self._client.send(protocol.get(path, group=group))
        return [decode(SecretInfo, row) for row in answer["secrets"]]

    def delete(self, group: str, key: str, *, version: str = "") -> None:
        """Attempts of jobs that begin afterwards and ask for it fail. Raises NotFound."""
        path = self._client.in_workspace("/secrets")
        self._client.send(protocol.delete(path, group=group, key=key, version=version or None))
