"""Use cases on logs: whose they are, how much is read, and what a ticket opens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from heliostat.domain.errors import NOT_COLLECTED, Forbidden, NotCollected, NotFound
from heliostat.domain.ids import InstanceId, JobId, WorkspaceId, new_instance_id
from heliostat.domain.jobs import Job, LogFile, driver_log
from heliostat.domain.records import Role
from heliostat.domain.states import Wanted
from heliostat.domain.tickets import Ticket, issue
from heliostat.services import Caller, LogService, News
from heliostat.services.jobs import JobWish
from heliostat.services.logs import READ_BYTES, TICKET_LIFETIME
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings

from .conftest import BOTH, Office, spec


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    """The one that the office's services read."""
    return FolderStorage(tmp_path / "storage")


async def stored(
    office: Office, storage: FolderStorage, owner: str, name: str, text: bytes = b"0123456789", known: int | None = None
) -> LogFile:
    """A log of which the first ``known`` bytes are known to the database."""
    size = len(text) if known is None else known
    file = LogFile(owner, office.workspace, name, size, size, office.clock.now())
    await storage.append(file.key, 0, text)
    await office.store.write(lambda tx: tx.log_files.add(file))
    return file


async def submitted(office: Office) -> Job:
    return await office.services.jobs.submit(
        await office.caller("ann"), office.workspace, JobWish("true", cluster_spec=spec())
    )


# --- owners --------------------------------------------------------------------------------------------------------------


@BOTH
async def test_an_owner_is_a_job_a_run_or_a_cluster(office: Office, storage: FolderStorage) -> None:
    logs, editor = office.services.logs, await office.caller("editor")
    job, cluster = await submitted(office), await office.running()
    present = cluster.instance
    assert present is not None
    earlier = new_instance_id(cluster.id)
    driver = await stored(office, storage, job.id, driver_log(job.id))
    one = await stored(office, storage, present, "nodes/head/raylet.out")
    two = await stored(office, storage, earlier, "nodes/head/raylet.out")
    assert await logs.files(editor, office.workspace, job.id) == [driver]
    assert await logs.files(editor, office.workspace, present) == [one]
    assert await logs.files(editor, office.workspace, earlier) == [two]
    assert await logs.files(editor, office.workspace, cluster.id) == sorted([one, two], key=lambda row: row.owner)
    assert await logs.file(editor, office.workspace, present, one.name) == one
    with pytest.raises(NotFound, match=r"nodes/head/raylet\.out"):
        await logs.file(editor, office.workspace, cluster.id, one.name)


async def test_an_owner_that_has_written_nothing_has_no_logs_but_is_there(office: Office) -> None:
    logs, editor = office.services.logs, await office.caller("editor")
    job, cluster = await submitted(office), await office.running()
    assert cluster.instance is not None
    for owner in (job.id, job.cluster, cluster.id, cluster.instance):
        assert await logs.files(editor, office.workspace, owner) == [], owner


@pytest.mark.parametrize(
    "owner",
    [
        "",
        "x",
        "ray-",
        "ray-%",
        "../x",
        "rj-\0",
        "\ud800",
        "rj-0123456789abcdef",
        "ray-0123456789abcdef",
        "ray-0123456789abcdef-01234567",
    ],
)
async def test_an_unknown_owner_is_not_found(office: Office, owner: str) -> None:
    logs, editor = office.services.logs, await office.caller("editor")
    with pytest.raises(NotFound, match="name a job, a cluster or one run"):
        await logs.files(editor, office.workspace, owner)
    for call in (logs.file, logs.ticket):
        with pytest.raises(NotFound):
            await call(editor, office.workspace, owner, "x")


@BOTH
async def test_owners_of_another_workspace_are_not_found(office: Office, storage: FolderStorage) -> None:
    logs, ann = office.services.logs, await office.caller("ann")
    job, cluster = await submitted(office), await office.running()
    assert cluster.instance is not None
    other = await office.services.directory.create_workspace(ann, "other")
    for owner in (job.id, cluster.id, cluster.instance):
        with pytest.raises(NotFound, match="log owner"):
            await logs.files(ann, other.id, owner)
    await stored(office, storage, job.id, "driver.log")
    await stored(office, storage, cluster.instance, "raylet.out")
    for owner, name in ((job.id, "driver.log"), (cluster.id, "raylet.out"), (cluster.instance, "raylet.out")):
        with pytest.raises(NotFound, match="log owner"):
            await logs.files(ann, other.id, owner)
        for call in (logs.file, logs.ticket):
            with pytest.raises(NotFound):
                await call(ann, other.id, owner, name)
    with pytest.raises(NotFound, match="job"):
        await logs.job(ann, other.id, job.id)


async def test_logs_outlive_what_wrote_them(office: Office, storage: FolderStorage) -> None:
    logs, editor, cluster = office.services.logs, await office.caller("editor"), await office.running()
    assert cluster.instance is not None
    file = await stored(office, storage, cluster.instance, "raylet.out")
    await office.store.write(
        lambda tx: tx.clusters.save(replace(cluster, wanted=Wanted.DELETED, deleted_at=office.clock.now()))
    )
    assert await logs.files(editor, office.workspace, cluster.id) == [file]
    await office.store.write(lambda tx: tx.clusters.purge(cluster.id))
    for owner in (cluster.id, cluster.instance):
        assert await logs.files(editor, office.workspace, owner) == [file]
    assert await logs.read(file, 0, 99) == b"0123456789"


@BOTH
async def test_the_logs_of_a_deleted_job_are_shown_to_nobody(office: Office, storage: FolderStorage) -> None:
    """Though they are removed only with the next sweep."""
    logs, ann = office.services.logs, await office.caller("ann")
    job, other = await submitted(office), await submitted(office)
    run = new_instance_id(job.cluster)
    files = [await stored(office, storage, owner, "x.log") for owner in (job.id, run)]
    kept = await stored(office, storage, other.id, "x.log")
    ticket = await logs.ticket(ann, office.workspace, job.id, "x.log")
    ended = replace(job, status=type(job.status).SUCCEEDED, settled=True, ended_at=office.clock.now())
    await office.store.write(lambda tx: tx.jobs.save(ended))
    await office.services.jobs.delete(ann, office.workspace, job.id)
    with pytest.raises(NotFound):
        await logs.files(ann, office.workspace, job.id)
    for file in files:
        with pytest.raises(NotFound):
            await logs.file(ann, office.workspace, file.owner, file.name)
    with pytest.raises(NotFound):
        await logs.redeem(ticket)
    old = await office.store.read(
        lambda tx: tx.log_files.modified_before(office.clock.now() - timedelta(days=999), limit=9)
    )
    assert {row.owner for row in old} <= {job.id, run} and job.id in {row.owner for row in old}
    assert await logs.files(ann, office.workspace, other.id) == [kept]


# --- reading -------------------------------------------------------------------------------------------------------------


async def test_nothing_is_read_beyond_what_is_known(office: Office, storage: FolderStorage) -> None:
    """Bytes that a collector has stored and not yet told of may still be replaced."""
    logs, job = office.services.logs, await submitted(office)
    file = await stored(office, storage, job.id, "x.log", b"0123456789", known=6)
    assert await logs.read(file, 0, 99) == b"012345"
    assert await logs.read(file, 2, 3) == b"234"
    assert await logs.read(file, 5, 99) == b"5"
    for offset, size in ((6, 1), (7, 99), (10**12, 1), (0, 0), (0, -1), (-1, 5), (-99, 99)):
        assert await logs.read(file, offset, size) == b"", (offset, size)


async def test_one_call_returns_a_bounded_piece(office: Office, storage: FolderStorage) -> None:
    logs, job = office.services.logs, await submitted(office)
    file = await stored(office, storage, job.id, "x.log", b"x" * (READ_BYTES + 5))
    assert len(await logs.read(file, 0, 10**12)) == READ_BYTES
    assert await logs.read(file, READ_BYTES, 10**12) == b"xxxxx"


async def test_a_reader_is_told_the_news_and_waits_no_longer_than_asked() -> None:
    news = News()
    waiting = [asyncio.create_task(news.wait(owner, 60)) for owner in ("one", "one", "two")]
    await asyncio.sleep(0)
    news.tell("one")
    await asyncio.wait_for(asyncio.gather(*waiting[:2]), 10)
    assert not waiting[2].done()
    waiting[2].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await news.wait("one", 0)
    again = asyncio.create_task(news.wait("one", 60))
    await asyncio.sleep(0)
    news.tell("one")
    news.tell("one")
    await asyncio.wait_for(again, 10)
    assert news._waiting == {}, "nobody is remembered who waits no more"


# --- tickets -------------------------------------------------------------------------------------------------------------


@BOTH
async def test_a_ticket_opens_one_file_for_its_time(office: Office, storage: FolderStorage) -> None:
    logs, job = office.services.logs, await submitted(office)
    file = await stored(office, storage, job.id, "nodes/n/x y.log")
    await stored(office, storage, job.id, "other.log")
    text = await logs.ticket(await office.caller("editor"), office.workspace, job.id, file.name)
    assert await logs.redeem(text) == file
    grown = replace(file, size=12, source_offset=12)
    await office.store.write(lambda tx: tx.log_files.advance(grown, file.source_offset))
    assert await logs.redeem(text) == grown, "it opens what the file is now"
    office.clock.advance(seconds=TICKET_LIFETIME.total_seconds() - 1)
    assert await logs.redeem(text) == grown
    office.clock.advance(seconds=1)
    with pytest.raises(NotFound, match="expired"):
        await logs.redeem(text)


async def test_other_texts_open_nothing(office: Office, storage: FolderStorage, tmp_path: Path) -> None:
    logs, job, editor = office.services.logs, await submitted(office), await office.caller("editor")
    await stored(office, storage, job.id, "x.log")
    text = await logs.ticket(editor, office.workspace, job.id, "x.log")
    body, _, signature = text.partition(".")
    ticket = Ticket(office.workspace, job.id, "x.log", office.clock.now() + timedelta(hours=1))
    forged = issue(ticket, bytes(32))
    for other in (
        "",
        ".",
        body,
        f"{body}.",
        f".{signature}",
        f"{text}x",
        f"{body[::-1]}.{signature}",
        forged,
        "\ud800",
    ):
        with pytest.raises(NotFound, match="ask for a new one"):
            await logs.redeem(other)

    elsewhere = await Store.open(StoreSettings(f"sqlite:///{tmp_path}/elsewhere.db", tmp_path / "another-key"))
    try:
        foreign = LogService(elsewhere, storage, News(), office.clock)
        with pytest.raises(NotFound, match="ask for a new one"):
            await foreign.redeem(text)
    finally:
        await elsewhere.close()


async def test_every_server_of_an_installation_takes_a_ticket(
    office: Office, storage: FolderStorage, tmp_path: Path
) -> None:
    job = await submitted(office)
    file = await stored(office, storage, job.id, "x.log")
    text = await office.services.logs.ticket(await office.caller("editor"), office.workspace, job.id, file.name)
    second = await Store.open(StoreSettings(f"sqlite:///{tmp_path}/heliostat.db", tmp_path / "key"))
    try:
        assert await LogService(second, storage, News(), office.clock).redeem(text) == file
    finally:
        await second.close()


async def test_a_ticket_for_what_is_gone_opens_nothing(office: Office, storage: FolderStorage) -> None:
    logs, job = office.services.logs, await submitted(office)
    file = await stored(office, storage, job.id, "x.log")
    text = await logs.ticket(await office.caller("editor"), office.workspace, job.id, file.name)
    await office.store.write(lambda tx: tx.log_files.remove([file]))
    with pytest.raises(NotFound):
        await logs.redeem(text)


# --- clusters whose logs are not collected -------------------------------------------------------------------------------


async def test_who_asks_for_logs_that_are_not_collected_is_told_so(office: Office, storage: FolderStorage) -> None:
    logs, editor, place = office.services.logs, await office.caller("editor"), office.workspace
    silent = replace(spec(), name="silent", collect_logs=False)
    made = await office.services.clusters.create(await office.caller("ann"), place, silent, start=True)
    await office.settle(made.id)
    run = (await office.run_of(made.id)).id
    job = await office.services.jobs.submit(await office.caller("ann"), place, JobWish("true", cluster=made.id))
    for owner in (made.id, run, job.id):
        with pytest.raises(NotCollected, match=NOT_COLLECTED):
            await logs.files(editor, place, owner)
        with pytest.raises(NotCollected):
            await logs.file(editor, place, owner, "any.log")
    elsewhere = await office.services.directory.create_workspace(await office.caller("ann"), "elsewhere")
    with pytest.raises(NotFound) as caught:
        await logs.files(await office.caller("ann"), elsewhere.id, made.id)
    assert not isinstance(caught.value, NotCollected), "of another workspace nothing is told"
    mark = LogFile(job.id, place, driver_log(job.id), 0, 0, office.clock.now(), True, NOT_COLLECTED)
    await office.store.write(lambda tx: tx.log_files.add(mark))
    assert await logs.files(editor, place, job.id) == [mark], "the list says why it is empty"
    for call in (logs.file, logs.ticket):
        with pytest.raises(NotCollected):
            await call(editor, place, job.id, mark.name)
    earlier = await stored(office, storage, run, "nodes/head/raylet.out")
    assert await logs.file(editor, place, run, earlier.name) == earlier


# --- roles ---------------------------------------------------------------------------------------------------------------

Call = Callable[[LogService, Caller, WorkspaceId, JobId], Awaitable[object]]
CASES: dict[str, Call] = {
    "files": lambda logs, who, place, job: logs.files(who, place, job),
    "file": lambda logs, who, place, job: logs.file(who, place, job, "x.log"),
    "ticket": lambda logs, who, place, job: logs.ticket(who, place, job, "x.log"),
    "job": lambda logs, who, place, job: logs.job(who, place, job),
}
WITHOUT_A_CALLER = {"read", "wait_for_news", "redeem"}
"""They take what a call with a caller, or a ticket, has given."""


def test_no_use_case_is_left_out() -> None:
    assert {name for name in vars(LogService) if not name.startswith("_")} == set(CASES) | WITHOUT_A_CALLER


@pytest.mark.parametrize("case", CASES)
async def test_logs_take_the_role_of_an_editor(office: Office, storage: FolderStorage, case: str) -> None:
    job = await submitted(office)
    await stored(office, storage, job.id, "x.log")
    for name in ("nobody", "viewer", "editor", "owner", "ann"):
        who = await office.caller(name)
        role = who.principal.role_in(office.workspace)
        call = CASES[case](office.services.logs, who, office.workspace, job.id)
        if role is None:
            with pytest.raises(NotFound, match="workspace"):
                await call
        elif not role.includes(Role.EDITOR):
            with pytest.raises(Forbidden, match="read logs"):
                await call
        else:
            assert await call


async def test_a_run_of_another_workspaces_cluster_is_not_told_apart_from_none(office: Office) -> None:
    cluster, ann = await office.running(), await office.caller("ann")
    other = await office.services.directory.create_workspace(ann, "other")
    messages = set()
    for owner in (cluster.instance, InstanceId(new_instance_id(cluster.id))):
        assert owner is not None
        with pytest.raises(NotFound) as raised:
            await office.services.logs.files(ann, other.id, owner)
        messages.add(str(raised.value).replace(owner, "it"))
    assert len(messages) == 1
