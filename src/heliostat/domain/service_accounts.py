"""What Google's clients go by: the e-mail address of a service account, and tokens that name one as their issuer.

The addresses are below a domain that nobody else uses, so that a token of ours is told from one of Google's at a glance.
"""

from __future__ import annotations

import base64
import binascii
import re

import orjson

from .records import Workspace

EMAIL_DOMAIN = "iam.heliostat.internal"
GOOGLES_EMAIL_DOMAIN = ".gserviceaccount.com"
"""What the addresses of Google's own service accounts end with."""
MAX_TOKEN = 8192
"""Characters of the longest token that is looked at; those of Google's clients have some 700."""
JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""The form of a signed JSON Web Token."""
_PROJECT_ID = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_OTHER = re.compile(r"[^A-Za-z0-9-]")


def project_id(workspace: Workspace) -> str:
    """What a workspace is called where Google's clients want the id of a project: its name, if it can be one."""
    return workspace.name if _PROJECT_ID.fullmatch(workspace.name) else workspace.id


def email(principal: str, project: str) -> str:
    """The address of a principal in a project. Two principals may share one: a key is found by its own id."""
    return f"{_OTHER.sub('-', principal)}@{project}.{EMAIL_DOMAIN}"


def json_part(text: str) -> object:
    """The JSON of one part of a token. Raises ValueError."""
    try:
        return orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except binascii.Error as error:
        raise ValueError("not base64url") from error


def names_us(token: str) -> bool:
    """Whether a text is a token that claims to be signed with a key of ours. Nothing is checked yet."""
    if len(token) > MAX_TOKEN or not JWT.fullmatch(token):
        return False
    try:
        claims = json_part(token.split(".")[1])
    except ValueError:
        return False
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return isinstance(issuer, str) and issuer.endswith(f".{EMAIL_DOMAIN}")
