"""The log storage cannot be used for a while, twice: during a job, and when it ends. Nothing is lost by it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .support import SHAPE, Server, digits, lines, seen, serving, settled, until

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(200)]
TROUBLE, MENDED = "logs cannot be collected just now", "logs are collected again"


class Disk:
    """A folder behind a link that leads nowhere while the disk is away."""

    def __init__(self, folder: Path) -> None:
        self.link, self._there, self._away = folder / "storage", folder / "disk", folder / "disk-away"
        self._there.mkdir()
        self.link.symlink_to(self._there)

    def leave(self) -> None:
        self._there.rename(self._away)

    def come_back(self) -> None:
        self._away.rename(self._there)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def server(tmp_path: Path, ray_environments_folder: Path, disk: Disk) -> Iterator[Server]:
    with serving(tmp_path, ray_environments_folder, f'[storage]\nurl = "file://{disk.link}"\n') as server:
        yield server


def test_storage_that_is_away_loses_nothing_and_keeps_the_cluster(server: Server, disk: Disk) -> None:
    marks = server.marks
    job = server.client.jobs.submit(digits("n", marks), cluster_spec=SHAPE)
    seen(job, lambda job: job.logs() and len(lines(job.log(), "n ")) >= 3, "it prints")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.extend(job.follow()), daemon=True)
    reader.start()
    until(lambda: got, "a reader follows it")

    disk.leave()
    until(lambda: server.log.count(TROUBLE) == 1, "that the storage is away is told")
    assert job.refresh().status == "Running"
    stored = job.logs()[0].size
    printed = server.source_of_log(job.id).stat().st_size
    until(lambda: server.source_of_log(job.id).stat().st_size > printed + 20, "the job goes on")
    assert job.logs()[0].size == stored
    disk.come_back()
    until(lambda: job.logs()[0].size > printed, "what was missing is stored while it runs")

    disk.leave()
    until(lambda: server.log.count(TROUBLE) == 2, "it is away again")
    (marks / "n.stop").touch()
    seen(job, lambda job: job.status == "Succeeded", "its end is told all the same")
    source = server.source_of_log(job.id)
    text = source.read_text()
    before = server.log.count("the folder ")
    until(lambda: server.log.count("the folder ") >= before + 3, "it is tried again and again to store the rest")
    job.refresh()
    assert not job.info.logs_complete and not job.info.settled
    assert server.clusters == [job.cluster_id], "the cluster waits for its logs"
    assert source.exists()

    disk.come_back()
    settled(job)
    assert job.info.logs_complete and job.exit_code == 0
    assert job.log() == text
    (count,) = (marks / "n.ended").read_text().split()
    assert lines(text, "n ") == [*(f"n {number}" for number in range(1, int(count) + 1)), "n over"]
    reader.join(30)
    assert not reader.is_alive()
    assert "".join(got) == text, "who followed it has got each character once"
    assert not any(event.reason == "LogLost" for event in job.events())
    assert MENDED in server.log
    server.nothing_is_left()
