"""Which one token a request shows, and where it stood: that decides how far it is believed.

A header can be set by no foreign web page, so a token in one is believed as it is. A cookie goes along by itself, so it
counts only on a cluster's own host and under the rules of :mod:`.browser`. A token in a URL ends up in histories and
logs, so only tokens that die with the instance may stand there, and browsers are made to forget it at once.

Only texts in the shape of a Heliostat token count: Ray's own token of some other cluster, which Ray's SDK adds by itself
when it finds one in its environment, is no credential here and does not get in the way of one. Neither is a JSON Web Token
that does not claim to be signed with a key of ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from heliostat.domain import access_tokens, passes
from heliostat.domain.secret import Secret
from heliostat.domain.service_accounts import JWT, MAX_TOKEN, names_us

from .request import RAY_TOKEN, Form, GatewayRequest, Place
from .settings import GatewaySettings

API_TOKEN = "hlt_"
_CLUSTER_MARK = "~"
_SUBMIT_TOKEN = r"[0-9a-f]{32}"
_PASS = passes.PREFIX + r"[A-Za-z0-9_.-]{1,2000}"
_JWT = rf"(?=[A-Za-z0-9_.-]{{1,{MAX_TOKEN}}}(?:~|$)){JWT.pattern}"
_OF_PRINCIPAL = rf"(?:{API_TOKEN}[A-Za-z0-9_-]{{1,200}}|{access_tokens.SHAPE}|{_JWT})(?:~[a-z0-9-]{{1,63}})?"
SHAPES = re.compile(f"{_SUBMIT_TOKEN}|{_PASS}|{_OF_PRINCIPAL}")
"""Of all tokens that may open something."""
_DIES_WITH_RUN = re.compile(f"{_SUBMIT_TOKEN}|{_PASS}")
"""Of those that may stand elsewhere than in a header."""
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


class Source(StrEnum):
    HEADER = "header"
    QUERY = "query"
    COOKIE = "cookie"


@dataclass(frozen=True)
class Credential:
    token: Secret
    source: Source


class BadCredential(ValueError):
    """What the request shows cannot be used; the message says what to do and holds no secret."""


def credential_of(request: GatewayRequest, place: Place, settings: GatewaySettings) -> Credential | None:
    """The credential of a request, or None when it shows none. Raises BadCredential.

    A header wins over the query, and that over a cookie, which nobody chose to send; two different ones of the first two
    kinds are refused rather than one of them ignored.
    """
    shown = {token: Source.HEADER for token in _in_headers(request) if _may_count(token)}
    if place.form is Form.HOST:
        for token in place.tokens:
            if token.startswith((API_TOKEN, access_tokens.PREFIX)) or names_us(token.partition("~")[0]):
                raise BadCredential(
                    "An API token must not stand in a URL, where it would be kept in histories and logs. Send it in the "
                    "header 'Authorization: Bearer <token>', or use the cluster's dashboard link."
                )
            if _DIES_WITH_RUN.fullmatch(token):
                shown.setdefault(token, Source.QUERY)
    if len(shown) > 1:
        raise BadCredential(
            "The request shows two different credentials. Send one: the header 'ray-token', or the header "
            "'Authorization: Bearer ...' (Ray's SDK sends the latter by itself when RAY_AUTH_MODE is 'token')."
        )
    for token, source in shown.items():
        return Credential(Secret(token), source)
    cookies = {value for name, value in _cookies(request) if name == cookie_name(request, settings)}
    cookie = cookies.pop() if len(cookies) == 1 and place.form is Form.HOST else ""
    return Credential(Secret(cookie), Source.COOKIE) if _DIES_WITH_RUN.fullmatch(cookie) else None


def _may_count(token: str) -> bool:
    """Whether a text of a header is meant for us."""
    text = token.partition("~")[0]
    return bool(SHAPES.fullmatch(token)) and (not JWT.fullmatch(text) or names_us(text))


def cookie_name(request: GatewayRequest, settings: GatewaySettings) -> str:
    """The name of the session cookie on the cluster host of this request.

    Browsers let nobody but that very host set a ``__Host-`` cookie, over https or on ``*.localhost``. Over plain http
    elsewhere they refuse such cookies, and a plain name must do.
    """
    return "__Host-heliostat" if trustworthy(request, settings) else "heliostat"


def trustworthy(request: GatewayRequest, settings: GatewaySettings) -> bool:
    """Whether browsers treat the cluster host that they came to as a secure origin."""
    if request.secure or settings.secure:
        return True
    return settings.domain_name == "localhost" or settings.domain_name.endswith(".localhost")


def names_its_cluster(token: str) -> bool:
    """Whether a token (in one of the SHAPES) says by itself which cluster it is for."""
    return _CLUSTER_MARK in token or _DIES_WITH_RUN.fullmatch(token) is not None


def _in_headers(request: GatewayRequest) -> list[str]:
    bearers = [*request.values("authorization"), *request.values("x-ray-authorization")]
    tokens = [bearer_of(value) for value in bearers]
    return [*(value.strip() for value in request.values(RAY_TOKEN)), *(token for token in tokens if token)]


def bearer_of(value: str) -> str | None:
    """The token of an ``authorization`` value, or None when it holds none."""
    match = _BEARER.fullmatch(value)
    return match[1] if match else None


def _cookies(request: GatewayRequest) -> list[tuple[str, str]]:
    pairs = [pair.strip().partition("=") for header in request.values("cookie") for pair in header.split(";")]
    return [(name, value) for name, _, value in pairs]
