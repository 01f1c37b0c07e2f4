"""The app without a network."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp, Message, Scope

from heliostat.dialects.emr import EmrSettings, create_app
from heliostat.services import Services
from heliostat.services.identity import FirstStart


class Door:
    """The app with its services and the admin's keys."""

    def __init__(self, services: Services, first: FirstStart, settings: EmrSettings = EmrSettings()) -> None:
        self.services = services
        self.first = first
        self.app = create_app(services, settings)

    def bearer(self) -> dict[str, str]:
        return {"x-acs-version": "2023-08-08", "x-acs-bearer-token": self.first.token.reveal()}

    @property
    def jobs(self) -> str:
        return f"/api/v1/workspaces/{self.first.workspace}/rayJob"

    def logs(self, owner: str) -> str:
        """Path of the log operations of a job or a cluster, to which ``/logs`` or ``/log`` is added."""
        return f"/api/interactive/v1/workspace/{self.first.workspace}/ray/{owner}"

    async def ask(self, path: str, /, **query: object) -> tuple[int, Any]:
        """Status and JSON of a GET by the admin."""
        text = urlencode({name: str(value) for name, value in query.items()}).encode()
        status, _, body = await self.send("GET", path, self.bearer(), query_string=text)
        return status, body

    async def post(self, path: str, body: object = None) -> tuple[int, Any]:
        """The same of a POST."""
        data = b"" if body is None else json.dumps(body).encode()
        status, _, answer = await self.send("POST", path, self.bearer(), data)
        return status, answer

    @property
    def clusters(self) -> str:
        return f"/api/v1/workspaces/{self.first.workspace}/rayCluster"

    async def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b"", **scope: Any
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of the answer."""
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        fields: Scope = {
            "type": "http", "method": method, "raw_path": path.encode(), "query_string": b"", "headers": pairs,
            "scheme": "http", "client": ("127.0.0.1", 1),
        }  # fmt: skip
        sent = await converse(self.app, fields | scope, [{"type": "http.request", "body": body}])
        start, end = sent
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], found, json.loads(end["body"])


async def converse(app: ASGIApp, scope: Scope, messages: list[Message]) -> list[Message]:
    """What the app sends when it is sent these messages."""
    waiting, sent = list(messages), []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent
