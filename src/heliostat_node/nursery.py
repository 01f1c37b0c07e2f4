"""Forks Ray's Python helpers (agents, log monitor) from a process that has their modules imported already.

Each of them would spend 0.5 to 1 second of CPU on imports, and a node has three. The shim forks its nursery first of all,
while it is a clean copy of the zygote: one thread, no gRPC. It serves a socket in the node's directory; the commands are
wrapped (:func:`wrapped`) so that they run :mod:`heliostat_node.trampoline`, which asks it. A helper dies with its
trampoline and with the nursery, the nursery dies with the shim, so liveness and kills mean what they meant before. What the
nursery does not know it refuses, and the trampoline executes it instead.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import importlib
import json
import logging
import multiprocessing.util
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import traceback
import types
from pathlib import Path
from typing import Any, NoReturn

from heliostat_node import driver_patch, processes
from heliostat_node.features import features

PR_SET_PDEATHSIG = 1
TRAMPOLINE = Path(__file__).with_name("trampoline.py")

SCRIPTS = (
    "ray/dashboard/agent.py",
    "ray/dashboard/dashboard.py",
    "ray/_private/runtime_env/agent/main.py",
    "ray/_private/log_monitor.py",
    "heliostat_node/client_server.py",
)
"""Ends of the paths of what may be forked."""

CHILD_CODE = ("from multiprocessing.spawn import", "from multiprocessing.forkserver import")
"""Beginnings of what Python's multiprocessing runs for the dashboard's modules."""

SETTINGS = (("ray.dashboard.consts", "DASHBOARD_METRIC_PORT"), ("ray.dashboard.head", "DASHBOARD_METRIC_PORT"))
"""Whole numbers that Ray reads from a variable of that name when a module is imported."""

MODULES = (
    "aiohttp.web",
    "grpc.aio",
    "ray._private.log_monitor",
    "ray._private.process_watcher",
    "ray._private.runtime_env.agent.runtime_env_agent",
    "ray.dashboard.agent",
    "ray.dashboard.dashboard",
    "ray.dashboard.http_server_agent",
    "ray.dashboard.http_server_head",
    "ray.util.client.server.server",
)

AGENT_OPTIONS = ("--dashboard_agent_command=", "--runtime_env_agent_command=")
"""Options of the raylet that hold a command line."""

MOST_DESCRIPTORS = 64

FLAGS = ("-u", "-I", "-s", "-E")
"""Options of Python that change nothing for a fork."""

REQUEST_SECONDS = 10.0

log = logging.getLogger("heliostat.nursery")


def preload() -> None:
    """Import what the helpers need, for the zygote. A helper whose modules are not here is only slower."""
    logging.disable(logging.WARNING)
    try:
        for module in MODULES:
            importlib.import_module(module)
        import ray._raylet
        import ray.dashboard.utils

        if not hasattr(ray._raylet, "setproctitle"):
            importlib.import_module(
                "setproctitle"
            ).getproctitle()  # finds its memory while the environment is untouched
        ray.dashboard.utils.get_all_modules(ray.dashboard.utils.DashboardAgentModule)
    except ImportError:
        log.warning("not all helpers can be imported beforehand", exc_info=True)
    finally:
        logging.disable(logging.NOTSET)


def wrapped(command: list[str], path: Path) -> list[str]:
    """A command as the nursery's trampoline runs it: itself if it can be forked, the raylet's agents inside its options."""
    prefix = [sys.executable, "-I", "-S", str(TRAMPOLINE), str(path)]
    if script(command) is not None:
        return [*prefix, *command]
    start = subprocess.list2cmdline(prefix) + " "
    return [_wrap_option(word, start) for word in command]


def _wrap_option(word: str, start: str) -> str:
    option = next((option for option in AGENT_OPTIONS if word.startswith(option)), None)
    return word if option is None else option + start + word.removeprefix(option)


def script(command: list[str]) -> int | None:
    """Where the script, or ``-c``, stands in a command that may be forked; None for any other command."""
    if command[0] != sys.executable:
        return None
    place = next((index for index, word in enumerate(command) if index and word not in FLAGS), len(command))
    if place < len(command) and command[place].endswith(SCRIPTS):
        return place
    if command[place : place + 1] == ["-c"] and command[place + 1].startswith(CHILD_CODE):
        return place
    return None


def start(path: Path) -> int:
    """Fork the nursery of this shim, listening at ``path``; returns its pid. Only while the shim has one thread."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(16)
    parent = os.getpid()
    pid = os.fork()
    if pid:
        listener.close()
        return pid
    try:
        _die_with(parent)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        kept = os.dup2(listener.detach(), 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        Nursery(socket.socket(fileno=kept)).serve()
    except BaseException:  # noqa: BLE001  # the process boundary
        traceback.print_exc()
    finally:
        os._exit(1)


class Nursery:
    """Accepts one connection per helper, forks it, and tells the connection when it ends."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._helpers: dict[int, socket.socket] = {}

    def serve(self) -> NoReturn:
        """Until killed."""
        woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._selector.register(woken, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fd == woken:
                    os.read(woken, 4096)
                    self._bury()
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    self._abandon(key.data)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(REQUEST_SECONDS)
        descriptors: list[int] = []
        try:
            header, descriptors, _, _ = socket.recv_fds(connection, 8, MOST_DESCRIPTORS)
            request = json.loads(_receive(connection, int.from_bytes(header, "big")))
            if script(request["command"]) is None or len(descriptors) != len(request["descriptors"]):
                connection.sendall(b"{}\n")
                connection.close()
                return
            pid = self._fork(request, descriptors)
            self._helpers[pid] = connection
            self._selector.register(connection, selectors.EVENT_READ, pid)
            connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")
        except (OSError, ValueError, KeyError):
            log.exception("a helper could not be forked")
            if connection not in self._helpers.values():
                connection.close()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become(request, descriptors, parent)
        return pid

    def _bury(self) -> None:
        for pid, status in processes.reap().items():
            connection = self._helpers.pop(pid, None)
            if connection is None:
                continue
            self._selector.unregister(connection)
            try:
                connection.sendall(json.dumps({"status": status}).encode() + b"\n")
            except OSError:
                log.warning("the trampoline of %d is gone", pid)
            connection.close()

    def _abandon(self, pid: int) -> None:
        """The trampoline has died, so its helper must; nothing is to be told any more."""
        connection = self._helpers.pop(pid, None)
        if connection is None:
            return
        self._selector.unregister(connection)
        connection.close()
        processes.send([pid], signal.SIGKILL)


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("the trampoline closed the connection")
        data += piece
    return data


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process with its parent; the parent may be dead already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _become(request: dict[str, Any], descriptors: list[int], parent: int) -> NoReturn:
    """Be the helper, as far as it can tell: arguments, environment, files, signals, modules."""
    code: Any = 1
    try:
        _die_with(parent)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _take(descriptors, request["descriptors"])
        os.chdir(request["directory"])
        os.environ.clear()
        os.environ.update(request["environment"])
        try:
            _settle(request)
        except Exception:  # noqa: BLE001  # a release that is not as expected: slower, but right
            traceback.print_exc()
            os.execvp(request["command"][0], request["command"])
        if sys.argv[0] == "-c":
            sys.modules["__main__"] = types.ModuleType("__main__")
            exec(sys.argv.pop(1), vars(sys.modules["__main__"]))  # as "python -c" does
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  # the process boundary
        traceback.print_exc()
    finally:
        try:
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _take(descriptors: list[int], places: list[int]) -> None:
    """Have the received files, and no others, at the numbers that they had in the trampoline."""
    above = max(*places, *descriptors) + 1
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, above) for descriptor in descriptors]
    for descriptor, place in zip(moved, places, strict=True):
        os.dup2(descriptor, place)
    start = 0
    for place in sorted(places):
        os.closerange(start, place)
        start = place + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def _settle(request: dict[str, Any]) -> None:
    import ray._private.state
    import ray._raylet

    command = request["command"]
    place = script(command)
    assert place is not None
    ray._raylet.Config.initialize("")
    package = str(Path(__file__).parents[1])
    sys.argv = command[place:]
    sys.path[:] = [path for path in sys.path if path != package]
    if sys.argv[0] != "-c":
        _set_title(f"ray::{Path(command[place]).parent.name}/{Path(command[place]).name}")
        sys.path.insert(0, str(Path(command[place]).parent))
    for module, name in SETTINGS:
        if module in sys.modules and name in os.environ:
            setattr(sys.modules[module], name, int(os.environ[name]))
    if sys.argv[0].endswith("dashboard.py"):
        _fork_children(request["socket"])
    logging.root.handlers.clear()
    if features(ray.__version__).drivers_go_astray:
        driver_patch.apply(ray._private.state)
    raylet = os.environ.get("RAY_RAYLET_PID")
    if raylet is not None:
        _claim_family(importlib.import_module("psutil"), int(raylet), request["pid"])


def _fork_children(path: str) -> None:
    """The dashboard's modules are processes that multiprocessing starts by exec; have those forked as well."""
    original = multiprocessing.util.spawnv_passfds

    def spawnv_passfds(program: Any, arguments: Any, descriptors: Any) -> int:
        command = [os.fsdecode(program), *map(os.fsdecode, arguments[1:])]
        if script(command) is None:
            return int(original(program, arguments, descriptors))
        return int(original(program, wrapped(command, Path(path)), descriptors))

    vars(multiprocessing.util)[spawnv_passfds.__name__] = spawnv_passfds


def _set_title(title: str) -> None:
    import ray._raylet

    if hasattr(ray._raylet, "setproctitle"):
        ray._raylet.setproctitle(title)
    else:
        importlib.import_module("setproctitle").setproctitle(title)


def _claim_family(psutil: Any, raylet: int, trampoline: int) -> None:
    """The agents look for the raylet among their parents, and for themselves and the node's workers below it."""
    parent_of, children_of = psutil.Process.parent, psutil.Process.children

    def parent(process: Any) -> Any:
        if process.pid != os.getpid():
            return parent_of(process)
        try:
            return psutil.Process(raylet)
        except psutil.NoSuchProcess:
            return None

    def children(process: Any, recursive: bool = False) -> Any:
        found = children_of(process, recursive)
        if process.pid == raylet:
            found = [child for child in found if child.pid != trampoline] + [psutil.Process()]
        return found

    psutil.Process.parent = parent
    psutil.Process.children = children
