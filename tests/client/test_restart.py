"""Readers of streams outlive the server that they read from."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path

import heliostat
from heliostat.engines.simulated import World
from heliostat.testing.harness import threaded


def test_a_follower_and_a_watcher_go_on_after_a_restart(tmp_path: Path) -> None:
    world = World()
    told: queue.Queue[str] = queue.Queue()

    with threaded(tmp_path, world=world) as first:
        client = heliostat.Client(first.url, first.token, first.workspace)
        cluster = client.clusters.create("demo").wait()

        def follow() -> None:
            for event in cluster.follow_events(after=0):
                told.put(event.reason)

        def watch() -> None:
            for seen in cluster.watch():
                told.put(f"state {seen.state}")

        readers = [threading.Thread(target=follow), threading.Thread(target=watch)]
        for reader in readers:
            reader.start()
        seen = {told.get(timeout=10) for _ in range(4)}
        assert seen == {"Created", "StartRequested", "Running", "state Running"}
        since = time.monotonic()
    assert time.monotonic() - since < 2.5, "open streams held up the stop"

    with threaded(tmp_path, world=world, port=first.port):
        client.clusters.stop("demo")
        reasons = [told.get(timeout=10)]
        while "Stopped" not in reasons:
            reasons.append(told.get(timeout=10))
        client.clusters.delete("demo")
        for reader in readers:
            reader.join(timeout=20)
            assert not reader.is_alive()
    assert [row for row in reasons if not row.startswith("state")] == ["StopRequested", "Stopped"]
    client.close()
