"""The shim: a daemon that owns exactly one Ray node, from its start to the last of its processes.

It takes the node's directory, makes itself the root of all the node's processes (a session and a child subreaper of its
own), starts Ray in it (:mod:`heliostat_node.launch`), then watches (:mod:`heliostat_node.watch`). It ends when it is told
to (SIGTERM: orderly and within seconds) or when the node cannot go on (raylet or GCS dead), and in every case kills all
that is below it first and leaves the reason in ``status.json``.

A shim that is itself killed with SIGKILL cannot do that; what is left then, and how it is found, is in
:mod:`heliostat_node.processes`. Everything here happens in the main thread: the kernel ties PDEATHSIG to the thread that
started a process, so a process started by a helper thread would die with it.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

from heliostat_node import processes
from heliostat_node.environment import node_environment
from heliostat_node.features import features
from heliostat_node.protocol import LOG_FILE, NodeSpec, NodeStatus, start_ticks
from heliostat_node.status import Status

LOCK_FILE = "shim.lock"
MODULES = ("ray.autoscaler.v2.utils", "heliostat_node.launch", "heliostat_node.watch")
PR_SET_CHILD_SUBREAPER = 36

log = logging.getLogger("heliostat.shim")


class Stopped(BaseException):
    """Raised in the main thread by SIGTERM or SIGINT. Not an Exception: Ray catches those while it starts a node."""


class NodeFailed(Exception):
    """The node cannot start or go on. The message is a sentence for the user."""


class NodeDrained(Exception):
    """Ray ended the node in order, as it was told to. The message is a sentence, ``death`` Ray's word for the reason."""

    def __init__(self, message: str, death: str) -> None:
        super().__init__(message)
        self.death = death


def preload() -> None:
    """Import all that a shim needs from Ray."""
    for module in MODULES:
        importlib.import_module(module)


def ray_version() -> str:
    """The version of the Ray that this environment has."""
    import ray

    return str(ray.__version__)


def run(directory: str) -> NoReturn:
    """Be the shim of the node in this directory until it ends; never returns. Exit status 0 = stopped as asked."""
    code = 70
    try:
        code = _run(Path(directory))
    except BaseException:  # noqa: BLE001  # the process boundary: anything that escapes belongs in the log, and this must not return
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(directory: Path) -> int:
    _redirect_output(directory / LOG_FILE)
    spec = NodeSpec.read(directory)
    lock = _lock(directory)
    if lock is None:
        log.error("another shim already runs this node; nothing was started")
        return 75
    os.environ.clear()
    os.environ.update(node_environment(spec, features(ray_version())))
    _lead()
    pid = os.getpid()
    status = Status(
        directory, NodeStatus(instance=spec.instance, node=spec.node, pid=pid, start_ticks=start_ticks(pid) or 0)
    )
    log.info("shim started: node=%s kind=%s ray=%s pid=%d", spec.node, spec.kind, ray_version(), pid)
    reason, code = "The shim failed; see shim.log.", 70
    try:
        reason, code = _live(spec, status)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        left = processes.kill_descendants(pid)
        if left:
            log.error("processes survived SIGKILL: %s", sorted(left))
        log.info("shim ends: %s", reason)
        status.update(phase="exited", exit_reason=reason, exited_at=time.time())
    return code


def _live(spec: NodeSpec, status: Status) -> tuple[str, int]:
    from heliostat_node import launch, watch

    node = None
    try:
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, _stop)
        node = launch.RayNode(spec, status)
        node.start()
        watch.watch(node, status)
    except Stopped:
        if node is not None:
            watch.stop(node)
        return "The node was stopped.", 0
    except NodeDrained as end:
        status.update(death=end.death)
        return str(end), 0
    except NodeFailed as failure:
        if node is not None:
            watch.mourn(node, str(failure))
        return str(failure), 1
    except Exception as error:  # Ray raises bare Exceptions while it starts a node
        log.exception("the node could not be started")
        return f"The node could not be started: {error or type(error).__name__}", 1


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Stopped


def _lead() -> None:
    """Become the leader of a session, and the parent of every orphan below."""
    pid = os.getpid()
    if os.getsid(0) != pid:
        if os.getpgrp() == pid:
            os.setpgid(0, os.getpgid(os.getppid()))
        os.setsid()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _redirect_output(path: Path) -> None:
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(empty)
    os.close(output)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)


def _lock(directory: Path) -> int | None:
    """Hold the directory for the life of this process; None when another shim has it. Children do not inherit it."""
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
