"""Schemathesis against a running server: no request makes a 5xx, every answer is as described.

Requests are aimed: their paths name things that are there, which is where the code is; what blind paths meet is in
``test_problems``. The short profile runs every time, the long one with the slow tests.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks

from heliostat.api import create_app
from heliostat.services import Services
from heliostat.testing.harness import threaded

load_all_checks()


@schemathesis.serializer("application/zip")
def _zip(context: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


NOT_CHECKED = CHECKS.get_by_names(
    [
        "positive_data_acceptance",  # what is well-formed may still name a queue that is not there (422)
        "negative_data_rejection",  # the definition of a patch is looser than its rules, which test_problems covers
    ]
)

NOT_FOR_THE_API = ("content-length", "transfer-encoding", "ray-token")
"""Headers by which a request is no HTTP any more, or one for the gateway: it is answered before the API sees it."""


@dataclass(frozen=True)
class Target:
    """A server with something to aim at."""

    url: str
    workspace: str
    token: str
    admin: httpx.Client

    def new_cluster(self) -> str:
        path = f"/v1/workspaces/{self.workspace}/clusters"
        made = self.admin.post(path, json={"name": secrets.token_hex(8), "start": False})
        return str(made.raise_for_status().json()["id"])

    def queue(self) -> str:
        """The same as long as it is there: a change of one looks at all of them."""
        self.admin.post(f"/v1/workspaces/{self.workspace}/queues", json={"name": "fuzzed"})
        return "fuzzed"

    def new_job(self) -> str:
        made = self.admin.post(f"/v1/workspaces/{self.workspace}/jobs", json={"entrypoint": "true"})
        return str(made.raise_for_status().json()["id"])


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with threaded(Path(tmp_path_factory.mktemp("fuzz"))) as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=20) as admin:
            yield Target(server.url, server.workspace, server.token, admin)


_UNUSED = cast(Services, None)  # the description needs no services
schema = schemathesis.openapi.from_dict(create_app(_UNUSED, "1").openapi())


@schema.parametrize()
@settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_quickly(case: schemathesis.Case, target: Target) -> None:
    check(case, target)


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_thoroughly(case: schemathesis.Case, target: Target) -> None:
    check(case, target)


def check(case: schemathesis.Case, target: Target) -> None:
    there = {"workspace": target.workspace, "principal": "ada", "release": "ray-1.3.1"}
    if "cluster" in case.path_parameters:
        there["cluster"] = target.new_cluster()
    if "queue" in case.path_parameters:
        there["queue"] = target.queue()
    if "job" in case.path_parameters:
        there |= {"job": target.new_job(), "name": "driver"}
    if case.operation.path.endswith("/{name}"):
        case.query = {**(case.query or {}), "seconds": 0.01}
    case.path_parameters = {name: there.get(name, value) for name, value in case.path_parameters.items()}
    if case.operation.path.endswith(("/watch", "/events")):
        case.query = {**(case.query or {}), "seconds": 0.01}
    if (
        case.operation.path.endswith("/clusters")
        and isinstance(case.body, dict)
        and case.body.get("start") is not False
    ):
        case.body = {**case.body, "start": False}  # a thousand simulated nodes take their time
    if case.operation.path.endswith("/jobs") and isinstance(case.body, dict) and "cluster_spec" in case.body:
        case.body = {name: value for name, value in case.body.items() if name != "cluster_spec"}
    for name in [name for name in case.headers or {} if name.lower() in NOT_FOR_THE_API]:
        del case.headers[name]
    headers = {"Authorization": f"Bearer {target.token}"}
    case.call_and_validate(base_url=target.url, headers=headers, excluded_checks=NOT_CHECKED, timeout=20)
