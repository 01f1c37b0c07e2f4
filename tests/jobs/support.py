"""A server process that can be killed, and ways to look at what it keeps and at what runs beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from heliostat.client import Client, Unreachable
from heliostat.client.sync.job import Job
from tests.control.test_crashes_real import Killable, processes_of

from .nursery import Forked, Nursery

T = TypeVar("T")
DEADLINE = 90
NEWEST, OLDER = "2.60.0", "2.47.1"
SHAPE = {"cpu": 1, "memory": "1Gi"}


class Server(Killable):
    """Of one home folder, whose jobs leave marks in a folder outside of it."""

    def __init__(self, home: Path, marks: Path) -> None:
        super().__init__(home)
        self.marks = marks
        self.variables: dict[str, str] = {}
        """What its environment has besides our own."""
        self._clients: list[Client] = []
        self._nursery: Nursery | None = None

    def start(self) -> None:
        if self._nursery is None:
            self._nursery = Nursery({**os.environ, **self.variables})
        words = ["serve", "--home", self.home, "--port", self.port]
        process = self.process = self._nursery.start(words, self.home / "server.log")
        until(lambda: self._running(process) and self._answers(), "the server answers")

    def restart(self) -> None:
        """As after a power cut, as far as the server is concerned."""
        self.kill()
        self.start()

    def configure(self, text: str) -> None:
        (self.home / "config.toml").write_text(text)

    @property
    def client(self) -> Client:
        if not self._clients:
            self._clients.append(super().client)
        return self._clients[0]

    @property
    def log(self) -> str:
        return (self.home / "server.log").read_text(errors="replace")

    @property
    def clusters(self) -> list[str]:
        """Ids of all there are, those made for jobs included."""
        return [cluster.id for cluster in self.client.clusters.list(temporary=True)]

    @property
    def peak_memory_bytes(self) -> int:
        """The most that the process has ever had in memory."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))

    def source_of_log(self, submission: str) -> Path:
        """What Ray itself has written of a driver."""
        (found,) = (self.home / "local").rglob(f"job-driver-{submission}.log")
        return found

    def stored(self, name: str) -> Path:
        """The file of a log in the storage folder."""
        (found,) = (self.home / "storage").rglob(name)
        return found

    def nothing_is_left(self) -> None:
        """No cluster, no process of one, no folder of one."""
        until(lambda: not self.clusters, "the clusters are gone")
        until(lambda: not self._left_behind(), "their processes are gone")
        until(lambda: not list((self.home / "local" / "i").iterdir()), "their folders are gone")

    def close(self) -> None:
        """Remove everything that runs, whatever has happened."""
        try:
            with contextlib.suppress(Unreachable, FileNotFoundError, AssertionError):
                for job in self.client.jobs.list():
                    if not job.ended:
                        job.cancel()
                for cluster in self.client.clusters.list(temporary=True):
                    if cluster.info.job is None:
                        cluster.delete(stop=True)
                until(lambda: not self.clusters, "the clusters are gone")
        finally:
            for client in self._clients:
                client.close()
            if self.process is not None:
                self.end()
            if self._nursery is not None:
                self._nursery.close()
            while left := processes_of(self.home):  # only after a failure
                for line in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(line.split()[0]), signal.SIGKILL)
                time.sleep(0.05)

    def _left_behind(self) -> list[str]:
        """Processes of nodes. What the server keeps at hand to start the next ones with, a child of its own, is none."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task")
        own = {pid for task in children.iterdir() for pid in (task / "children").read_text().split()}
        return [line for line in processes_of(self.home) if line.split()[0] not in own]

    @staticmethod
    def _running(process: Forked) -> bool:
        assert process.poll() is None, "the server has ended; see its log"
        return True


@contextlib.contextmanager
def serving(folder: Path, environments: Path, configuration: str = "", **variables: str) -> Iterator[Server]:
    """A server that runs, with everything that it made removed at the end."""
    home, marks = folder / "home", folder / "marks"
    marks.mkdir(parents=True)
    (home / "local").mkdir(mode=0o700, parents=True)
    (home / "local" / "environments").symlink_to(environments)
    server = Server(home, marks)
    server.variables = variables
    if configuration:
        server.configure(configuration)
    try:
        server.start()
        yield server
    finally:
        server.close()


def until(condition: Callable[[], T], what: str, seconds: float = DEADLINE) -> T:
    """The first result that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return found


def seen(job: Job, condition: Callable[[Job], object], what: str) -> Job:
    """The job as soon as it is as wanted. Fails at once when it has ended otherwise."""

    def look() -> bool:
        job.refresh()
        if condition(job):
            return True
        assert not (job.info.settled and job.ended), f"{what}: it is {job.status}, {job.message}"
        return False

    until(look, what)
    return job


def settled(job: Job) -> Job:
    """The job once nothing remains to be done for it."""
    until(lambda: job.refresh().info.settled, f"{job.id} is settled")
    return job


def lines(text: str, beginning: str) -> list[str]:
    """What an entry point printed, without what Ray puts between it."""
    return [line for line in text.splitlines() if line.startswith(beginning)]


def digits(name: str, marks: Path) -> str:
    """An entry point that notes its beginning, prints a number ten times a second until it is told to end, and notes how
    far it came. The marks are ``<name>.begun``, ``<name>.stop`` and ``<name>.ended``."""
    begun, stop, ended = (marks / f"{name}.{mark}" for mark in ("begun", "stop", "ended"))
    return (
        f"echo once >> {begun}; n=0; while [ ! -e {stop} ]; do n=$((n+1)); echo {name} $n; sleep 0.1; done; "
        f"echo {name} over; echo $n >> {ended}"
    )
