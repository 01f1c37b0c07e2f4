"""Uploads and downloads at signed addresses: ``PUT /flyte/upload/<permit>`` and ``GET /flyte/data/<permit>``.

A body goes through a file on this machine and is stored when it is whole and what was promised, so that no half of it is ever
seen. Clients print the text of a refusal, so it is one plain sentence. An address holds a permit and is logged nowhere.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import structlog
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from heliostat.domain.documents import NewDocument
from heliostat.domain.errors import HeliostatError, Retry
from heliostat.domain.ids import new_request_id
from heliostat.domain.records import Role
from heliostat.services import Caller, Services

from . import permits
from .permits import Permit

UPLOAD = "flyte.upload"
"""Documents of uploads whose place is not told by their content; the body is the MD5."""
BUFFER = 1 << 20
"""Bytes that are written at once."""
LARGEST_DOWNLOAD = 64 << 20
DRAINED = 64 << 20
"""Bytes that are read of a body which is refused, since most clients only listen when they have sent it all."""
PATIENCE_SECONDS = 60.0
"""Between two pieces of a body."""
DRAIN_SECONDS = 30.0
"""For all that is read of a body which is refused: anybody may send one."""
_PAGE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""For what a task wrote: it is shown as it is, and can do nothing in our name."""
log = structlog.get_logger()


class Refused(Exception):
    """The answer to a request that is not done."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class _Gone(Exception):
    """The client went away; nobody is left to answer."""


class Transfers:
    def __init__(self, services: Services, key: bytes, max_bytes: int) -> None:
        self._services = services
        self._key = key
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send, verb: str, permit: str) -> None:
        """``verb`` of :mod:`.permits`; ``permit`` as it stands in the path."""
        request, body = new_request_id(), _Body(receive)
        try:
            try:
                response = await (self._put if verb == permits.PUT else self._get)(scope, body, permit)
            except (Refused, HeliostatError):
                await body.drain()
                raise
        except _Gone:
            return
        except Refused as error:
            response = _sentence(error.status, error.sentence)
        except HeliostatError as error:
            response = _sentence(503 if error.retry is Retry.LATER else 400, str(error))
        except Exception:
            # The outermost boundary: a bug becomes a plain 500, with nothing internal.
            log.exception("request failed", dialect="flyte", request=request, verb=verb)
            response = _sentence(500, f"A fault of the server; its log has more under {request}.")
        await response(scope, receive, send)

    async def _put(self, scope: Scope, body: _Body, text: str) -> Response:
        if scope["method"] != "PUT":
            raise Refused(405, "Files are uploaded by PUT.")
        permit = await self._permitted(text, permits.PUT, Role.EDITOR)
        headers = dict(scope["headers"])
        self._check_head(headers, permit)
        scratch = self._services.data.scratch
        await asyncio.to_thread(scratch.mkdir, mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=scratch, prefix="upload-") as file:
            digest = await self._received(body, file)
            self._check_digest(headers, permit, digest)
            await self._note_content(permit)
            await self._services.data.store(permit.url, Path(file.name))
        log.info("file uploaded", dialect="flyte", workspace=permit.workspace, principal=permit.principal)
        return _sentence(200, "")

    async def _get(self, scope: Scope, body: _Body, text: str) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            raise Refused(405, "This address takes GET.")
        permit = await self._permitted(text, permits.GET, Role.VIEWER)
        data = await self._services.data.read(permit.url, LARGEST_DOWNLOAD)
        if data is None:
            raise Refused(404, "There is nothing any more at this address.")
        headers = {
            "content-security-policy": _PAGE_POLICY,
            "x-content-type-options": "nosniff",
            "cache-control": "private, no-store",
            "referrer-policy": "no-referrer",
        }
        return Response(data, media_type="text/html; charset=utf-8", headers=headers)

    async def _permitted(self, text: str, verb: str, role: Role) -> Permit:
        """Raises Refused unless the permit is good and the one who asked for it still may."""
        permit = permits.read(text, self._key)
        if permit is None or permit.verb != verb:
            raise Refused(403, "This address was not made by this server, or not for this; ask for a new one.")
        if self._services.clock.now() >= permit.expires_at:
            raise Refused(403, f"This address was good until {permit.expires_at.isoformat()}; ask for a new one.")
        principal = await self._services.identity.principal(permit.principal)
        if principal is None or not Caller(principal).may(permit.workspace, role):
            raise Refused(403, "Whoever asked for this address may no longer use it.")
        return permit

    def _check_head(self, headers: dict[bytes, bytes], permit: Permit) -> None:
        """What can be refused before the body is read."""
        stated = headers.get(b"content-length", b"").decode("latin-1")
        if stated.isdecimal() and int(stated) > self._max_bytes:
            raise Refused(413, self._too_large())
        md5 = _stated_md5(headers)
        if md5 and permit.md5 and md5 != permit.md5:
            raise Refused(400, "The Content-MD5 is not the one that this address was made for; ask for another one.")

    def _check_digest(self, headers: dict[bytes, bytes], permit: Permit, digest: str) -> None:
        promised = {permit.md5, _stated_md5(headers)} - {""}
        if promised - {digest}:
            raise Refused(400, "What arrived has another MD5 than was promised; upload it again.")

    async def _received(self, body: _Body, file: IO[bytes]) -> str:
        """Write the body to a file; its MD5 in hex digits."""
        digest, size, waiting = hashlib.md5(usedforsecurity=False), 0, bytearray()
        async for piece in body.pieces():
            size += len(piece)
            if size > self._max_bytes:
                raise Refused(413, self._too_large())
            waiting += piece
            if len(waiting) >= BUFFER:
                await asyncio.to_thread(_keep, file, digest, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(_keep, file, digest, bytes(waiting))
        return digest.hexdigest()

    async def _note_content(self, permit: Permit) -> None:
        """Raises Refused when another content is at this place already: somebody relies on it."""
        if not permit.name:
            return
        principal = await self._services.identity.principal(permit.principal)
        if principal is None:
            raise Refused(403, "Whoever asked for this address may no longer use it.")
        wish = NewDocument(UPLOAD, permit.workspace, permit.name, permit.md5.encode())
        known, _ = await self._services.documents.add(Caller(principal), wish)
        if known.body != permit.md5.encode():
            raise Refused(409, "There is another file of that name already.")

    def _too_large(self) -> str:
        return (
            f"Files of more than {self._max_bytes >> 20} MiB are not taken: leave data out of the code, or put it where "
            "the tasks can read it."
        )


class _Body:
    """A request's body, read once."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._more = True

    async def pieces(self) -> AsyncIterator[bytes]:
        """What is left of it. Raises Refused when it stalls."""
        while self._more:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    message = await self._receive()
            except TimeoutError:
                self._more = False
                raise Refused(408, "The body did not arrive in time.") from None
            if message["type"] == "http.disconnect":
                raise _Gone
            self._more = message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece

    async def drain(self) -> None:
        """Read on for a while, to no purpose but that the client listens then. Raises Refused when it stalls."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for piece in self.pieces():
                    size += len(piece)
                    if size > DRAINED:
                        return


def _keep(file: IO[bytes], digest: hashlib._Hash, data: bytes) -> None:
    digest.update(data)
    file.write(data)
    file.flush()


def _stated_md5(headers: dict[bytes, bytes]) -> str:
    """What ``content-md5`` says, in hex digits; empty when it is not there. Raises Refused."""
    stated = headers.get(b"content-md5")
    if stated is None:
        return ""
    try:
        found = base64.b64decode(stated, validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != 16:
        raise Refused(400, "The Content-MD5 must be the 16 bytes of an MD5 in base64.")
    return found.hex()


def _sentence(status: int, text: str) -> Response:
    headers = {"cache-control": "no-store"}
    if status in (408, 413):
        headers["connection"] = "close"
    if status == 405:
        headers["allow"] = "PUT, GET"
    return PlainTextResponse(text, status, headers)
