"""Many jobs at once on one cluster, and one that prints more than fits into memory beside two that print now and then."""

from __future__ import annotations

import filecmp
import hashlib
import mmap
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from heliostat.client.sync.job import Job

from .support import Server, lines, seen, serving, settled, until

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(280)]
JOBS = 20
NUMBERS = 68_000_000
LEAST_BYTES = 600_000_000
MEMORY_BYTES = 400 << 20
"""Less than the log and what the server has without it."""
LAG_SECONDS = 10


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory, ray_environments_folder: Path) -> Iterator[Server]:
    """With a cluster called ``c``."""
    with serving(tmp_path_factory.mktemp("crowd"), ray_environments_folder) as server:
        server.client.clusters.create("c", cpu=8, memory="4Gi").wait(deadline=90)
        yield server


def test_twenty_jobs_at_once(crowded: Server) -> None:
    client = crowded.client
    began = time.monotonic()
    jobs = {}
    for number in range(JOBS):
        mark = crowded.marks / f"crowd-{number}"
        entrypoint = f"echo once >> {mark}; echo job {number}; sleep 1; echo job {number} over"
        jobs[number] = client.jobs.submit(entrypoint, name=f"crowd-{number}", cluster="c")
    submitted = time.monotonic()
    for job in jobs.values():
        job.wait(200, check=True)
    print(f"\n{JOBS} jobs were submitted in {submitted - began:.1f} s and over after {time.monotonic() - began:.1f} s")
    for number, job in jobs.items():
        settled(job)
        assert len(job.info.attempts) == 1
        assert (crowded.marks / f"crowd-{number}").read_text() == "once\n"
        assert lines(job.log(), "job") == [f"job {number}", f"job {number} over"]
    assert len(list(client.jobs.list(name="crowd-"))) == JOBS


@dataclass
class Reader:
    """Follows the log of a job that prints numbers and the time, and notes when it has got which."""

    job: Job
    lags: list[tuple[float, float]] = field(default_factory=list)
    """When a line was got, and how long after it was printed."""
    numbers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        rest = ""
        for text in self.job.follow():
            *whole, rest = (rest + text).split("\n")
            for line in whole:
                if line.startswith("tick "):
                    _, number, printed = line.split()
                    self.numbers.append(int(number))
                    self.lags.append((time.time(), time.time() - float(printed)))


def test_a_log_larger_than_its_memory_holds_up_nobody(crowded: Server) -> None:
    client, stop = crowded.client, crowded.marks / "ticks.stop"
    expected = subprocess.Popen(f"seq 1 {NUMBERS} | sha256sum", shell=True, stdout=subprocess.PIPE, text=True)
    ticks = f"n=0; while [ ! -e {stop} ]; do n=$((n+1)); echo tick $n $(date +%s.%N); sleep 0.2; done"
    small = [client.jobs.submit(ticks, cluster="c") for _ in range(2)]
    readers = [Reader(job) for job in small]
    until(lambda: all(reader.numbers for reader in readers), "both are followed")

    big = client.jobs.submit(f"seq 1 {NUMBERS}; echo over", name="big", cluster="c")
    seen(big, lambda job: job.logs() and job.logs()[0].size, "its first bytes are stored")
    began = time.time()
    settled(big)
    ended = time.time()
    (file,) = big.logs()
    assert file.complete and not file.note and file.size > LEAST_BYTES
    stop.touch()
    for job in small:
        job.wait(60, check=True)
    for reader in readers:
        reader.thread.join(60)
        assert not reader.thread.is_alive()
        assert reader.numbers == list(range(1, len(reader.numbers) + 1))
        lags = [lag for at, lag in reader.lags if began <= at <= ended]
        print(f"\n{len(lags)} lines in the {ended - began:.1f} s of the large log, the latest after {max(lags):.2f} s")
        assert len(lags) >= (ended - began) / 2, "lines came all the while"
        assert max(lags) < LAG_SECONDS
    print(f"the server had {crowded.peak_memory_bytes >> 20} MiB at most")
    assert crowded.peak_memory_bytes < MEMORY_BYTES

    stored = crowded.stored(f"{big.id}_driver.log")
    assert stored.stat().st_size == file.size
    assert filecmp.cmp(stored, crowded.source_of_log(big.id), shallow=False)
    told, _ = expected.communicate()
    assert sha256_of_output(stored, big) == told.split()[0]
    stored.unlink()  # retention would, in its own time


def sha256_of_output(log: Path, job: Job) -> str:
    """Of the numbers alone: Ray writes a line of its own in between, whenever its buffer is flushed."""
    own = f"Running entrypoint for job {job.id}: {job.info.entrypoint}\n".encode()
    digest = hashlib.sha256()
    with log.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        begin, end, place = text.find(b"\n1\n") + 1, len(text) - len(b"over\n"), text.find(own)
        assert begin and text[end:] == b"over\n"
        if place > begin:
            digest.update(text[begin:place])
            begin = place + len(own)
        while begin < end:
            digest.update(text[begin : min(end, begin + (8 << 20))])
            begin = min(end, begin + (8 << 20))
    return digest.hexdigest()
