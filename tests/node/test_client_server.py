"""The client server's own port rule, without Ray; with it, in ``tests/gateway/test_ray_init.py``."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from heliostat_node import client_server, nursery

SETUP = "/e/ray/_private/workers/setup_worker.py"


class Manager:
    """As Ray's ``ProxyManager``, as far as it matters: any port that it looks at is free."""

    def __init__(self, ports: list[int]) -> None:
        self.server_lock = threading.RLock()
        self._free_ports = ports

    def _get_unused_port(self) -> int:
        return self._free_ports.pop(0)


def test_two_clusters_never_take_the_same_port_and_freed_ones_come_back() -> None:
    kinds = [type("First", (Manager,), {}), type("Second", (Manager,), {})]
    for kind in kinds:
        client_server.claim_ports(kind)
    first, second = [kind(list(range(1, 11))) for kind in kinds]
    taken = [first._get_unused_port() for _ in range(5)]
    others = [second._get_unused_port() for _ in range(5)]
    assert sorted(taken + others) == list(range(1, 11))
    first._free_ports[:] = [*first._free_ports, taken[0]]
    again = first._get_unused_port()
    assert again == taken[0]
    first._free_ports.append(again)


def test_a_nodes_client_server_runs_as_ours_and_a_single_clients_as_rays() -> None:
    start = [sys.executable, SETUP, "-m", "ray.util.client.server", "--port=1"]
    proxy = [*start, "--mode=proxy"]
    direct = client_server.direct(proxy)
    assert direct == [sys.executable, client_server.__file__, "--port=1", "--mode=proxy"]
    assert nursery.script(direct) == 1
    assert Path(client_server.__file__).is_absolute()
    for other in ([*start, "--mode=specific-server"], [sys.executable, "/e/ray/dashboard/agent.py"]):
        assert client_server.direct(other) == other
