"""Secrets of a workspace, and how a job asks for them. A job names them; their values are never stored with it.

A secret is a text under a group, a key and a version, which is a name like the others and may be empty. A job gets the
value in environment variables, or on its way to files (:data:`FILES`), when an attempt of it is handed to Ray.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .errors import InvalidRequest, InvalidSpec
from .ids import PrincipalId, WorkspaceId

FILES = "HELIOSTAT_SECRET_FILES"
"""Variable with the files of a job's secrets: a JSON object from their relative paths to their contents."""
MAX_VALUE_BYTES = 64 << 10
MAX_ENVIRONMENT_BYTES = 96 << 10
"""Of all that a job's secrets add to its environment, as JSON: Ray hands that to the driver in one variable, and the
system takes 128 KiB of one."""
MAX_IN_WORKSPACE = 1000
MAX_IN_JOB = 100
MAX_VARIABLES = 20
"""Of one secret in a job."""
MAX_NAME = 253
MAX_FILE = 1024
GROUP = r"[A-Za-z0-9_][A-Za-z0-9_.:/-]*"
"""Names of other stores, which have slashes and colons in them, are fine."""
KEY = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
VERSION = r"[A-Za-z0-9_.-]*"

_FORMS = {
    "group": (GROUP, 1, "letters, digits and _.:/-, and begin with a letter, a digit or _"),
    "key": (KEY, 1, "letters, digits and _.-, and begin with a letter, a digit or _"),
    "version": (VERSION, 0, "letters, digits and _.-"),
}
_VARIABLE = re.compile(r"[A-Za-z_][^\s=\0]*")
"""Wider than what a shell can name: programs look for what they like."""


@dataclass(frozen=True)
class SecretName:
    """What a secret is known by in its workspace."""

    group: str
    key: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.group}/{self.key}" + (f"@{self.version}" if self.version else "")


@dataclass(frozen=True)
class WorkspaceSecret:
    """A secret as a list shows it: without its value."""

    workspace: WorkspaceId
    name: SecretName
    modified_at: datetime
    modifier: PrincipalId
    modifier_name: str
    """Who has set its value."""


@dataclass(frozen=True)
class JobSecret:
    """One of the workspace's secrets, for one job."""

    group: str
    key: str
    version: str = ""
    variables: tuple[str, ...] = ()
    """Environment variables that get its value."""
    file: str = ""
    """Relative path of a file with its value, below the job's folder of secrets; empty = no file."""

    @property
    def name(self) -> SecretName:
        return SecretName(self.group, self.key, self.version)


@dataclass(frozen=True)
class GivenSecret:
    """The value that a secret had when an attempt was given it."""

    name: SecretName
    value: str = field(repr=False)


def check_name(name: SecretName) -> None:
    """Raises InvalidRequest, naming ``group``, ``key`` or ``version``."""
    for path, message in _wrong_parts(name):
        raise InvalidRequest(message, path=path)


def check_value(value: str) -> None:
    """Raises InvalidRequest, which says nothing of the value itself."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidRequest("is not valid Unicode; write it without lone surrogates", path="value") from None
    if not value:
        raise InvalidRequest("must not be empty", path="value")
    if "\0" in value:
        raise InvalidRequest("must not hold a NUL character; encode binary values, for example in base64", path="value")
    if size > MAX_VALUE_BYTES:
        raise InvalidRequest(f"must have at most {MAX_VALUE_BYTES} bytes, has {size}", path="value")


def missing(index: int, name: SecretName) -> InvalidSpec:
    """The error of a job that asks for one that its workspace does not have."""
    return InvalidSpec(
        f"secrets[{index}]", f"there is no secret {name} in its workspace; set it with: heliostat secret set {name}"
    )


def job_secret_errors(secrets: Sequence[JobSecret]) -> Iterator[InvalidSpec]:
    """What is wrong with how a job asks for secrets, whatever secrets there are."""
    if len(secrets) > MAX_IN_JOB:
        yield InvalidSpec("secrets", f"at most {MAX_IN_JOB} secrets, given {len(secrets)}")
    variables: dict[str, int] = {}
    files: dict[str, int] = {}
    for index, secret in enumerate(secrets):
        path = f"secrets[{index}]"
        for part, message in _wrong_parts(secret.name):
            yield InvalidSpec(f"{path}.{part}", message)
        if not secret.variables and not secret.file:
            yield InvalidSpec(f"{path}.variables", "name the environment variable that gets its value")
        if len(secret.variables) > MAX_VARIABLES:
            yield InvalidSpec(f"{path}.variables", f"at most {MAX_VARIABLES} variables")
        for place, variable in enumerate(secret.variables):
            where = f"{path}.variables[{place}]"
            if not _VARIABLE.fullmatch(variable) or len(variable) > 2 * MAX_NAME or not _unicode(variable):
                yield InvalidSpec(where, "is not a name of an environment variable")
            elif variable == FILES:
                yield InvalidSpec(where, f"{FILES} is where files of secrets are; choose another name")
            elif variable in variables:
                yield InvalidSpec(where, f"{variable} gets the value of secrets[{variables[variable]}] already")
            variables.setdefault(variable, index)
        if secret.file:
            yield from _file_errors(secret.file, f"{path}.file", files)
            files.setdefault(secret.file, index)


def environment(secrets: Sequence[JobSecret], values: Sequence[str]) -> dict[str, str]:
    """The variables of a job that wants ``secrets``, whose values are in the same order.

    Raises InvalidSpec when it is more than a process can be given.
    """
    found: dict[str, str] = {}
    files: dict[str, str] = {}
    for secret, value in zip(secrets, values, strict=True):
        found |= dict.fromkeys(secret.variables, value)
        if secret.file:
            files[secret.file] = value
    if files:
        found[FILES] = json.dumps(files, ensure_ascii=False)
    size = len(json.dumps(found).encode())
    if size > MAX_ENVIRONMENT_BYTES:
        raise InvalidSpec(
            "secrets",
            f"its secrets take {size} bytes of its environment, which has room for {MAX_ENVIRONMENT_BYTES}: each "
            "variable and file counts; leave some out, or let the program fetch what is large",
        )
    return found


def _wrong_parts(name: SecretName) -> Iterator[tuple[str, str]]:
    for part, (form, least, told) in _FORMS.items():
        text = getattr(name, part)
        if not re.fullmatch(form, text) or len(text) > MAX_NAME:
            yield part, f"must have {least} to {MAX_NAME} characters: {told}"


def _file_errors(file: str, path: str, taken: dict[str, int]) -> Iterator[InvalidSpec]:
    parts = file.split("/")
    if len(file) > MAX_FILE or not _unicode(file) or any(ord(character) < 32 for character in file):
        yield InvalidSpec(path, f"must have at most {MAX_FILE} characters, and no control characters")
    elif any(part in ("", ".", "..") for part in parts):
        yield InvalidSpec(path, "must be a relative path without '.', '..' and empty parts")
    else:
        for other, index in taken.items():
            if other == file or other.startswith(f"{file}/") or file.startswith(f"{other}/"):
                yield InvalidSpec(path, f"is in the way of the file of secrets[{index}]")
                return


def _unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
