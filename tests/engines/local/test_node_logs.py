"""Reading the log files of nodes, whatever users' code has put among them."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heliostat.domain.engine import NodeLog
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import InstanceId, NodeId
from heliostat.engines.local import node_logs as module
from heliostat.engines.local.layout import Layout
from heliostat.engines.local.node_logs import NodeLogs
from heliostat.engines.local.records import Grave, InstanceRecord, NodeRecord

from ..conformance import names, plan, until
from .kit import Lab, kill, of_kind

INSTANCE = InstanceId("i")
HEAD = NodeRecord("i-head", "head", "head", "h", 1.0, launched_at=1.0)
SECRET = b"of somebody else"


@dataclasses.dataclass
class Place:
    """The files of an instance with one head, and a reader of them."""

    layout: Layout
    reader: NodeLogs
    outside: Path
    """A file that must not be read."""
    record: InstanceRecord = InstanceRecord(INSTANCE, 1.0, nodes=(HEAD,))

    @property
    def logs(self) -> Path:
        return self.layout.real_temps(INSTANCE) / "h" / "s" / "logs"

    @property
    def directory(self) -> Path:
        return self.layout.instance(INSTANCE) / "nodes" / "i-head.0"

    async def names(self) -> list[str]:
        return [file.name for file in await self.reader.files(INSTANCE, self.record)]

    async def read(self, name: str, offset: int = 0, size: int = 1000, node: str = "i-head") -> bytes | None:
        file = NodeLog(NodeId(node), name, 0, datetime.now(UTC))
        return await self.reader.read(INSTANCE, self.record, file, offset, size)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    short = Path(tempfile.mkdtemp(prefix="hs", dir="/tmp"))
    layout = Layout(tmp_path / "state", short)
    layout.make()
    layout.create(INSTANCE, {})
    outside = tmp_path / "outside.log"
    outside.write_bytes(SECRET)
    place = Place(layout, NodeLogs(layout), outside)
    place.logs.mkdir(parents=True)
    place.directory.mkdir()
    (place.logs / "raylet.out").write_bytes(b"0123456789")
    yield place
    place.reader.close()
    shutil.rmtree(short)


async def test_files_of_ray_and_of_the_shim_in_all_folders_are_listed_in_order(place: Place) -> None:
    for name in ("events/event_GCS.log", "serve/x/replica.log", "worker-a.out", "dashboard.log"):
        (place.logs / name).parent.mkdir(parents=True, exist_ok=True)
        (place.logs / name).write_text("text")
    (place.directory / "shim.log").write_text("the shim")
    found = await place.reader.files(INSTANCE, place.record)
    assert [file.name for file in found] == [
        "dashboard.log", "events/event_GCS.log", "raylet.out", "serve/x/replica.log", "shim.log", "worker-a.out",
    ]  # fmt: skip
    assert {file.node for file in found} == {"i-head"}
    assert found[2].size == 10
    assert found[2].modified_at.timestamp() == pytest.approx((place.logs / "raylet.out").stat().st_mtime)
    assert await place.read("serve/x/replica.log") == b"text"
    assert await place.read("shim.log", 4) == b"shim"


async def test_a_node_without_files_has_none(place: Place) -> None:
    place.record = dataclasses.replace(place.record, nodes=(dataclasses.replace(HEAD, node="i-w9", temp="w9"),))
    assert await place.names() == []
    assert await place.read("raylet.out") is None
    assert await place.read("raylet.out", node="i-w9") is None


async def test_a_huge_size_takes_no_more_memory_than_the_file(place: Place) -> None:
    assert await place.read("raylet.out", 3, 1 << 60) == b"3456789"
    assert await place.read("raylet.out", 1 << 60, 1 << 60) == b""


@pytest.mark.parametrize(
    "name",
    [
        "../../../../../../../outside.log", "./raylet.out", "raylet.out/", "/raylet.out", "", ".", "..", "a//b",
        "raylet.out/x", "\0", "raylet.out\0", "\udc80", "x" * 5000, "shim.0.log", "shim.1.log", "shim.01.log",
    ],
)  # fmt: skip
async def test_a_name_that_is_no_name_of_a_file_is_not_there(place: Place, name: str) -> None:
    (place.directory / "shim.log").write_text("the shim")
    assert await place.read(name) is None


async def test_an_absolute_path_is_not_followed(place: Place) -> None:
    assert await place.read(str(place.outside)) is None
    assert await place.read("/" + str(place.outside)) is None


async def test_links_are_neither_listed_nor_followed(place: Place) -> None:
    (place.logs / "file.log").symlink_to(place.outside)
    (place.logs / "near.log").symlink_to("raylet.out")
    (place.logs / "folder").symlink_to(place.outside.parent)
    assert await place.names() == ["raylet.out"]
    for name in ("file.log", "near.log", "folder/outside.log"):
        assert await place.read(name) is None


@pytest.mark.parametrize("depth", [0, 1, 2], ids=["logs", "s", "temp"])
async def test_a_log_folder_that_became_a_link_is_not_followed(place: Place, depth: int) -> None:
    moved = (place.logs, *place.logs.parents)[depth]
    moved.rename(place.outside.parent / "moved")
    moved.symlink_to(place.outside.parent / "moved")
    assert (place.logs / "raylet.out").exists()
    assert await place.names() == []
    assert await place.read("raylet.out") is None


async def test_what_is_no_regular_file_is_neither_listed_nor_waited_for(place: Place) -> None:
    os.mkfifo(place.logs / "pipe.log")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(place.logs, os.O_PATH)
        listener.bind(f"/proc/self/fd/{here}/socket.log")
        os.close(here)
        assert await place.names() == ["raylet.out"]
        assert await place.read("socket.log") is None
    assert await place.read("pipe.log") is None
    assert await place.read("../logs") is None


async def test_nobody_can_pass_for_the_shim(place: Place) -> None:
    (place.logs / "shim.log").write_text("false")
    (place.logs / "shim.7.log").write_text("false")
    assert await place.names() == ["raylet.out"]
    assert await place.read("shim.log") is None
    (place.directory / "shim.log").symlink_to(place.outside)
    assert await place.names() == ["raylet.out"]
    assert await place.read("shim.log") is None


async def test_names_that_are_no_text_are_left_out(place: Place) -> None:
    for name in (b"\xff.log", b"a\nb.log", b"a\x1b[2J.log"):
        Path(os.fsdecode(bytes(place.logs) + b"/" + name)).touch()
    (place.logs / "Größe 中.log").write_text("text")
    assert await place.names() == ["Größe 中.log", "raylet.out"]
    assert await place.read("Größe 中.log") == b"text"


async def test_times_that_no_clock_shows_do_no_harm(place: Place) -> None:
    os.utime(place.logs / "raylet.out", (0, 1 << 43))
    assert len(await place.names()) == 1
    os.utime(place.logs / "raylet.out", (-5, -5))
    assert (await place.reader.files(INSTANCE, place.record))[0].modified_at.year == 1970


async def test_no_more_than_so_many_files_are_listed_and_those_at_the_top_first(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILES_PER_NODE", 5)
    (place.logs / "deep").mkdir()
    for number in range(20):
        (place.logs / "deep" / f"{number}.log").touch()
    found = await place.names()
    assert len(found) == 5
    assert "raylet.out" in found


async def test_folders_without_end_are_left_alone(place: Place) -> None:
    deep = place.logs.joinpath(*"abcdefghij")
    deep.mkdir(parents=True)
    (deep / "deep.log").touch()
    (deep.parents[1] / "there.log").touch()
    assert await place.names() == ["a/b/c/d/e/f/g/h/there.log", "raylet.out"]


async def test_every_attempt_of_a_head_keeps_its_own_shim_log(place: Place) -> None:
    place.record = dataclasses.replace(place.record, nodes=(dataclasses.replace(HEAD, attempt=2),))
    for number in range(3):
        folder = place.directory.with_name(f"i-head.{number}" if number != 1 else "i-head.1.fenced")
        folder.mkdir(exist_ok=True)
        (folder / "shim.log").write_text(f"attempt {number}")
    assert await place.names() == ["raylet.out", "shim.1.log", "shim.2.log", "shim.log"]
    assert [await place.read(name) for name in ("shim.log", "shim.1.log", "shim.2.log")] == [
        b"attempt 0", b"attempt 1", b"attempt 2",
    ]  # fmt: skip


async def test_dead_nodes_are_among_them(place: Place) -> None:
    place.record = dataclasses.replace(place.record, graves=(Grave("i-w1", "i-w1.0", "w1"),))
    logs = place.layout.real_temps(INSTANCE) / "w1" / "s" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.err").write_text("it hurts")
    found = [(file.node, file.name) for file in await place.reader.files(INSTANCE, place.record)]
    assert found == [("i-head", "raylet.out"), ("i-w1", "raylet.err")]
    assert await place.read("raylet.err", node="i-w1") == b"it hurts"


async def test_a_machine_that_cannot_open_files_is_not_mistaken_for_a_file_that_is_gone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(module.os, "open", full)
    with pytest.raises(Unavailable, match="Too many open files"):
        await place.read("raylet.out")
    with pytest.raises(Unavailable, match="Too many open files"):
        await place.names()


async def test_no_descriptor_is_left_open(place: Place) -> None:
    (place.logs / "link").symlink_to(place.outside)
    os.mkfifo(place.logs / "pipe")

    async def use() -> None:
        await place.names()
        for name in ("raylet.out", "link", "pipe", "nothing", "shim.log", "a/b"):
            await place.read(name)

    await use()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # the folder's own descriptor counts alike both times
    for _ in range(5):
        await use()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


# --- under the engine ------------------------------------------------------------------------------------------------


async def test_the_logs_of_a_worker_that_died_stay_readable(lab: Lab) -> None:
    wanted = plan(workers=1)
    await lab.engine.apply(wanted)
    seen = await until(lab.engine, wanted.instance, lambda seen: seen.complete and len(seen.nodes) == 2, "it is up")
    victim = of_kind(seen, "worker")[0]
    kill(victim)
    after = await until(
        lab.engine, wanted.instance, lambda now: now.complete and victim.node not in names(now), "it is replaced"
    )
    files = await lab.engine.log_files(wanted.instance)
    assert {file.node for file in files} == names(after) | {victim.node}
    file = next(file for file in files if file.node == victim.node)
    assert b"the fake shim lives" in (await lab.engine.read_log(wanted.instance, file, 0, 1000) or b"")


async def test_the_logs_of_an_instance_with_a_damaged_record_can_be_read(lab: Lab) -> None:
    wanted = plan(workers=1)
    await lab.engine.apply(wanted)
    await until(lab.engine, wanted.instance, lambda seen: seen.complete and len(seen.nodes) == 2, "it is up")
    before = await lab.engine.log_files(wanted.instance)
    await lab.engine.close()
    (lab.settings.state / "i" / wanted.instance / "record.json").write_text("{")
    await lab.open()
    assert (await lab.engine.observe(wanted.instance)).failure
    after = await lab.engine.log_files(wanted.instance)
    assert [(file.node, file.name) for file in after] == [(file.node, file.name) for file in before]
    assert b"the fake shim lives" in (await lab.engine.read_log(wanted.instance, after[0], 0, 1000) or b"")
