"""Names of Flyte's things as keys of documents, and names for executions that got none.

A key is ``project/domain/name`` or ``project/domain/name/version``; what stands between the slashes is written as in URLs, so
that no two things share a key whatever their names hold.
"""

from __future__ import annotations

import secrets
import string
from urllib.parse import quote, unquote

_LETTERS = string.ascii_lowercase
_EXECUTION_LENGTH = 20
LONGEST_KEY = 1500
"""Characters of a key, in which most letters beyond ASCII count several times: databases index no longer ones."""


def key(*parts: str) -> str:
    """The key of a thing: project, domain, name and, for what is registered, version."""
    return "/".join(quote(part, safe=".-_~:@+= ") for part in parts)


def parts(text: str) -> tuple[str, ...]:
    """What a key was made of."""
    return tuple(unquote(part) for part in text.split("/"))


def new_execution_name() -> str:
    """20 characters, the first a letter (Flyte contract, section 6)."""
    rest = "".join(secrets.choice(_LETTERS + string.digits) for _ in range(_EXECUTION_LENGTH - 1))
    return secrets.choice(_LETTERS) + rest
