"""A request as it came over the wire: nothing decoded, the body read once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from urllib.parse import unquote_plus

from starlette.types import Scope

from .errors import invalid


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """Raw, without the query."""
    query: str
    """Raw, without the question mark."""
    header_list: tuple[tuple[str, str], ...]
    """Lower-case names, trimmed values, in the order of arrival."""
    body: bytes = b""
    private: bool = True
    """Nobody on the way can read it: it came over TLS or from this machine."""

    @cached_property
    def headers(self) -> dict[str, str]:
        """The last of each name."""
        return dict(self.header_list)

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The query, decoded; the last of each name. Raises EmrError for a NUL, which no field may hold."""
        found = {}
        for part in self.query.split("&"):
            key, equals, value = part.partition("=")
            if key or equals:
                found[unquote_plus(key)] = unquote_plus(value)
        bad = next((key for key, value in found.items() if "\0" in value), None)
        if bad is not None:
            raise invalid(bad, "must not hold NUL characters")
        return found


def head_of(scope: Scope) -> Request:
    """The request of an ASGI scope, without its body."""
    raw_path: bytes = scope["raw_path"]
    path = raw_path.decode("latin-1")
    if not path.startswith("/") and "://" in path:
        # Absolute form, as sent through an http proxy: the scheme and the authority are not part of what is signed.
        _, slash, rest = path.partition("://")[2].partition("/")
        path = slash + rest
    return Request(
        method=scope["method"],
        path=path,
        query=scope["query_string"].decode("latin-1"),
        header_list=tuple((name.decode("latin-1").lower(), _text(value)) for name, value in scope["headers"]),
        private=scope.get("scheme") == "https" or _is_local(scope.get("client")),
    )


def _text(value: bytes) -> str:
    """Header bytes as the text that the client signed: some clients send it as UTF-8, some as Latin-1."""
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


def _is_local(client: tuple[str, int] | None) -> bool:
    if client is None:
        return True  # a Unix socket
    try:
        address = ip_address(client[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
