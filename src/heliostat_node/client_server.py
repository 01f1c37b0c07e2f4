"""Ray's client server of a head, kept off the ports of other clusters' client servers: run as a script, or forked.

For each client Ray starts a server of its own on the first port from 23000 on that nobody has at the moment; gRPC shares
ports (``SO_REUSEPORT``), so two clusters that look at the same moment take the same one, and a client lands in either.
Here a port is claimed first, under a name that only one process of the machine can hold. Imports nothing of ours.
"""

from __future__ import annotations

import random
import socket
import sys
from pathlib import Path
from typing import Any

SETUP_WORKER = "ray/_private/workers/setup_worker.py"
MODULE = ["-m", "ray.util.client.server"]
PROXY = "--mode=proxy"
CLAIM = "\0ray-client-port-{}"
"""An abstract socket name: the kernel gives it to one process, and takes it back when that ends."""


def direct(command: list[str]) -> list[str]:
    """The command as this script runs it if it is a node's client server, else as it is.

    Ray goes by way of a script that sets up a runtime environment; only the servers of single clients have one.
    """
    place = next((index for index, word in enumerate(command) if word.endswith(SETUP_WORKER)), None)
    if place is None or command[place + 1 : place + 3] != MODULE or PROXY not in command:
        return command
    return [*command[:place], __file__, *command[place + 3 :]]


def claim_ports(manager: type[Any]) -> None:
    """Change Ray's ``ProxyManager``: no port without its claim. Claims end when Ray says that the port is free again."""
    make = manager.__init__
    find = manager._get_unused_port
    claims: dict[int, socket.socket] = {}

    def __init__(self: Any, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        random.shuffle(self._free_ports)

    def _get_unused_port(self: Any, *args: Any) -> int:
        with self.server_lock:
            for port in set(self._free_ports) & set(claims):
                claims.pop(port).close()
            for _ in range(len(self._free_ports)):
                port = int(find(self, *args))
                claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    claim.bind(CLAIM.format(port))
                except OSError:
                    claim.close()
                    self._free_ports.append(port)
                    continue
                claims[port] = claim
                return port
        raise RuntimeError("No port is left for another Ray client.")

    manager.__init__ = __init__
    manager._get_unused_port = _get_unused_port


def spawn_without_fork(services: Any) -> None:
    """Have Ray start processes without Python code between fork and exec.

    In this process gRPC has threads, and a fork of it, which such code takes, ends before the exec one time in ten: then
    ``ray.init`` fails. Without, the kernel starts it at once. What is lost is the death of these servers with this
    process; they end by themselves when they have had no client for 30 s.
    """
    popen = services.ConsolePopen

    def spawn(*args: Any, preexec_fn: object = None, **options: Any) -> Any:
        return popen(*args, **options)

    services.ConsolePopen = spawn


def main() -> None:
    """Be ``python -m ray.util.client.server``."""
    here = str(Path(__file__).parent)
    sys.path[:] = [path for path in sys.path if path != here]
    from ray._private import services
    from ray.util.client.server import proxier, server

    claim_ports(proxier.ProxyManager)
    spawn_without_fork(services)
    server.main()


if __name__ == "__main__":
    main()
