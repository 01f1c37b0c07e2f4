"""One spelling for every path, so that a rule about a path cannot be walked around.

Ray decodes ``/%61pi/packages/x`` to ``/api/packages/x``; a rule that compares text would not see it. So a path is brought
to its canonical form, the decision is made on that form, and that form is what the head gets. Whatever has no harmless
reading (an escaped slash, a dot segment, an empty segment, control characters, broken escapes) is refused.
"""

from __future__ import annotations

import re
import string

MAX_PATH = 8192
"""Bytes; longer than any path of Ray."""
_UNRESERVED = frozenset((string.ascii_letters + string.digits + "-._~").encode())
_ALLOWED = _UNRESERVED | frozenset(b"/!$&'()*+,;=:@")
_FORBIDDEN_ESCAPES = frozenset(b"/\\\x7f") | frozenset(range(0x20))
_TOKEN = re.compile(rb"%([0-9A-Fa-f]{2})|(.)", re.DOTALL)


class BadPath(ValueError):
    """The path has no harmless reading; the message says why."""


def canonical_path(raw: bytes) -> str:
    """The canonical form of a path as it stood on the wire (no query).

    Escapes of unreserved characters are decoded, once; other escapes stay, in upper case. Raises BadPath.
    """
    if not raw.startswith(b"/"):
        raise BadPath("a path must begin with '/'")
    if len(raw) > MAX_PATH:
        raise BadPath(f"the path is longer than {MAX_PATH} bytes")
    path = "".join(_character(match) for match in _TOKEN.finditer(raw))
    segments = path[1:].split("/")
    if any(segment in (".", "..") for segment in segments):
        raise BadPath("the path has a '.' or '..' segment")
    if "" in segments[:-1]:
        raise BadPath("the path has an empty segment ('//')")
    return path


def _character(match: re.Match[bytes]) -> str:
    escape, plain = match.groups()
    if escape is None:
        if plain == b"%":
            raise BadPath("the path has a malformed '%' escape")
        if plain[0] not in _ALLOWED:
            raise BadPath(f"the path has the character 0x{plain[0]:02x} unescaped")
        return plain.decode()
    byte = int(escape, 16)
    if byte in _FORBIDDEN_ESCAPES:
        raise BadPath(f"the path has a forbidden escape (%{byte:02X})")
    return chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"
