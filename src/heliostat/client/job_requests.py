"""What is sent to submit a job: a document of what the caller gave, in any of the ways that Ray's users are used to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from . import secret_names
from .errors import InvalidRequest
from .specs import CreateFields, Document, creation

_OF_OTHERS = ("-r", "--requirement", "-c", "--constraint", "-e", "--editable")
_OTHER_INSTALLERS = ("conda", "uv")


class SubmitFields(TypedDict, total=False):
    """What ``submit`` takes besides the entry point."""

    name: str | None
    """Need not be unique; the job's id when left out."""
    cluster: str | None
    """Name or id of the cluster to run on, which must be Running or Starting."""
    cluster_spec: Document | CreateFields | None
    """The cluster to make for the job: what ``clusters.create`` takes, as in ``{"workers": 2, "cpu": 1}``."""
    runtime_env: Document | None
    """Ray's runtime environment."""
    working_dir: str | Path | None
    """A folder or a zip of this machine, which is uploaded, or a URL of a zip."""
    files: Sequence[str] | None
    """URLs of files that are laid into the working directory."""
    requirements: str | Path | None
    """A requirements file of this machine, or the URL of one."""
    env: Mapping[str, str] | None
    """Environment variables; short for ``runtime_env["env_vars"]``."""
    pip: Sequence[str] | None
    """Packages; short for ``runtime_env["pip"]``."""
    secrets: Mapping[str, str] | Sequence[Document] | None
    """Secrets of the workspace: ``{"DB_PASSWORD": "db/password"}``, variable by variable, a version behind ``@``; or
    documents such as ``{"group": "db", "key": "password", "variables": ["DB_PASSWORD"]}``."""
    metadata: Mapping[str, str] | None
    tags: Mapping[str, str] | None
    resources: Document | None
    """What the entry point itself takes: ``{"cpus": 1, "gpus": 0, "memory": "4Gi", "custom": {}}``."""
    deadline: float | None
    """Seconds from submission, the making of its cluster included; then the job is stopped."""
    retries: int | Mapping[str, int | None]
    """``2``, or by cause: ``{"limit": 2, "user_error": 0}``."""
    shutdown_after_finish: bool
    """Remove the cluster made for the job after it."""
    ttl: float
    """Seconds for which the cluster made for the job stays after the end."""


def is_url(place: str | Path) -> bool:
    return isinstance(place, str) and "://" in place


def submission(entrypoint: str, given: SubmitFields) -> tuple[dict[str, Any], str | Path | None, list[str]]:
    """The body of a submit request; the local folder or zip that has to be uploaded for it; what to leave out of that.

    Reads a local requirements file. Raises InvalidRequest.
    """
    for key in given:
        if key not in SubmitFields.__annotations__:
            known = ", ".join(SubmitFields.__annotations__)
            raise InvalidRequest(f"there is no such field; there are: {known}", path=key)
    body: dict[str, Any] = {"entrypoint": entrypoint}
    runtime_env = dict(given.get("runtime_env") or {})
    excludes = list(runtime_env.pop("excludes", None) or ())
    working_dir = _working_dir(given, runtime_env)
    if working_dir is not None and is_url(working_dir):
        body["working_dir"] = working_dir
        working_dir = None
    requirements = given.get("requirements")
    lines = list(given.get("pip") or ())
    if requirements is not None and is_url(requirements):
        body["requirements"] = requirements
    elif requirements is not None:
        lines += _requirements(Path(requirements).expanduser())
    if isinstance(runtime_env.get("pip"), str):
        lines += _requirements(Path(runtime_env.pop("pip")).expanduser())
    _add_packages(runtime_env, lines)
    if given.get("env"):
        runtime_env["env_vars"] = {**(runtime_env.get("env_vars") or {}), **(given.get("env") or {})}
    if given.get("secrets"):
        body["secrets"] = secret_names.wanted(given.get("secrets") or {})
    spec = given.get("cluster_spec")
    if spec is not None:
        shaped: CreateFields = {**spec}  # type: ignore[typeddict-item]  # creation() looks at every field
        body["cluster_spec"] = {name: value for name, value in creation("", shaped).items() if name != "name"}
    body |= {
        name: given.get(name)
        for name in ("name", "cluster", "files", "metadata", "tags", "resources", "retries", "shutdown_after_finish")
    }
    body |= {"deadline_seconds": given.get("deadline"), "ttl_seconds": given.get("ttl"), "runtime_env": runtime_env}
    return {name: value for name, value in body.items() if value is not None}, working_dir, excludes


def _working_dir(given: SubmitFields, runtime_env: dict[str, Any]) -> str | Path | None:
    """Wherever the caller has put it; the runtime environment's is taken out of it."""
    own: Any = runtime_env.pop("working_dir", None)
    other = given.get("working_dir")
    if own is not None and other is not None:
        raise InvalidRequest("is there twice: also as working_dir", path="runtime_env.working_dir")
    found: str | Path | None = other if own is None else own
    return found


def _add_packages(runtime_env: dict[str, Any], lines: list[str]) -> None:
    if not lines:
        return
    for other in _OTHER_INSTALLERS:
        if other in runtime_env:
            raise InvalidRequest(f"Ray takes either pip or {other}", path=f"runtime_env.{other}")
    present = runtime_env.get("pip") or []
    if isinstance(present, Mapping):
        runtime_env["pip"] = {**present, "packages": [*(present.get("packages") or ()), *lines]}
    else:
        runtime_env["pip"] = [*present, *lines]


def _requirements(file: Path) -> list[str]:
    """The lines of a requirements file that say something."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise InvalidRequest(f"{file} cannot be read: {cause}", path="requirements") from None
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        plain = line.partition(" #")[0].strip()
        if not plain or plain.startswith("#"):
            continue
        if plain.split("=")[0].split()[0] in _OF_OTHERS or plain.startswith(("./", "../", "file:")):
            told = f"{file}: {plain!r} names a file of this machine, which is not on the cluster; write out what it stands for"
            raise InvalidRequest(told, path="requirements")
        found.append(plain)
    return found
