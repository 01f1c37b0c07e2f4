"""The play itself: server, cluster, job, and everything away again; each phase with the time it took."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
import httpx

from heliostat.client.errors import HeliostatError, NotFound

from ..app import App
from ..durations import seconds
from ..exits import ExitCode
from ..failures import Failure, explained
from ..progress import NoBoard, board
from ..waiting import arrive, vanish
from . import job
from .place import Busy, Place
from .server import DemoServer

if TYPE_CHECKING:
    from heliostat.client import Client, ClusterInfo

NAME = "demo"
WORKERS = 2
JOB_SECONDS = 120.0
REMOVAL = timedelta(seconds=60)
PRIVATE = ("HELIOSTAT_ENDPOINT", "HELIOSTAT_TOKEN", "HELIOSTAT_WORKSPACE", "HELIOSTAT_PROFILE", "HELIOSTAT_PROFILES")


@dataclass
class Demo:
    """One performance."""

    app: App
    place: Place
    release: str | None = None
    keep: bool = False
    timeout: timedelta | None = None
    server: DemoServer | None = None
    client: Client | None = None
    unclean: Failure | None = None
    """Why the folder could not be cleared."""
    began: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """All of it. Raises Failure with the cause; nothing is left behind then either."""
        with self._alone(), _terminated():
            self._spare_the_kept()
            done = False
            try:
                self._up()
                info = self._cluster()
                result = self._job(info)
                self._told(result, info)
                done = True
            except (HeliostatError, httpx.HTTPError) as error:
                self._explain(error)
            finally:
                if not (done and self.keep):
                    self._down()
            if self.unclean is not None:
                raise self.unclean
            self._afterwards()

    def stop(self) -> None:
        """End a demo that was kept, or the remains of one that was killed."""
        with self._alone():
            note = self.place.note()
            if note is not None and note.alive:
                self.server = DemoServer(self.place, note)
                self.client = self.server.client()
            elif note is None:
                self.app.say(f"no demo is running in {self.place.root}")
                return
            else:  # its clusters may live on without it: a server finds and removes them
                self._up()
            self._down()
            if self.unclean is not None:
                raise self.unclean

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Only this demo in the folder, and only its server in the environment."""
        for name in PRIVATE:
            os.environ.pop(name, None)
        os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1", "localhost"]))
        try:
            with self.place.claimed():
                yield
        except Busy as error:
            raise Failure(str(error), code=ExitCode.CONFLICT, remedy="wait until it has ended") from error

    def _spare_the_kept(self) -> None:
        note = self.place.note()
        if note is not None and note.kept and note.alive:
            raise Failure(
                f"a demo is still running at {note.endpoint}",
                code=ExitCode.CONFLICT,
                remedy=f"end it with: {program()} demo --stop",
            )

    def _up(self) -> None:
        note = self.place.note()
        if note is not None and note.alive:
            DemoServer(self.place, note).stop()
        with self._phase("server") as end:
            self.server = DemoServer.start(self.place, os.environ)
            self.client = self.server.client()
            self.release = self.release or self._usable(self.client)
            end(self.server.endpoint)
        if any(self.client.clusters.list()):
            with self._phase("clean up") as end:
                self._without_clusters(self.server)
                end("removed what an earlier demo left")

    def _cluster(self) -> ClusterInfo:
        client, server = self._parts()
        made = client.clusters.create(NAME, workers=WORKERS, cpu=1, memory="1Gi", release=self.release or "")
        with board(self.app, "cluster", f"1 head, {WORKERS} workers, {made.release}") as shown:
            return arrive(client, made.id, "Running", shown, timeout=self.timeout, check=server.check)

    def _usable(self, client: Client) -> str:
        """The default release, or the first that can run on this machine."""
        rows = sorted(client.releases.list(), key=lambda row: not row.default)
        for row in rows:
            if row.problem is None:
                return row.name
        raise Failure(f"no release can run on this machine: {rows[0].problem if rows else 'the catalogue is empty'}")

    def _job(self, info: ClusterInfo) -> job.Result:
        _, server = self._parts()
        if info.endpoints is None or info.endpoints.submit_token is None:
            raise server.failure("the cluster runs, but no address of its Jobs API was given")
        with (
            self._phase("job") as end,
            contextlib.closing(job.Jobs(info.endpoints.job_url, info.endpoints.submit_token)) as jobs,
        ):
            try:
                result = job.run(jobs, deadline=time.monotonic() + JOB_SECONDS, check=server.check)
            except (job.JobFailed, TimeoutError) as error:
                raise server.failure(str(error)) from error
            if len({row.node for row in result.reports}) != WORKERS + 1:
                raise server.failure(f"{len(result.reports)} nodes answered, not {WORKERS + 1}")
            end(f"{result.job} reports from {len(result.reports)} nodes")
        return result

    def _told(self, result: job.Result, info: ClusterInfo) -> None:
        """The result, on stdout."""
        for row in result.reports:
            click.echo(
                f"      node {row.node[:8]}  {row.kind:<8} process {row.pid:<8} {row.hits:>7,} of {row.samples:,} points inside"
            )
        click.echo(f"      so pi is about {result.pi:.4f}, says Ray {result.ray}")
        assert info.endpoints is not None  # _job has seen it
        click.echo(f"\n  {click.style('dashboard', bold=True)}  {info.endpoints.dashboard_url}\n")

    def _down(self) -> None:
        """Everything away but the environments. Ctrl-C does not disturb it; each step has a limit.

        What cannot be removed is noted in ``unclean``, so that it hides no earlier cause.
        """
        with _undisturbed():
            try:
                with self._phase("clean up") as end:
                    self._remove()
                    end(self._nothing_left())
            except (HeliostatError, Failure) as error:
                text = f"something is left of the demo: {explained(error).message}"
                self.unclean = Failure(text, remedy=f"try again with: {program()} demo --stop")
        if self.client is not None:
            self.client.close()

    def _remove(self) -> None:
        if self.server is not None:
            try:
                self._without_clusters(self.server)
            finally:
                self.server.stop()
        self.place.clear()

    def _without_clusters(self, server: DemoServer) -> None:
        """Delete them all and wait until they are gone; nothing to do when the server never answered."""
        client = self.client
        if client is None:
            return
        for row in list(client.clusters.list()):
            with contextlib.suppress(NotFound):  # it is on its way out already
                client.clusters.delete(row.id, stop=True)
            vanish(client, row.id, NoBoard(), timeout=REMOVAL, check=server.check)

    def _nothing_left(self) -> str:
        if not self.place.environments.is_dir():
            return "nothing is left"
        return f"nothing is left; for the next time: {self.place.environments}"

    def _afterwards(self) -> None:
        total = seconds(time.monotonic() - self.began)
        say = self.app.say
        if not self.keep or self.server is None:
            say(f"\n  all of it took {total}. Go on with:\n")
            again = "make demo KEEP=1" if "MAKELEVEL" in os.environ else f"{program()} demo --keep"
            rows = (
                (again, "the same, but cluster and dashboard stay"),
                (f"{program()} serve", "your own server"),
                (f"{program()} cluster create mine --workers 2", "in another terminal: your own cluster"),
            )
            width = max(len(command) for command, _ in rows)
            for command, meaning in rows:
                say(f"    {command:<{width}}   {click.style(meaning, dim=True)}")
            return
        self.place.write(replace(self.server.note, kept=True))
        token = f"$({program()} cluster get {NAME} --show-secrets --field endpoints.submit_token)"
        say(f"  up after {total}, and it goes on. Try:\n")
        say(f"    export HELIOSTAT_HOME={shlex.quote(str(self.place.root))}")
        say(f"    {program()} cluster get {NAME}")
        say(f"    {program()} cluster nodes {NAME} --watch")
        say(f"    {program()} cluster why {NAME}")
        say(f"    ray job submit --address {self.server.endpoint} \\")
        say(f'      --headers "{{\\"ray-token\\": \\"{token}\\"}}" \\')
        say("      -- python -c 'import ray; ray.init(); print(ray.cluster_resources())'")
        say("\n  and end it with:\n")
        say(f"    {program()} demo --stop")

    def _explain(self, error: HeliostatError | httpx.HTTPError) -> None:
        """Raise the error again with the end of the server's log."""
        if self.server is None:
            raise error
        self.server.check()
        known = (
            explained(error) if isinstance(error, HeliostatError) else Failure(f"the gateway does not answer: {error}")
        )
        failure = self.server.failure(known.message)
        failure.code = known.code
        raise failure from error

    def _parts(self) -> tuple[Client, DemoServer]:
        if self.client is None or self.server is None:
            raise RuntimeError("the server was not started")
        return self.client, self.server

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[Callable[[str], None]]:
        """One line: what it is, how long it took, what came of it. Yields how to say the last."""
        began, outcome = time.monotonic(), [""]
        line = f"{name:<12}"
        if self.app.lively:
            click.echo(f"  {click.style('…', fg='cyan')} {line}", err=True, nl=False)
        good = False
        try:
            yield lambda text: outcome.__setitem__(0, text)
            good = True
        finally:
            mark = click.style("✓", fg="green") if good else click.style("✗", fg="red")
            start = "\r\033[2K" if self.app.lively else ""
            took = f"{seconds(time.monotonic() - began):>9}"
            self.app.say(f"{start}  {mark} {line}{took}  {click.style(outcome[0], dim=True)}".rstrip())


def program() -> str:
    """How the user can call this program again: by name if the shell finds it, else by its path."""
    own = Path(sys.argv[0])
    if own.name != "heliostat":
        return f"{Path(sys.executable)} -m heliostat.cli.main"
    found = shutil.which("heliostat")
    if found is not None and Path(found).resolve() == own.resolve():
        return "heliostat"
    with contextlib.suppress(ValueError):
        return str(own.absolute().relative_to(Path.cwd()))
    return str(own.absolute())


@contextlib.contextmanager
def _terminated() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: in good order."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
