"""What the benchmarks share: a server in a process of its own, its CPU time, and a signed request."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
sys.path.insert(0, str(Path(__file__).parent.parent))  # for tests.environments, which the benchmarks share


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used, in seconds (resolution 1/SC_CLK_TCK)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid: int) -> float:
    """Proportional set size of a process in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel tells no Pss")


@dataclass(frozen=True)
class BenchServer:
    pid: int
    home: Path
    port: int
    credentials: dict[str, str]

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def native(self, connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> Any:
        """One call of the native API below the default workspace."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.credentials['token']}", "content-type": "application/json"}
        connection.request(method, f"/v1/workspaces/{self.credentials['workspace_id']}{path}", data, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text) if text else None

    def signed_headers(self, method: str, path: str, query: str = "") -> dict[str, str]:
        """The headers of a bodiless ACS3-HMAC-SHA256 request; ``query`` in canonical form."""
        empty = hashlib.sha256(b"").hexdigest()
        headers = {
            "host": f"127.0.0.1:{self.port}",
            "x-acs-content-sha256": empty,
            "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "x-acs-signature-nonce": secrets.token_hex(16),
            "x-acs-version": "2023-08-08",
        }
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = "\n".join((method, path, query, lines, names, empty))
        text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(request.encode()).hexdigest()
        secret = self.credentials["access_key_secret"].encode()
        signature = hmac.new(secret, text.encode(), "sha256").hexdigest()
        key = self.credentials["access_key_id"]
        return headers | {
            "authorization": f"ACS3-HMAC-SHA256 Credential={key},SignedHeaders={names},Signature={signature}"
        }

    def emr(self, connection: http.client.HTTPConnection, path: str, query: str = "") -> Any:
        """One signed GET of the EMR dialect below the default workspace."""
        full = f"/api/v1/workspaces/{self.credentials['workspace_id']}{path}"
        connection.request(
            "GET", full + (f"?{query}" if query else ""), headers=self.signed_headers("GET", full, query)
        )
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"GET {path}: {answer.status} {text[:300]!r}")
        return json.loads(text)


@contextlib.contextmanager
def server(engine: str, home: Path | None = None, *options: str) -> Iterator[BenchServer]:
    """A server on a free port, ended at the end of the block. ``options`` are those of ``heliostat serve``."""
    with contextlib.ExitStack() as stack:
        place = home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heliostat-bench-")))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        environment = os.environ | {"HELIOSTAT_ENGINE": engine, "HELIOSTAT_LOG_LEVEL": "warning"}
        config = place / "bench.toml"
        config.write_text("[emr]\nreads_per_second = 0\nwrites_per_second = 0\n")
        process = subprocess.Popen(
            [
                Path(sys.executable).parent / "heliostat",
                "serve",
                "--home",
                place,
                "--port",
                str(port),
                "--config",
                config,
                *options,
            ],
            env=environment,
            stderr=(place / "serve.log").open("wb"),
        )
        try:
            yield _answering(process, place, port)
        finally:
            process.terminate()
            process.wait(20)


def _answering(process: subprocess.Popen[bytes], home: Path, port: int) -> BenchServer:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {(home / 'serve.log').read_text()[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            credentials = json.loads((home / "credentials.json").read_text())
            return BenchServer(process.pid, home, port, credentials)
        time.sleep(0.05)
    raise RuntimeError("the server did not answer within 30 s")
