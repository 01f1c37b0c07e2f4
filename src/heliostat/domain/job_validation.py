"""Whether a job can be stored: limits and forms, each error with its native path.

Source of the limits: EMR contract, section 8 (validation table), and what Ray's Jobs API takes (Ray contract, section 5).
The definition of a temporary cluster is checked by :mod:`validation`, with the path ``cluster_spec``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from .errors import InvalidSpec, MissingField
from .jobs import PACKAGE, Code, JobSpec, Retries
from .secrets import job_secret_errors

MAX_ENTRYPOINT_BYTES = 64 << 10
MAX_RUNTIME_ENV_BYTES = 1 << 20
MAX_NAME = 64
MAX_TAGS = 20
MAX_TAG = 128
MAX_METADATA_BYTES = 64 << 10
MAX_DEADLINE = timedelta(days=365)
MAX_TTL = timedelta(days=30)
MAX_RETRIES = 100
MAX_FILES = 100
MAX_DEPTH = 64
"""Of objects and lists within each other in a runtime environment."""
_PACKAGE = re.compile(re.escape(PACKAGE) + r"[0-9a-f]{64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_job(spec: JobSpec) -> None:
    """Raise the first :class:`InvalidSpec` found, in the order of the fields; return when there is none."""
    for error in job_errors(spec):
        raise error


def job_errors(spec: JobSpec) -> Iterator[InvalidSpec]:
    """Every error of a job's own fields."""
    yield from _texts(spec)
    if not spec.entrypoint.strip():
        yield MissingField("entrypoint", "is required: the shell command to run, as in 'python main.py'")
    elif len(spec.entrypoint.encode(errors="replace")) > MAX_ENTRYPOINT_BYTES:
        yield InvalidSpec("entrypoint", f"must have at most {MAX_ENTRYPOINT_BYTES} bytes")
    elif "\0" in spec.entrypoint:
        yield InvalidSpec("entrypoint", "must not hold a NUL character")
    if not 1 <= len(spec.name) <= MAX_NAME or not spec.name.strip():
        yield InvalidSpec("name", f"must have 1 to {MAX_NAME} characters")
    elif any(ord(character) < 32 for character in spec.name):
        yield InvalidSpec("name", "must not hold control characters")
    yield from _runtime_env(spec.runtime_env)
    yield from _code(spec.code)
    if spec.code.files and spec.runtime_env.get("working_dir") is not None:
        yield InvalidSpec(
            "files", "cannot be laid into a working directory that is on the cluster already; put them into its zip"
        )
    yield from _metadata(spec.metadata)
    yield from _tags(spec.tags)
    yield from _resources(spec)
    if spec.deadline is not None and not timedelta(seconds=1) <= spec.deadline <= MAX_DEADLINE:
        yield InvalidSpec("deadline", "must be between 1 second and 365 days")
    if not timedelta(0) <= spec.ttl <= MAX_TTL:
        yield InvalidSpec("ttl", "must be between 0 and 30 days")
    yield from _retries(spec.retries)
    yield from job_secret_errors(spec.secrets)


def _texts(spec: JobSpec) -> Iterator[InvalidSpec]:
    """Text that no encoding can carry: half of a surrogate pair, which JSON can spell."""
    code = spec.code
    texts = {"entrypoint": spec.entrypoint, "name": spec.name, "working_dir": code.working_dir or ""}
    texts |= {f"files[{index}]": url for index, url in enumerate(code.files)}
    texts |= {"requirements": code.requirements or "", "resources.custom": "".join(spec.resources.custom)}
    for path, pairs in (("metadata", spec.metadata), ("tags", spec.tags)):
        texts[path] = "".join(str(part) for pair in pairs.items() for part in pair)
    for path, text in texts.items():
        if not _unicode(text):
            yield InvalidSpec(path, "is not valid Unicode; write it without lone surrogates")


def _unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_json(value: Any, path: str, depth: int = 0) -> InvalidSpec | None:  # JSON, if it is
    """The first thing in a value that cannot be kept as JSON."""
    if isinstance(value, Mapping | list | tuple) and depth >= MAX_DEPTH:
        return InvalidSpec("runtime_env", f"has more than {MAX_DEPTH} objects and lists within each other")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str) or not _unicode(key):
                return InvalidSpec(path, "has a name that is not valid Unicode text")
            if error := _not_json(inner, f"{path}.{key}", depth + 1):
                return error
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            if error := _not_json(inner, f"{path}[{index}]", depth + 1):
                return error
    elif isinstance(value, str):
        return None if _unicode(value) else InvalidSpec(path, "is not valid Unicode; write it without lone surrogates")
    elif isinstance(value, float):
        return None if math.isfinite(value) else InvalidSpec(path, "must be a finite number")
    elif isinstance(value, int):
        return None if -(2**63) <= value < 2**64 else InvalidSpec(path, "must be a number of at most 64 bits")
    elif value is not None:
        return InvalidSpec(path, "must be JSON")
    return None


def _runtime_env(runtime_env: Mapping[str, Any]) -> Iterator[InvalidSpec]:
    if error := _not_json(runtime_env, "runtime_env"):
        yield error
        return
    variables = runtime_env.get("env_vars", {})
    if not isinstance(variables, Mapping):
        yield InvalidSpec("runtime_env.env_vars", "must be an object of names and values")
        return
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(str(name)):
            yield InvalidSpec("runtime_env.env_vars", f"{name!r} is not a name of an environment variable")
        elif not isinstance(value, str):
            yield InvalidSpec(f"runtime_env.env_vars.{name}", "must be text; put it in quotes")
        elif "\0" in value:
            yield InvalidSpec(f"runtime_env.env_vars.{name}", "must not hold a NUL character")
    size = len(str(runtime_env).encode(errors="replace"))
    if size > MAX_RUNTIME_ENV_BYTES:
        yield InvalidSpec("runtime_env", f"must have at most {MAX_RUNTIME_ENV_BYTES} bytes, has about {size}")
    working_dir = runtime_env.get("working_dir")
    if working_dir is not None and not (isinstance(working_dir, str) and "://" in working_dir):
        yield InvalidSpec(
            "runtime_env.working_dir",
            "must be a URL, since folders of your machine are not on the cluster; upload it with: "
            "heliostat job submit --working-dir DIR",
        )
    for tool in ("pip", "uv"):
        yield from _packages(runtime_env.get(tool), f"runtime_env.{tool}")


def _packages(given: Any, path: str) -> Iterator[InvalidSpec]:  # JSON
    """Both forms that Ray takes, to which the lines of a requirements file may be added: a list, or an object with one."""
    if isinstance(given, Mapping):
        given, path = given.get("packages"), f"{path}.packages"
    if isinstance(given, str):
        yield InvalidSpec(path, "must be a list of packages: a file of your machine is not on the cluster")
    elif given is not None and not (
        isinstance(given, list | tuple) and all(isinstance(package, str) for package in given)
    ):
        yield InvalidSpec(path, "must be a list of packages, each a text like 'requests==2.32.3'")


def _code(code: Code) -> Iterator[InvalidSpec]:
    if (
        code.working_dir is not None
        and code.working_dir.startswith(PACKAGE)
        and not _PACKAGE.fullmatch(code.working_dir)
    ):
        yield InvalidSpec("working_dir", f"must be {PACKAGE} and the SHA-256 of the package in 64 hex digits")
    if len(code.files) > MAX_FILES:
        yield InvalidSpec("files", f"at most {MAX_FILES} files")


def _metadata(metadata: Mapping[str, str]) -> Iterator[InvalidSpec]:
    for name, value in metadata.items():
        if not isinstance(value, str):
            yield InvalidSpec(f"metadata.{name}", "must be text")
    if sum(len(str(part)) for item in metadata.items() for part in item) > MAX_METADATA_BYTES:
        yield InvalidSpec("metadata", f"must have at most {MAX_METADATA_BYTES} characters in all")


def _tags(tags: Mapping[str, str]) -> Iterator[InvalidSpec]:
    if len(tags) > MAX_TAGS:
        yield InvalidSpec("tags", f"at most {MAX_TAGS} tags, given {len(tags)}")
    for key, value in tags.items():
        if not key:
            yield InvalidSpec("tags", "a tag needs a key")
        elif len(key) > MAX_TAG or len(value) > MAX_TAG:
            yield InvalidSpec(f"tags.{key[:MAX_TAG]}", f"keys and values have at most {MAX_TAG} characters")


def _resources(spec: JobSpec) -> Iterator[InvalidSpec]:
    given = spec.resources
    for name, amount in (("cpus", given.cpus), ("gpus", given.gpus), ("memory", given.memory)):
        if amount is not None and not 0 <= amount < 2**53:
            yield InvalidSpec(f"resources.{name}", "must be a number that is not negative")
    for key, amount in given.custom.items():
        if not key:
            yield InvalidSpec("resources.custom", "a resource needs a name")
        elif key in ("CPU", "GPU", "memory", "object_store_memory"):
            own = {"CPU": "cpus", "GPU": "gpus"}.get(key, "memory")
            yield InvalidSpec(f"resources.custom.{key}", f"is no custom resource; use {own}")
        elif not 0 <= amount < 2**53:
            yield InvalidSpec(f"resources.custom.{key}", "must be a number that is not negative")


def _retries(retries: Retries) -> Iterator[InvalidSpec]:
    for name, count in vars(retries).items():
        if count is not None and not 0 <= count <= MAX_RETRIES:
            yield InvalidSpec(f"retries.{name}", f"must be between 0 and {MAX_RETRIES}")
