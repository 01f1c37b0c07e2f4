"""What is fetched for a job: within bounds, refused before a cluster is made for nothing, and without secrets in errors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from heliostat.control import code_delivery
from heliostat.control.code_delivery import FETCHES, CodeDelivery, requirement_lines, runtime_env, with_packages
from heliostat.domain.errors import HeliostatError, InvalidSpec, Retry
from heliostat.domain.ids import InstanceId
from heliostat.domain.jobs import Attempt, Code, Job, Prepared
from heliostat.domain.secret import Secret
from heliostat.domain.secrets import JobSecret, WorkspaceSecret
from heliostat.engines.simulated import SimulatedEngine
from heliostat.ray_api import Head
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.storage.fetch import FetchPolicy
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings
from heliostat.testing.clock import ManualClock
from tests.store.samples import ANNA, NOW, a_job, make_workspaces


@dataclass
class Delivery:
    store: Store
    storage: FolderStorage
    folder: Path

    def made(self, max_bytes: int = 1 << 20) -> CodeDelivery:
        policy = FetchPolicy(allowed_folders=(self.folder / "code",), max_bytes=max_bytes)
        ray = SimulatedRay(SimulatedEngine().world)
        return CodeDelivery(self.store, self.storage, ray, policy, self.folder / "scratch", ManualClock())

    def file(self, name: str, size: int) -> str:
        path = self.folder / "code" / name
        path.write_bytes(os.urandom(size))
        return path.as_uri()

    def left(self) -> list[Path]:
        return [path for path in (self.folder / "scratch").rglob("*") if path.is_file()]


@pytest_asyncio.fixture
async def delivery(tmp_path: Path) -> AsyncIterator[Delivery]:
    (tmp_path / "code").mkdir()
    store = await Store.open(StoreSettings(f"sqlite:///{tmp_path}/heliostat.db", tmp_path / "key"))
    storage = FolderStorage(tmp_path / "storage")
    try:
        await make_workspaces(store)
        yield Delivery(store, storage, tmp_path)
    finally:
        await storage.close()
        await store.close()


def with_code(code: Code) -> Job:
    job = a_job()
    return replace(job, spec=replace(job.spec, code=code), prepared=None)


async def test_the_files_of_a_job_are_bounded_together(delivery: Delivery) -> None:
    urls = tuple(delivery.file(f"{number}.bin", 400) for number in range(3))
    assert (await delivery.made(1200).prepare(with_code(Code(files=urls)))).package
    with pytest.raises(HeliostatError, match="more than"):
        await delivery.made(1199).prepare(with_code(Code(files=urls)))
    assert delivery.left() == []


async def test_what_no_head_takes_is_refused_before_a_cluster_is_made_for_it(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = with_code(Code(files=(delivery.file("data.bin", 5000),)))
    monkeypatch.setattr(code_delivery, "PACKAGE_LIMIT", 4000)
    with pytest.raises(HeliostatError, match="a head takes at most") as refused:
        await delivery.made().prepare(job)
    assert refused.value.retry is Retry.NEVER


async def test_a_crowd_of_jobs_fetches_in_turns(delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    running = most = 0

    async def fetch(url: str, target: Path, policy: FetchPolicy, limit: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        target.write_bytes(b"numpy\n")
        running -= 1

    monkeypatch.setattr(code_delivery, "fetch", fetch)
    made = delivery.made()
    job = with_code(Code(requirements="https://example.org/requirements.txt"))
    prepared = await asyncio.gather(*(made.prepare(job) for _ in range(3 * FETCHES)))
    assert prepared == [Prepared(None, ("numpy",))] * (3 * FETCHES)
    assert 1 < most <= FETCHES


def test_the_passwords_of_a_line_that_is_refused_are_not_repeated() -> None:
    with pytest.raises(InvalidSpec) as refused:
        requirement_lines("numpy\n-c https://ann:hunter2secret@example.org/constraints.txt\n")
    assert "line 2" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("present", [None, [], {}, {"packages": None}, {"packages": [], "pip_check": False}])
def test_requirements_join_whatever_form_of_packages_there_is(present: object) -> None:
    joined = with_packages(present, ["numpy"])
    assert (joined["packages"] if isinstance(joined, dict) else joined) == ["numpy"]


WANTED = (
    JobSecret("db", "password", variables=("PASSWORD", "KEY")),
    JobSecret("tls", "key", "2", file="tls/key"),
)


async def with_secrets(delivery: Delivery, **values: str) -> tuple[Job, Attempt]:
    job = a_job()
    job = replace(job, spec=replace(job.spec, secrets=WANTED), prepared=Prepared())
    await delivery.store.write(lambda tx: tx.jobs.add(job))
    for name, value in zip((row.name for row in WANTED), values.values(), strict=False):
        made = WorkspaceSecret(job.workspace, name, NOW, ANNA, "anna")
        await delivery.store.write(lambda tx, made=made, value=value: tx.secrets.set(made, value))
    return job, Attempt(1, job.id, InstanceId("i"), "head", NOW)


HEAD = Head(InstanceId("i"), "127.0.0.1:1", Secret("token"))


async def test_secrets_are_variables_of_the_job_and_win_over_others(delivery: Delivery) -> None:
    job, attempt = await with_secrets(delivery, password="hunter2", key="two\nlines")
    made = await delivery.made().submission(HEAD, job, attempt)
    assert made.runtime_env["env_vars"] == {
        "KEY": "hunter2", "PASSWORD": "hunter2", "HELIOSTAT_SECRET_FILES": '{"tls/key": "two\\nlines"}',
    }  # fmt: skip
    assert job.spec.runtime_env["env_vars"]["KEY"] != "hunter2", "the job itself has none"
    assert "hunter2" not in repr(made)


async def test_what_an_attempt_was_given_it_is_given_again(delivery: Delivery) -> None:
    """Ray may have it already when the server dies before it knows: the same is handed over again, and nothing fails."""
    job, attempt = await with_secrets(delivery, password="one", key="key")
    first = await delivery.made().submission(HEAD, job, attempt)
    for row in WANTED:
        await delivery.store.write(lambda tx, row=row: tx.secrets.remove(job.workspace, row.name, NOW))
    assert await delivery.made().submission(HEAD, job, attempt) == first
    with pytest.raises(InvalidSpec, match="there is no secret db/password") as refused:
        await delivery.made().submission(HEAD, job, replace(attempt, number=2))
    assert refused.value.path == "secrets[0]"


def test_requirements_go_to_the_tool_that_is_named() -> None:
    spec = replace(a_job().spec, runtime_env={"uv": {"packages": None}})
    assert runtime_env(spec, None, ["numpy"]) == {"uv": {"packages": ["numpy"]}}
    assert runtime_env(replace(spec, runtime_env={}), None, ["numpy"]) == {"pip": ["numpy"]}
