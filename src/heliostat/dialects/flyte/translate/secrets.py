"""The secrets of a task: where flytekit looks for them, and which of the workspace's they are (Flyte contract, section 5.3).

flytekit looks at a variable first and then for a file. A variable whose name no shell passes on (groups like ``user-info`` are
usual on Kubernetes) is left out, and the secret comes as a file, which it finds as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flyteidl.core import security_pb2

from heliostat.domain.errors import InvalidRequest
from heliostat.domain.secrets import JobSecret, SecretName, check_name

from ..errors import invalid

PREFIX = "_FSEC_"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def secret_name(group: str, key: str, version: str, path: str, names: Mapping[str, str]) -> SecretName:
    """A name under which the workspace can have a secret. ``names``: what its parts are called at ``path``. Raises FlyteError."""
    name = SecretName(group, key, version)
    for part in ("group", "key"):
        if not getattr(name, part):
            raise invalid(f"{path}.{names.get(part, part)}", "is required: secrets are kept by group and key")
    try:
        check_name(name)
    except InvalidRequest as error:
        raise invalid(f"{path}.{names.get(error.path or '', error.path)}", error.message) from None
    return name


def read_secrets(context: Any) -> tuple[tuple[JobSecret, ...], dict[str, str]]:  # flyteidl ships no checkable types
    """Those of a ``core.SecurityContext``, and variables that are to hold the paths of files. Raises FlyteError."""
    found: dict[SecretName, JobSecret] = {}
    paths: dict[str, str] = {}
    for index, row in enumerate(context.secrets):
        path = f"template.security_context.secrets[{index}]"
        version = row.group_version
        name = secret_name(row.group, row.key, version, path, {"version": "group_version"})
        if row.env_var and not _VARIABLE.fullmatch(row.env_var):
            raise invalid(f"{path}.env_var", f"{row.env_var[:80]!r} is not a name of an environment variable")
        parts = [part for part in (row.group, version, row.key) if part]
        variable = PREFIX + "_".join(part.upper() for part in parts)
        as_file = row.mount_requirement == security_pb2.Secret.FILE
        before = found.get(name, JobSecret(row.group, row.key, version))
        file, variables = before.file, list(before.variables)
        if as_file or not _VARIABLE.fullmatch(variable):
            file = "/".join(part.lower() for part in parts)
            if any(part in ("", ".", "..") for part in file.split("/")):
                raise invalid(path, f"{str(name)!r} cannot be a file: it has an empty part, '.' or '..'")
        else:
            variables.append(variable)
        if row.env_var and as_file:
            paths[row.env_var] = file
        elif row.env_var:
            variables.append(row.env_var)
        found[name] = JobSecret(row.group, row.key, version, tuple(dict.fromkeys(variables)), file)
    return tuple(found.values()), paths
