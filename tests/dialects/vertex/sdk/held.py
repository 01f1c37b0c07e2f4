"""What held GETs cost the server: many looks at a resource that does not get ready, each on a connection of its own.

The requests are what ``vertex_ray`` sends while it waits for a cluster (Vertex contract, section 1.3), as plain as they can
be, so that the process which sends them can be small.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc

from heliostat.client import Client

CHECKOUT = Path(__file__).parents[4]
TAG = "model-builder/2.7.0+vertex_ray+google.cloud.aiplatform.vertex_ray.cluster_init.create_ray_cluster"
METHOD = "/google.cloud.aiplatform.v1beta1.PersistentResourceService/GetPersistentResource"
NEVER_SECONDS = 3600
QUIET_SECONDS = 1.5
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Door:
    """A server, and a cluster that is being started for ever."""

    pid: int
    place: str
    """``host:port`` of its TLS listener."""
    ca: Path
    token: str
    client: Client

    @property
    def name(self) -> str:
        return "projects/default/locations/us-central1/persistentResources/slow"

    def memory_mib(self) -> float:
        """Proportional set size of the server."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the kernel tells no Pss")

    def until_quiet(self) -> None:
        """Until the server does next to nothing: all that was sent has been taken in."""
        while (before := self._busy()) is not None:
            time.sleep(QUIET_SECONDS)
            if self._busy() - before < 0.05 * QUIET_SECONDS:
                return

    def _busy(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def slow_server() -> Iterator[Door]:
    with tempfile.TemporaryDirectory(prefix="hsheld") as folder:
        home = Path(folder)
        words = [sys.executable, "-m", f"{__package__}.simulated_server", folder, str(NEVER_SECONDS)]
        with (home / "server.log").open("wb") as log:
            process = subprocess.Popen(words, cwd=CHECKOUT, stdout=log, stderr=log)
        try:
            while not (home / "ready").exists():
                if process.poll() is not None:
                    raise RuntimeError((home / "server.log").read_text()[-4000:])
                time.sleep(0.05)
            made = json.loads((home / "credentials.json").read_text())
            with Client(made["endpoint"], made["token"], made["workspace_id"]) as client:
                client.clusters.create("slow")
                place, ca = (home / "ready").read_text().splitlines()
                yield Door(process.pid, place, Path(ca), made["token"], client)
        finally:
            process.terminate()
            process.wait(20)


async def over_grpc(door: Door) -> str:
    """One look, on a channel of its own; what the answer holds."""
    name = door.name.encode()
    with_own = [("grpc.use_local_subchannel_pool", 1)]
    trust = grpc.ssl_channel_credentials(door.ca.read_bytes())
    async with grpc.aio.secure_channel(door.place, trust, options=with_own) as channel:
        call = channel.unary_unary(METHOD)
        metadata = (("authorization", f"Bearer {door.token}"), ("x-goog-api-client", TAG))
        answer: bytes = await call(b"\x0a" + bytes([len(name)]) + name, metadata=metadata)
        return answer.decode(errors="replace")


async def over_rest(door: Door) -> str:
    """The same with HTTP/1.1."""
    host, _, port = door.place.rpartition(":")
    trust = ssl.create_default_context(cafile=door.ca)
    reader, writer = await asyncio.open_connection(host, int(port), ssl=trust, server_hostname=host)
    writer.write(
        f"GET /v1beta1/{door.name} HTTP/1.1\r\nhost: {door.place}\r\nconnection: close\r\n"
        f"authorization: Bearer {door.token}\r\nx-goog-api-client: {TAG}\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    return answer.decode()


WAYS = {"grpc": over_grpc, "rest": over_rest}


@dataclass(frozen=True)
class Cost:
    way: str
    count: int
    mib: float
    """By how much the server grew while all were held."""
    answers: tuple[str, ...]
    """What came when the cluster was deleted at last."""


async def cost(door: Door, way: str, count: int) -> Cost:
    """Hold so many looks at once. The first few are not counted: they make the server load what it needs only once."""
    look = WAYS[way]
    first = [asyncio.create_task(look(door)) for _ in range(5)]
    await asyncio.to_thread(door.until_quiet)
    before = door.memory_mib()
    held = [asyncio.create_task(look(door)) for _ in range(count)]
    await asyncio.to_thread(door.until_quiet)
    if early := [task.result() for task in (*first, *held) if task.done()]:
        raise RuntimeError(f"{len(early)} were not held: {early[0]}")
    mib = door.memory_mib() - before
    await asyncio.to_thread(door.client.clusters.get("slow").delete, stop=True)
    answers = await asyncio.gather(*first, *held)
    return Cost(way, count, mib, tuple(answers[len(first) :]))


def measured(way: str, count: int = 200) -> Cost:
    """On a server of its own, since what one way leaves behind would help the other."""
    with slow_server() as door:
        return asyncio.run(cost(door, way, count))
