"""A process that has Ray imported and forks one shim per request, so that a node does not pay for the import.

Obituaries of nodes whose shims were killed, and requests to drain a node, are forked from it as well. It stays
single-threaded and never makes a gRPC object: both would be broken in its children. One zygote serves one Ray environment.
It speaks the line protocol at the end of :mod:`heliostat_node.protocol`, one request at a time in order. Its end, by end of
file or by a signal, does not touch the nodes: each shim is a session of its own and asks for no signal when its parent
dies.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from heliostat_node import drain, nursery, obituary, processes, resize, shim


class Zygote:
    """The request loop. ``control`` is the socket to the control plane."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._received = b""

    def serve(self) -> None:
        """Answer requests until the other end closes."""
        woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == woken:
                        os.read(woken, 4096)
                        processes.reap()
                    elif not self._receive():
                        return

    def _receive(self) -> bool:
        try:
            data = self._control.recv(1 << 16)
        except ConnectionError:
            return False
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            if line.strip() and not self._send(self._answer(line)):
                return False
        return bool(data)

    def _send(self, answer: dict[str, Any]) -> bool:
        try:
            self._control.sendall(json.dumps(answer).encode() + b"\n")
        except ConnectionError:
            return False
        return True

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except ValueError as error:
            return {"id": None, "error": f"The request is not JSON: {error}"}
        if not isinstance(request, dict):
            return {"id": None, "error": "The request is not a JSON object."}
        identity = request.get("id")
        match request:
            case {"op": "ping"}:
                return {"id": identity, "ray": shim.ray_version(), "python": platform.python_version()}
            case {"op": "start", "directory": str(directory)} if Path(directory).is_dir():
                return self._start(identity, lambda: shim.run(directory))
            case {
                "op": "mourn", "gcs_address": str(address), "ray_node_id": str(node),
                "token_path": str() | None as token, "reason": str(reason),
            }:  # fmt: skip
                return self._start(identity, lambda: obituary.run(address, node, token, reason))
            case {
                "op": "drain", "directory": str(directory), "deadline_ms": int(deadline), "reason": str(reason),
            } if Path(directory).is_dir():  # fmt: skip
                return self._start(identity, lambda: drain.run(directory, deadline, reason))
            case {"op": "start" | "drain", "directory": directory} if not Path(str(directory)).is_dir():
                return {"id": identity, "error": f"{directory!r} is not a directory."}
            case {
                "op": "resize", "gcs_address": str(address), "token_path": str() | None as token, "steps": list(steps),
                "result": str(result),
            }:  # fmt: skip
                return self._start(identity, lambda: resize.run(address, token, steps, result))
            case {"op": operation}:
                return {"id": identity, "error": f"There is no operation {operation!r}."}
            case _:
                return {"id": identity, "error": "The request has no 'op'."}

    def _start(self, identity: Any, run: Callable[[], NoReturn]) -> dict[str, Any]:
        try:
            return {"id": identity, "pid": self._fork(run)}
        except OSError as error:
            return {"id": identity, "error": f"The machine could not fork a process: {error}"}

    def _fork(self, run: Callable[[], NoReturn]) -> int:
        pid = os.fork()
        if pid:
            return pid
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        run()


def serve(descriptor: int) -> None:
    """Import Ray, then answer requests on a connected stream socket until its end."""
    shim.preload()
    nursery.preload()
    gc.collect()
    gc.freeze()
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        sys.exit("Importing Ray started a thread, so forking is not safe; use 'bootstrap.py node' for this release.")
    with socket.socket(fileno=os.dup(descriptor)) as control:
        Zygote(control).serve()
