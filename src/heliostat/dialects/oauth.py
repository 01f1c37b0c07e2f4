"""What every OAuth2 token endpoint of a dialect does: read the form, answer in OAuth's form, hide what is internal.

Which grants there are is the dialect's own matter (:class:`TokenEndpoint`). Clients show an error's description to their user.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import orjson
import structlog
from starlette.types import Receive, Scope, Send

from heliostat.domain.errors import HeliostatError, Unauthenticated, Unavailable
from heliostat.services.google_identity import Issued

from .bodies import Disconnected, TooLarge, read_body

FORM = "application/x-www-form-urlencoded"
MAX_BODY = 32 << 10
"""Bytes. An assertion has at most a quarter of it."""
MAX_FIELDS = 32
PATIENCE_SECONDS = 20.0
"""For the body to arrive."""
log = structlog.get_logger()


class TokenError(Exception):
    """An answer of OAuth's form."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


@dataclass(frozen=True)
class TokenRequest:
    fields: Mapping[str, str] = field(repr=False)
    """Of the form. They may be credentials."""
    authorization: tuple[str, ...] = field(default=(), repr=False)
    """The header's values, in the order of their coming."""

    def needed(self, name: str) -> str:
        """A field. Raises TokenError when it is missing or empty."""
        if not self.fields.get(name):
            raise TokenError("invalid_request", f"{name} is missing")
        return self.fields[name]


class TokenEndpoint(ABC):
    """An ASGI app for one path."""

    @abstractmethod
    async def issued(self, request: TokenRequest) -> tuple[Issued, Mapping[str, object]]:
        """The token for a request, and what else the answer holds. Raises TokenError and HeliostatError."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = await _read(scope, receive)
            if request is None:
                return
            status, body = 200, await self._grant(request)
        except TokenError as error:
            status, body = error.status, {"error": error.error, "error_description": _printable(error.description)}
        except Exception:
            # The outermost boundary: a bug becomes OAuth's own error, with nothing internal.
            log.exception("token request failed")
            status, body = 500, {"error": "server_error", "error_description": "a defect of the server"}
        await _answer(send, status, body)

    async def _grant(self, request: TokenRequest) -> dict[str, object]:
        try:
            issued, extra = await self.issued(request)
        except Unauthenticated as error:
            raise TokenError("invalid_grant", error.message) from error
        except Unavailable as error:
            raise TokenError("temporarily_unavailable", error.message, 503) from error
        except HeliostatError as error:
            raise TokenError("invalid_request", str(error)) from error
        seconds = int(issued.lifetime.total_seconds())
        return {"access_token": issued.token.reveal(), "expires_in": seconds, "token_type": "Bearer", **extra}


async def _read(scope: Scope, receive: Receive) -> TokenRequest | None:
    """The request; None when the client is gone. Raises TokenError."""
    if scope["method"] != "POST":
        raise TokenError("invalid_request", "the token endpoint takes POST", 405)
    headers = {name.lower(): value for name, value in scope["headers"]}
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != FORM.encode():
        raise TokenError("invalid_request", f"the body must be {FORM}")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            body = await read_body(receive, MAX_BODY, headers.get(b"content-length", b"").decode("latin-1"))
    except Disconnected:
        return None
    except TimeoutError:
        raise TokenError("invalid_request", "the body did not arrive in time", 408) from None
    except TooLarge:
        raise TokenError("invalid_request", f"the body has more than {MAX_BODY} bytes", 413) from None
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise TokenError("invalid_request", f"the body is not a form of at most {MAX_FIELDS} fields") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise TokenError("invalid_request", "a field stands twice in the form")
    shown = tuple(value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization")
    return TokenRequest(fields, shown)


def _printable(text: str) -> str:
    """What OAuth allows in a description (RFC 6749, section 5.2)."""
    return "".join(letter if " " <= letter <= "~" and letter not in '"\\' else "'" for letter in text)


async def _answer(send: Send, status: int, body: Mapping[str, object]) -> None:
    data = orjson.dumps(body)
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"content-length", str(len(data)).encode()),
        *([(b"allow", b"POST")] if status == 405 else []),
        *([(b"www-authenticate", b'Basic realm="heliostat"')] if status == 401 else []),
        *([(b"connection", b"close")] if status in (408, 413) else []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
