"""Headers in both directions: what a head may see of a request, and what a browser may see of a head's answer.

Heads run users' code. So a head gets no credential of a user and no cookie at all (Ray needs none), and an answer loses
whatever reaches beyond the page itself: cookies, ways to another address, service-worker scopes, permissions for other
origins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .request import Form
from .settings import GatewaySettings

Headers = list[tuple[str, str]]
RawHeaders = list[tuple[bytes, bytes]]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


HOP_BY_HOP = _names(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade"
)
REMOVED_FROM_REQUESTS = _names(
    "authorization x-ray-authorization ray-token cookie host expect forwarded x-real-ip x-original-url x-rewrite-url "
    "x-http-method-override x-http-method x-method-override via"
)
REMOVED_PREFIXES = ("x-forwarded-", "x-envoy-", "x-heliostat-", "sec-websocket-")
REMOVED_FROM_ANSWERS = _names(
    "set-cookie set-cookie2 service-worker-allowed clear-site-data strict-transport-security public-key-pins alt-svc nel "
    "report-to reporting-endpoints refresh location www-authenticate authentication-info server date via "
    "x-frame-options x-content-type-options referrer-policy cross-origin-opener-policy cross-origin-resource-policy"
)
_ANSWER_PREFIXES = ("access-control-",)
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TOKEN_IN_URL = re.compile(r"\?.*token=.*")


def to_head(headers: Iterable[tuple[str, str]], replaced: Iterable[tuple[str, str]]) -> Headers:
    """The headers for a head: a client's own, less all credentials and routing, plus ``replaced``.

    What tells Ray that it talks to a browser (``Origin``, ``User-Agent``, ``Sec-Fetch-*``) stays: Ray refuses changes by
    browsers on its own account.
    """
    given = list(headers)
    dropped = HOP_BY_HOP | REMOVED_FROM_REQUESTS | _named_by_connection(given) | {name for name, _ in replaced}
    kept = [(n, v) for n, v in given if n not in dropped and not n.startswith(REMOVED_PREFIXES)]
    return [*((n, _TOKEN_IN_URL.sub("", v) if n == "referer" else v) for n, v in kept), *replaced]


def to_client(headers: Iterable[tuple[bytes, bytes]], form: Form, settings: GatewaySettings) -> RawHeaders:
    """The headers for a client: the head's own, less what a head has no say in, plus the gateway's."""
    given = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    dropped = HOP_BY_HOP | REMOVED_FROM_ANSWERS | _named_by_connection(given)
    kept = [
        (name, value)
        for name, value in given
        if name not in dropped
        and not name.startswith(_ANSWER_PREFIXES)
        and _NAME.fullmatch(name)
        and _VALUE.fullmatch(value)
    ]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*kept, *protective(form, settings))]


def protective(form: Form, settings: GatewaySettings) -> Headers:
    """The headers that every answer carries.

    In the path and root forms an answer shares its web origin with the control plane, so a browser that shows one anyway
    is told to give it no origin at all (``sandbox``).
    """
    headers = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN" if form is Form.HOST else "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ]
    if form is not Form.HOST:
        headers.append(("content-security-policy", "sandbox; default-src 'none'"))
    if settings.secure:
        headers.append(("strict-transport-security", "max-age=31536000"))
    return headers


def _named_by_connection(headers: Iterable[tuple[str, str]]) -> set[str]:
    return {part.strip().lower() for name, value in headers if name == "connection" for part in value.split(",")}
