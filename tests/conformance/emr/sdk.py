"""The SDK as the tests use it: calls go to a process with the SDK in it, results and exceptions come back as values."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heliostat.testing.harness import HarnessServer

Json = dict[str, Any]
DEADLINE_SECONDS = 20
CAPITAL = ("EditWorkspaceQueue", "DeleteWorkspaceQueue")
"""Operations whose answers have ``RequestId`` (EMR contract, section 9)."""
DRIVER = Path(__file__).with_name("driver.py")


class SdkError(Exception):
    """What the SDK raised, attribute by attribute as user code sees it."""

    def __init__(self, seen: Json) -> None:
        super().__init__(seen["text"])
        self.type: str = seen["type"]
        self.code: str = seen.get("code", "")
        self.status_code: int = seen.get("status_code", 0)
        self.message: str = seen.get("message", "")
        self.request_id: str = seen.get("request_id", "")
        self.retry_after: int | None = seen.get("retry_after")
        self.data: Json = seen.get("data") or {}
        self.access_denied_detail: Json | None = seen.get("access_denied_detail")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Json
    body: Any


@dataclass
class Driver:
    """A process that has the SDK imported and answers one call after the other."""

    process: subprocess.Popen[str]

    @classmethod
    @contextlib.contextmanager
    def start(cls, python: Path) -> Iterator[Driver]:
        with tempfile.TemporaryDirectory() as home:
            # No profile files, no proxies, no credentials of whoever runs the tests.
            environment = {"HOME": home, "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
            process = subprocess.Popen(
                [python, DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            try:
                yield cls(process)
            finally:
                process.kill()
                process.communicate()

    def ask(self, command: Json) -> Reply:
        """Raises SdkError when the SDK raised."""
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the driver has no pipes")
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError("the driver has died")
        result = json.loads(line)
        if "error" in result:
            raise SdkError(result["error"])
        return Reply(**result)


@dataclass(frozen=True)
class Sdk:
    """One client: where it points, what it is given, sync or async."""

    driver: Driver
    config: Json
    workspace: str
    flavour: str = "sync"

    @classmethod
    def for_server(cls, driver: Driver, server: HarnessServer, *, ca: Path | None = None, bearer: bool = False) -> Sdk:
        credential: Json = {"access_key_id": server.access_key_id, "access_key_secret": server.access_key_secret}
        transport: Json = {"endpoint": f"127.0.0.1:{server.port}"}
        transport |= {"ca": str(ca)} if ca else {"protocol": "http"}
        return cls(driver, ({"bearer_token": server.token} if bearer else credential) | transport, server.workspace)

    def configured(self, **config: Any) -> Sdk:
        """Another client that differs in these options of ``Config``; None takes one away."""
        merged = self.config | config
        return replace(self, config={key: value for key, value in merged.items() if value is not None})

    def raw(self, operation: str, *path: str, request: Json | None = None, headers: Json | None = None) -> Reply:
        """The whole reply of ``operation``; the request's fields are named as on the wire."""
        command = {
            "flavour": self.flavour,
            "config": self.config,
            "operation": operation,
            "path": path,
            "request": request,
            "headers": headers,
        }
        reply = self.driver.ask(command)
        if reply.body is not None:
            spelt = "RequestId" if operation in CAPITAL else "requestId"
            assert reply.headers["x-acs-request-id"] == reply.body[spelt]
        return reply

    def __call__(self, operation: str, *path: str, **request: Any) -> Any:
        """The body of an operation with a request, in the client's own workspace unless ``path`` begins with another."""
        return self.raw(operation, *self._path(path), request=request).body

    def plain(self, operation: str, *path: str) -> Any:
        """The body of an operation that takes no request object."""
        return self.raw(operation, *self._path(path)).body

    def create(self, name: str, **fields: Any) -> str:
        """A cluster with one head and one worker, or as ``fields`` say; its id."""
        body = {"name": name, "headSpec": HEAD, "workerSpec": [WORKER]} | fields
        return str(self("CreateRayCluster", **body)["clusterId"])

    def get(self, cluster: str) -> Any:
        return self.plain("GetRayCluster", cluster)

    def state(self, cluster: str, *wanted: str) -> Any:
        """The cluster once it is in one of these states."""
        return until(lambda: self.get(cluster), lambda body: body["state"] in wanted)

    def submit(self, entrypoint: str, **fields: Any) -> str:
        """A job on a cluster of its own, or as ``fields`` say; its id."""
        where: Json = {} if "clusterId" in fields else {"headSpec": HEAD}
        return str(self("SubmitRayJob", entrypoint=entrypoint, **where | fields)["submissionId"])

    def job(self, job: str) -> Any:
        return self("GetRayJob", job)

    def status(self, job: str, *wanted: str, seconds: float = DEADLINE_SECONDS) -> Any:
        """The job once it has one of these statuses."""
        return until(lambda: self.job(job), lambda body: body["status"] in wanted, seconds)

    def remove(self, cluster: str) -> None:
        self("StopRayCluster", cluster)
        self.state(cluster, "Stopped")
        self.plain("DeleteRayCluster", cluster)

    def _path(self, path: Sequence[str]) -> Sequence[str]:
        return path if path and path[0].startswith("w-") else (self.workspace, *path)


HEAD: Json = {"queueName": "root_queue", "cpu": "1", "memory": "1Gi"}
WORKER: Json = {"groupName": "g1", "replica": 1, "queueName": "root_queue", "cpu": "1", "memory": "1Gi"}


def fetch(url: str, ca: Path | None = None, **headers: str) -> tuple[int, str, bytes]:
    """Status, content type and body of a plain GET, as any program would do it: no signature, no token."""
    trust = ssl.create_default_context(cafile=ca) if ca else None
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    request = urllib.request.Request(url, headers=headers)
    try:
        with direct.open(request, timeout=10) as response:
            return response.status, response.headers["content-type"], response.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers["content-type"], refused.read()


def until(look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = DEADLINE_SECONDS) -> Any:
    """What ``look`` returned when it was good. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not good(seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {seen}")
        time.sleep(0.05)
    return seen
