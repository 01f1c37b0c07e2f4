"""Starting shims quickly: one zygote per environment, a child of the server that forks a shim per request.

A zygote is started when it is first needed or hinted at, ended when it was idle for a while, and started again when it
died. Where it cannot serve (it does not start, or answers with an error), the shim is started by itself, about a second
slower: same file, same arguments, same result. Zygotes end with the server; the nodes that they forked do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import structlog

from heliostat.domain.errors import Unavailable
from heliostat_node.protocol import LOG_FILE, start_ticks

from .clock import Clock
from .processes import ExitWatch, Shim

START_TIMEOUT_SECONDS = 60.0
ANSWER_TIMEOUT_SECONDS = 20.0
RESIZE_TIMEOUT_SECONDS = 30.0
END_TIMEOUT_SECONDS = 5.0
TRIES_AGAIN_AFTER_SECONDS = 60.0

log = structlog.get_logger(__name__)


class ZygoteFailed(Exception):
    """A zygote did not do what it was asked for; the message says why."""


def install_runtime(source: Path, target: Path) -> Path:
    """Copy ``heliostat_node`` to ``<target>/<hash>/heliostat_node`` and return its ``bootstrap.py``.

    By content, so that an upgrade of the server does not change the code below a running zygote.
    """
    files = sorted(path for path in source.rglob("*.py") if "__pycache__" not in path.parts)
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(source)}\0".encode() + path.read_bytes() + b"\0")
    final = target / digest.hexdigest()[:16]
    if not final.exists():
        coming = target / f".new-{final.name}"
        shutil.rmtree(coming, ignore_errors=True)
        for path in files:
            copy = coming / "heliostat_node" / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        coming.rename(final)
    return final / "heliostat_node" / "bootstrap.py"


class Zygote:
    """One running zygote process and the conversation with it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._next = 1
        self._lock = asyncio.Lock()

    @classmethod
    async def start(cls, python: Path, bootstrap: Path, output: Path, environment: Mapping[str, str]) -> Zygote:
        """Start the process and wait until it answers. Raises ZygoteFailed."""
        ours, theirs = socket.socketpair()
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                python, bootstrap, "zygote", stdin=theirs.fileno(), stdout=descriptor, stderr=descriptor,
                env=environment, cwd="/", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            ours.close()
            raise ZygoteFailed(f"{python} cannot be run: {error.strerror}") from error
        finally:
            os.close(descriptor)
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        zygote = cls(process, reader, writer)
        try:
            await zygote.ask("ping", within=START_TIMEOUT_SECONDS)
        except BaseException:
            await zygote.end()
            raise
        return zygote

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._writer.is_closing()

    async def ask(self, op: str, within: float = ANSWER_TIMEOUT_SECONDS, **arguments: object) -> dict[str, object]:
        """One request and its answer, ``within`` seconds. Raises ZygoteFailed."""
        async with self._lock:
            number, self._next = self._next, self._next + 1
            try:
                async with asyncio.timeout(within):
                    self._writer.write(json.dumps({"id": number, "op": op, **arguments}).encode() + b"\n")
                    await self._writer.drain()
                    while True:
                        line = await self._reader.readline()
                        if not line:
                            raise ZygoteFailed("the zygote ended")
                        answer = json.loads(line)
                        if answer.get("id") == number:
                            break
            except (OSError, TimeoutError, ValueError) as error:
                self._writer.close()
                raise ZygoteFailed(f"the zygote did not answer: {error or type(error).__name__}") from error
        if "error" in answer:
            raise ZygoteFailed(str(answer["error"]))
        return dict(answer)

    async def end(self) -> None:
        """Close the conversation, which ends the process; SIGKILL after a while."""
        self._writer.close()
        try:
            async with asyncio.timeout(END_TIMEOUT_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


@dataclass
class _Slot:
    """What is known about one environment's zygote."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    zygote: Zygote | None = None
    used_at: float = 0.0
    failed_at: float | None = None


class Zygotes:
    """Starts shims, by zygote where possible. ``environment`` is what the zygotes themselves get."""

    def __init__(
        self, bootstrap: Path, logs: Path, idle: timedelta, clock: Clock, environment: Mapping[str, str]
    ) -> None:
        self._bootstrap = bootstrap
        self._logs = logs
        self._idle = idle.total_seconds()
        self._clock = clock
        self._environment = dict(environment)
        self._slots: dict[Path, _Slot] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reaper: asyncio.Task[None] | None = None
        self._children = ExitWatch()
        self._kept: frozenset[Path] = frozenset()

    def prewarm(self, environment: Path) -> None:
        """Have a zygote of this environment soon; failures are only logged."""

        async def warm() -> None:
            with contextlib.suppress(ZygoteFailed):
                await self._zygote(environment)

        self._spawn(warm())

    async def start(self, environment: Path, directory: Path) -> int:
        """Start the shim of the node in ``directory`` with the environment's Python; its pid.

        Raises Unavailable when neither the zygote nor the direct way works.
        """
        for last in (False, True):
            try:
                zygote = await self._zygote(environment)
                answer = await zygote.ask("start", directory=str(directory))
                return int(str(answer["pid"]))
            except ZygoteFailed as failure:
                log.warning("zygote failed", environment=environment.name, cause=str(failure), last_try=last)
        return self._start_alone(environment, directory)

    def mourn(self, environment: Path, gcs_address: str, ray_node_id: str, token_path: str | None, reason: str) -> None:
        """Have Ray told soon that one of its nodes is dead. Failures are only logged: it finds out by itself, later."""

        async def tell() -> None:
            try:
                zygote = await self._zygote(environment)
                await zygote.ask(
                    "mourn", gcs_address=gcs_address, ray_node_id=ray_node_id, token_path=token_path, reason=reason
                )
            except ZygoteFailed as failure:
                log.warning("death not reported to Ray", environment=environment.name, cause=str(failure))

        self._spawn(tell())

    def drain(self, environment: Path, directory: Path, deadline_ms: int, reason: str) -> None:
        """Have Ray asked soon to drain the node in ``directory``, where the answer is left.

        Failures are only logged: there is no answer then, and it is asked for again.
        """

        async def ask() -> None:
            try:
                zygote = await self._zygote(environment)
                await zygote.ask("drain", directory=str(directory), deadline_ms=deadline_ms, reason=reason)
            except ZygoteFailed as failure:
                log.warning("drain not asked for", environment=environment.name, cause=str(failure))

        self._spawn(ask())

    async def resize(
        self,
        environment: Path,
        gcs_address: str,
        token: Path | None,
        steps: Sequence[Mapping[str, Mapping[str, float]]],
        result: Path,
    ) -> str:
        """Set resources of live nodes, one step after the other, each by Ray node id; see :mod:`heliostat_node.resize`.

        Returns when Ray offers them; what was in the way, or empty. The file ``result`` is for the answer.
        """
        ended = asyncio.Event()
        try:
            _remove(result)
            zygote = await self._zygote(environment)
            answer = await zygote.ask(
                "resize",
                gcs_address=gcs_address,
                token_path=None if token is None else str(token),
                steps=[{node: dict(amounts) for node, amounts in step.items()} for step in steps],
                result=str(result),
            )
            pid = int(str(answer["pid"]))
            process = Shim(pid, start_ticks(pid) or 0)
            self._children.watch(process, ended.set)
            try:
                async with asyncio.timeout(RESIZE_TIMEOUT_SECONDS):
                    await ended.wait()
            finally:
                self._children.forget(process)
            return _problem(result)
        except ZygoteFailed as failure:
            return str(failure)
        except TimeoutError:
            return f"Ray did not answer within {RESIZE_TIMEOUT_SECONDS:.0f} seconds"
        except FileNotFoundError:
            return f"the request ended without an answer; see {self._logs / environment.name}.log"
        except (OSError, ValueError, KeyError) as error:
            return f"the answer cannot be read: {error}"

    def keep(self, environments: Collection[Path]) -> None:
        """Let zygotes of these environments idle for as long as they like, and have them soon."""
        for environment in environments:
            if environment not in self._kept:
                self.prewarm(environment)
        self._kept = frozenset(environments)

    async def close(self) -> None:
        """End all zygotes."""
        tasks = [*self._tasks, *([self._reaper] if self._reaper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(slot.zygote.end() for slot in self._slots.values() if slot.zygote is not None))
        self._slots.clear()
        self._children.close()

    async def _zygote(self, environment: Path) -> Zygote:
        slot = self._slots.setdefault(environment, _Slot())
        async with slot.lock:
            now = self._clock.now().timestamp()
            slot.used_at = now
            if slot.zygote is not None and slot.zygote.alive:
                return slot.zygote
            if slot.zygote is not None:
                await slot.zygote.end()
                slot.zygote = None
            if slot.failed_at is not None and now - slot.failed_at < TRIES_AGAIN_AFTER_SECONDS:
                raise ZygoteFailed("the zygote did not start a moment ago")
            output = self._logs / f"{environment.name}.log"
            try:
                slot.zygote = await Zygote.start(
                    environment / "bin" / "python", self._bootstrap, output, self._environment
                )
            except ZygoteFailed as failure:
                slot.failed_at = now
                log.warning("zygote does not start", environment=environment.name, cause=str(failure), log=str(output))
                raise
            slot.failed_at = None
            if self._reaper is None or self._reaper.done():
                self._reaper = asyncio.create_task(self._end_idle(), name="zygotes-idle")
            return slot.zygote

    def _start_alone(self, environment: Path, directory: Path) -> int:
        output = os.open(directory / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # Not asyncio's subprocess: that one kills its process when the event loop goes, and nodes must live on.
            process = subprocess.Popen(
                [environment / "bin" / "python", self._bootstrap, "node", directory],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment, cwd="/",
            )  # fmt: skip
        except OSError as error:
            raise Unavailable(f"the node's process cannot be started: {error.strerror}") from error
        finally:
            os.close(output)
        ticks = start_ticks(process.pid)
        if ticks is not None:
            self._children.watch(Shim(process.pid, ticks), lambda: _reap(process))
        return process.pid

    async def _end_idle(self) -> None:
        while any(slot.zygote is not None for slot in self._slots.values()):
            await self._clock.sleep(self._idle / 2)
            limit = self._clock.now().timestamp() - self._idle
            for environment, slot in self._slots.items():
                async with slot.lock:
                    if slot.zygote is not None and slot.used_at <= limit and environment not in self._kept:
                        await slot.zygote.end()
                        slot.zygote = None
                        log.info("idle zygote ended", environment=environment.name)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _reap(process: subprocess.Popen[bytes]) -> None:
    process.poll()


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)


def _problem(file: Path) -> str:
    return str(json.loads(file.read_text())["problem"])
