"""How a job's code gets to its cluster: fetched and checked before anything starts, kept in the storage under its
SHA-256, handed to each head that is to run it through Ray's own package store; and the values of its secrets with it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

from heliostat.domain.errors import InvalidSpec, NotFound
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.jobs import PACKAGE, Attempt, Job, JobSpec, Prepared
from heliostat.domain.ray_jobs import RaySubmission
from heliostat.domain.secrets import environment, missing
from heliostat.ray_api import Head, RayApi
from heliostat.ray_api.base import PACKAGE_LIMIT, too_large
from heliostat.services.packages import package_key
from heliostat.services.seams import Clock
from heliostat.storage import Storage
from heliostat.storage.bundle import bundle
from heliostat.storage.fetch import FetchPolicy, check_url, fetch
from heliostat.store import Store

MAX_REQUIREMENTS_BYTES = 1 << 20
FETCHES = 16
"""Jobs whose code is fetched at once: each takes threads, connections, and room on the disk."""


class CodeDelivery:
    """Stateless but for folders of files on their way. Also says where code may come from (``CodeSources``)."""

    def __init__(
        self, store: Store, storage: Storage, ray: RayApi, policy: FetchPolicy, scratch: Path, clock: Clock
    ) -> None:
        self._store = store
        self._storage = storage
        self._ray = ray
        self._policy = policy
        self._scratch = scratch
        self._clock = clock
        self._turns = asyncio.Semaphore(FETCHES)

    def check(self, url: str, path: str) -> None:
        """Raises InvalidSpec, naming ``path``, for a URL that can never be fetched here."""
        check_url(url, self._policy, path)

    async def prepare(self, job: Job) -> Prepared:
        """Fetch, check, store. Repeatable. Raises a HeliostatError with the cause in words for the job's user."""
        code = job.spec.code
        if code.requirements is None and not code.files and _uploaded(code.working_dir):
            return Prepared((code.working_dir or "").removeprefix(PACKAGE))
        async with self._turns:
            with self._folder() as folder:
                return await self._fetched(job, folder)

    async def _fetched(self, job: Job, folder: Path) -> Prepared:
        code = job.spec.code
        uploaded = _uploaded(code.working_dir)
        lines: tuple[str, ...] = ()
        if code.requirements is not None:
            target = folder / "requirements.txt"
            await fetch(code.requirements, target, self._policy, MAX_REQUIREMENTS_BYTES)
            lines = requirement_lines(await asyncio.to_thread(target.read_text, "utf-8", "replace"))
        if uploaded and not code.files:
            return Prepared((code.working_dir or "").removeprefix(PACKAGE), lines)
        if code.working_dir is None and not code.files:
            return Prepared(None, lines)
        zipped = await self._working_dir(job, folder)
        files = await self._files(code.files, folder, self._policy.max_bytes - (zipped.stat().st_size if zipped else 0))
        target = folder / "package.zip"
        sha256 = await asyncio.to_thread(bundle, zipped, files, target, strip=not uploaded)
        size = target.stat().st_size
        if size > PACKAGE_LIMIT:  # told now, and not when its cluster has been made for nothing
            raise too_large(size)
        await self._storage.put_file(package_key(job.workspace, sha256), target)
        now = self._clock.now()
        await self._store.write(lambda tx: tx.packages.add(job.workspace, sha256, size, now))
        return Prepared(sha256, lines)

    async def submission(self, head: Head, job: Job, attempt: Attempt) -> RaySubmission:
        """What Ray is asked to run, once the head has the code. Raises NotFound when the package is gone, InvalidSpec when
        a secret is."""
        prepared = job.prepared or Prepared()
        working_dir = None
        if prepared.package is not None:
            name = f"_ray_pkg_{prepared.package[:32]}.zip"
            if not await self._ray.has_package(head, name):
                with self._folder() as folder:
                    path = await self._package(job.workspace, prepared.package, folder)
                    await self._ray.put_package(head, name, path)
                await self._ray.has_package(head, name)  # a head keeps for ten minutes what it was asked for
            working_dir = f"gcs://{name}"
        secrets = await self._secrets(job, attempt)
        wanted = job.spec.resources
        return RaySubmission(
            submission_id=attempt.submission_id,
            entrypoint=job.spec.entrypoint,
            runtime_env=runtime_env(job.spec, working_dir, prepared.requirements, secrets),
            metadata={"job_name": job.spec.name, **job.spec.metadata},
            cpus=wanted.cpus,
            gpus=wanted.gpus,
            memory_bytes=wanted.memory,
            resources=wanted.custom,
        )

    async def _secrets(self, job: Job, attempt: Attempt) -> dict[str, str]:
        """The variables that its secrets are in. What an attempt is given is noted before Ray hears of it."""
        wanted = job.spec.secrets
        if not wanted:
            return {}
        names = [secret.name for secret in wanted]
        given = await self._store.write(lambda tx: tx.secrets.give(job.workspace, job.id, attempt.number, names))
        values = []
        for index, (name, found) in enumerate(zip(names, given, strict=True)):
            if found is None:
                raise missing(index, name)
            values.append(found.value)
        return environment(wanted, values)

    async def _working_dir(self, job: Job, folder: Path) -> Path | None:
        url = job.spec.code.working_dir
        if url is None:
            return None
        if url.startswith(PACKAGE):
            return await self._package(job.workspace, url.removeprefix(PACKAGE), folder)
        target = folder / "working_dir.zip"
        await fetch(url, target, self._policy, self._policy.max_bytes)
        return target

    async def _files(self, urls: Sequence[str], folder: Path, room: int) -> list[tuple[str, Path]]:
        """``room`` bytes at most, all together."""
        found = []
        for index, url in enumerate(urls):
            target = folder / f"file-{index}"
            await fetch(url, target, self._policy, max(0, room))
            room -= target.stat().st_size
            found.append((name_of(url), target))
        return found

    async def _package(self, workspace: WorkspaceId, sha256: str, folder: Path) -> Path:
        target = folder / f"{sha256}.zip"
        if not await self._storage.get_file(package_key(workspace, sha256), target):
            raise NotFound("package", sha256, "it was removed; submit the job again")
        return target

    def _folder(self) -> _Folder:
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _Folder(tempfile.TemporaryDirectory(dir=self._scratch, prefix="code-", ignore_cleanup_errors=True))


def _uploaded(url: str | None) -> bool:
    return url is not None and url.startswith(PACKAGE)


class _Folder:
    """A temporary folder as a path. What a thread still writes into it when its job is cancelled may stay until the next
    start."""

    def __init__(self, made: tempfile.TemporaryDirectory[str]) -> None:
        self._made = made

    def __enter__(self) -> Path:
        return Path(self._made.__enter__())

    def __exit__(self, *raised: object) -> None:
        self._made.cleanup()


def runtime_env(
    spec: JobSpec,
    working_dir: str | None,
    requirements: Sequence[str],
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Ray's runtime environment of a job (JSON): as the user wrote it, with the code, the requirements and the variables of
    secrets in it, which win over others."""
    made: dict[str, Any] = dict(spec.runtime_env)
    if secrets:
        made["env_vars"] = {**made.get("env_vars", {}), **secrets}
    if working_dir is not None:
        made["working_dir"] = working_dir
    if requirements:
        key = "uv" if "uv" in made and "pip" not in made else "pip"
        made[key] = with_packages(made.get(key), requirements)
    return made


def with_packages(present: Any, more: Sequence[str]) -> Any:  # JSON, in one of the two forms that Ray takes
    """A runtime environment's ``pip`` (or ``uv``) with further requirements."""
    if isinstance(present, Mapping):
        return {**present, "packages": [*(present.get("packages") or ()), *more]}
    return [*(present or ()), *more]


def requirement_lines(text: str) -> tuple[str, ...]:
    """The requirements of a file, without comments. Raises InvalidSpec for a line that names another file; the line itself
    may hold a password."""
    lines = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith(("-r", "--requirement", "-c", "--constraint", "-e", "--editable")):
            raise InvalidSpec("requirements", f"line {number} names another file, which is not on the cluster")
        lines.append(line)
    return tuple(lines)


def name_of(url: str) -> str:
    """The file's name in a URL."""
    return PurePosixPath(unquote(urlsplit(url).path)).name or "file"
