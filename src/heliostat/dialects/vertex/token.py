"""The OAuth2 token endpoint, ``POST /token``: a signed assertion or a subject's token in, an access token out.

Two grants: jwt-bearer (Vertex contract, section 5.3), which Google's clients use when their key names the default universe,
and token exchange (RFC 8693), for an API token or a self-signed token that some file holds. Errors have OAuth's form;
google-auth shows their text to its user.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl

import orjson
import structlog
from starlette.types import Receive, Scope, Send

from heliostat.dialects.bodies import Disconnected, TooLarge, read_body
from heliostat.domain.errors import HeliostatError, Unauthenticated, Unavailable
from heliostat.services import GoogleIdentity
from heliostat.services.google_identity import Issued, ScopeRefused
from heliostat.services.signed_tokens import SCOPE

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
SUBJECT_TYPES = (ACCESS_TOKEN, "urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
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


class TokenEndpoint:
    """An ASGI app for one path."""

    def __init__(self, google: GoogleIdentity) -> None:
        self._google = google

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            form = await _form(scope, receive)
            if form is None:
                return
            status, body = 200, await self._grant(form)
        except TokenError as error:
            status, body = error.status, {"error": error.error, "error_description": _printable(error.description)}
        except Exception:
            # The outermost boundary: a bug becomes OAuth's own error, with nothing internal.
            log.exception("token request failed")
            status, body = 500, {"error": "server_error", "error_description": "a defect of the server"}
        await _answer(send, status, body)

    async def _grant(self, form: Mapping[str, str]) -> dict[str, object]:
        """The answer to a good form. Raises TokenError."""
        try:
            issued, extra = await self._issued(form)
        except ScopeRefused as error:
            raise TokenError("invalid_scope", error.message) from error
        except Unauthenticated as error:
            raise TokenError("invalid_grant", error.message) from error
        except Unavailable as error:
            raise TokenError("temporarily_unavailable", error.message, 503) from error
        except HeliostatError as error:
            raise TokenError("invalid_request", str(error)) from error
        seconds = int(issued.lifetime.total_seconds())
        return {"access_token": issued.token.reveal(), "expires_in": seconds, "token_type": "Bearer", **extra}

    async def _issued(self, form: Mapping[str, str]) -> tuple[Issued, dict[str, object]]:
        grant = _needed(form, "grant_type")
        if grant == JWT_BEARER:
            return await self._google.of_assertion(_needed(form, "assertion")), {}
        if grant == TOKEN_EXCHANGE:
            return await self._exchange(form), {"issued_token_type": ACCESS_TOKEN}
        raise TokenError("unsupported_grant_type", f"use {JWT_BEARER} or {TOKEN_EXCHANGE}")

    async def _exchange(self, form: Mapping[str, str]) -> Issued:
        subject, kind = _needed(form, "subject_token"), _needed(form, "subject_token_type")
        if kind not in SUBJECT_TYPES:
            raise TokenError("invalid_request", f"subject_token_type must be one of {', '.join(SUBJECT_TYPES)}")
        if form.get("requested_token_type", ACCESS_TOKEN) not in ("", ACCESS_TOKEN):
            raise TokenError("invalid_request", f"requested_token_type must be {ACCESS_TOKEN}")
        if form.get("actor_token"):
            raise TokenError("invalid_request", "actor_token is not supported: nobody acts for another here")
        if form.get("scope") and SCOPE not in form["scope"].split(" "):
            raise TokenError("invalid_scope", f"the scope must hold {SCOPE}")
        return await self._google.of_subject(subject)


async def _form(scope: Scope, receive: Receive) -> dict[str, str] | None:
    """The fields of the body; None when the client is gone. Raises TokenError."""
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
    form = dict(pairs)
    if len(form) < len(pairs):
        raise TokenError("invalid_request", "a field stands twice in the form")
    return form


def _needed(form: Mapping[str, str], name: str) -> str:
    if not form.get(name):
        raise TokenError("invalid_request", f"{name} is missing")
    return form[name]


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
        *([(b"connection", b"close")] if status in (408, 413) else []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
