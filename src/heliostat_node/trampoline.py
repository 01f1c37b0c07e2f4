"""Stands in for a process that the node's nursery forks: ``python -I -S trampoline.py <socket> <command...>``.

Who starts it (the raylet, for its agents) sees an ordinary child: it lives as long as the real process, passes signals on,
and ends with its status. Killing it kills the real one. When there is no nursery, or it does not take the command, this
process becomes the command by exec, which is only slower. Standard library only, and little of it: it must start fast.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import NoReturn

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(path: str, command: list[str]) -> NoReturn:
    """Ask for the process, then be its shadow."""
    descriptors = _inherited()
    request = {
        "command": command,
        "environment": dict(os.environ),
        "directory": os.getcwd(),  # noqa: PTH109  # pathlib is slow to import
        "descriptors": descriptors,
        "socket": path,
        "pid": os.getpid(),
    }
    data = json.dumps(request).encode()
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(path)
        socket.send_fds(connection, [len(data).to_bytes(8, "big")], descriptors)
        connection.sendall(data)
        answers = connection.makefile("r")
        pid = json.loads(answers.readline() or "{}").get("pid")
    except OSError:
        pid = None
    if pid is None:
        os.execvp(command[0], command)
    for number in FORWARDED:
        signal.signal(number, lambda received, frame: _pass_on(pid, received))
    try:
        line = answers.readline()
    except OSError:
        line = ""
    status = json.loads(line)["status"] if line else 1 << 8
    if os.WIFSIGNALED(status):
        fatal = os.WTERMSIG(status)
        if fatal in FORWARDED:
            signal.signal(fatal, signal.SIG_DFL)
        os.kill(os.getpid(), fatal)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


def _inherited() -> list[int]:
    """The files that this process was given: all that an exec would keep."""
    given = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # as above
        try:
            if os.get_inheritable(int(name)):
                given.append(int(name))
        except OSError:
            continue
    return sorted(given)


def _pass_on(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
