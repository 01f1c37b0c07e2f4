"""Watches a running node: ends it when raylet or GCS die, restarts what may be restarted, stops it in order."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import time
from typing import NoReturn

from ray._private import ray_constants

from heliostat_node import gcs
from heliostat_node.launch import RayNode, death
from heliostat_node.shim import NodeDrained, NodeFailed
from heliostat_node.status import Status

RAYLET = ray_constants.PROCESS_TYPE_RAYLET
GCS = ray_constants.PROCESS_TYPE_GCS_SERVER

ORDERLY = ("EXPECTED_TERMINATION", "AUTOSCALER_DRAIN_PREEMPTED", "AUTOSCALER_DRAIN_IDLE")
"""Reasons of the GCS for a death that somebody asked for."""

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Wait before each further restart of a helper; the last one repeats."""

CALM_SECONDS = 60.0
"""A helper that lived this long starts at the first back-off again."""

STOP_SECONDS = 2.0
"""What the raylet, and then a GCS that keeps state, get after SIGTERM before SIGKILL."""

log = logging.getLogger("heliostat.watch")


def watch(node: RayNode, status: Status) -> NoReturn:
    """Stay until the node cannot go on: raises NodeFailed or NodeDrained with the reason, or what a signal handler raises."""
    Watch(node, status).run()


class Watch:
    """The loop of the main thread once the node is registered. Sleeps until a child ends or a restart is due."""

    def __init__(self, node: RayNode, status: Status) -> None:
        self._node = node
        self._status = status
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._started = dict.fromkeys(node.helpers, time.monotonic())

    def run(self) -> NoReturn:
        """Stay until the node cannot go on: raises NodeFailed."""
        woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        while True:
            self._reap()
            self._check()
            wait = min(self._due.values(), default=None)
            if select.select([woken], [], [], None if wait is None else max(0.0, wait - time.monotonic()))[0]:
                os.read(woken, 4096)

    def _reap(self) -> None:
        """Collect what ended: our own children through their Popen, adopted orphans directly."""
        own = {infos[0].process.pid: infos[0].process for infos in self._node.all_processes.values()}
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if ended.si_pid in own:
                own[ended.si_pid].poll()
            else:
                os.waitpid(ended.si_pid, 0)
                if ended.si_pid == self._node.nursery_pid:
                    raise NodeFailed("The process that the node's agents are forked from has ended.")

    def _check(self) -> None:
        for kind in (RAYLET, GCS):
            process = self._node.process(kind)
            if process is not None and process.returncode is not None:
                if kind == RAYLET and process.returncode == 0:
                    self._part()
                raise NodeFailed(death(kind, process.returncode, self._node.logs))
        now = time.monotonic()
        for kind in self._node.helpers:
            process = self._node.process(kind)
            if process is not None and process.returncode is None:
                continue
            if kind not in self._due:
                self._due[kind] = now + self._backoff(kind, now)
                log.warning("helper ended: kind=%s status=%s", kind, process and process.returncode)
            elif self._due[kind] <= now:
                self._restart(kind)

    def _part(self) -> None:
        """A raylet that ended well was told to; the GCS knows why. Raises NodeDrained then. A head has nowhere to go."""
        node = self._node
        if node.spec.kind == "head":
            return
        reason, message = gcs.death(
            node.gcs_address, node.cluster_id.hex(), self._status.current.ray_node_id, node.spec.token_path
        )
        if reason in ORDERLY:
            raise NodeDrained(f"Ray ended the node: {message or reason}", reason)

    def _backoff(self, kind: str, now: float) -> float:
        if now - self._started[kind] > CALM_SECONDS:
            self._failures[kind] = 0
        failures = self._failures.get(kind, 0)
        self._failures[kind] = failures + 1
        return BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]

    def _restart(self, kind: str) -> None:
        del self._due[kind]
        self._started[kind] = time.monotonic()
        restarts = self._status.current.restarts
        self._status.update(restarts={**restarts, kind: restarts.get(kind, 0) + 1})
        log.info("helper restarts: kind=%s", kind)
        try:
            self._node.start_helper(kind)
        except Exception:  # Ray raises bare Exceptions; the helper counts as ended and is tried again later
            log.exception("helper could not be started: kind=%s", kind)


def mourn(node: RayNode, reason: str) -> None:
    """Tell the cluster that this node ends, unless the cluster ends with it or never knew the node."""
    raylet = node.process(RAYLET)
    if node.spec.kind == "head" or raylet is None:
        return
    if raylet.poll() is None:
        stop(node)
    else:
        node.report_death(reason)


def stop(node: RayNode) -> None:
    """End the node in order: the raylet, which tells the GCS, then a GCS that keeps state. The caller kills the rest."""
    for kind in (RAYLET, GCS) if node.spec.gcs_storage_dir else (RAYLET,):
        process = node.process(kind)
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                log.warning("did not stop in time: kind=%s", kind)
