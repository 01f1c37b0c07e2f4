"""The OpenAPI document is sound, answers are what it says, and the page of it loads nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import BaseModel

from heliostat.api.models import answers, job_answers, queue_answers, secret_answers
from heliostat.api.openapi import OPEN, TICKETS
from heliostat.domain.ids import InstanceId
from heliostat.domain.job_states import JobStatus
from heliostat.domain.jobs import Attempt
from heliostat.domain.ray_jobs import Cause, NameCount, RayStatus, WorkSummary

from .support import House, frames

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
WORKSPACE_ROUTES = {
    "": answers.WorkspaceAnswer,
    "/queues": queue_answers.QueueList,
    "/queues/root_queue": queue_answers.QueueDetail,
    "/usage?by=queue&by=cluster&by=principal&by=hour": queue_answers.UsageAnswer,
    "/network-services": answers.NetworkServiceList,
    "/clusters": answers.ClusterPage,
    "/clusters/demo": answers.ClusterAnswer,
    "/clusters/idle": answers.ClusterAnswer,
    "/clusters/demo/nodes": answers.NodeList,
    "/clusters/idle/nodes": answers.NodeList,
    "/clusters/demo/events": answers.EventList,
    "/clusters/demo/why": answers.ExplanationAnswer,
}
ROUTES = {
    "/v1/me": answers.MeAnswer,
    "/v1/version": answers.VersionAnswer,
    "/v1/workspaces": answers.WorkspacePage,
    "/v1/releases": answers.ReleaseList,
    "/v1/releases/ray-1.3.1": answers.ReleaseAnswer,
    "/v1/keys": answers.KeyList,
    "/healthz": answers.Health,
    "/readyz": answers.Health,
}


def exactly(kind: type[BaseModel], content: bytes) -> None:
    """``content`` is a ``kind``: every described field is there, with its type, and nothing else."""

    def compare(described: Any, told: Any, place: str) -> None:
        if isinstance(told, dict) and isinstance(described, BaseModel):
            assert told.keys() == type(described).model_fields.keys(), place
            for name, value in told.items():
                compare(getattr(described, name), value, f"{place}.{name}")
        elif isinstance(told, list):
            for index, value in enumerate(told):
                compare(described[index], value, f"{place}[{index}]")

    compare(kind.model_validate_json(content, strict=True), orjson.loads(content), kind.__name__)


async def test_answers_are_what_the_models_say(house: House) -> None:
    await house.create(
        workers=[{"replicas": 2, "min_replicas": 1, "max_replicas": 3}],
        network_service="loopback",
        labels={"a": "b"},
        fault_tolerance={"redis_url": "redis://h", "redis_password": "p"},
    )
    await house.create("idle", start=False)
    await house.until("demo", "Running")
    for path, kind in {
        **ROUTES,
        **{f"/v1/workspaces/{house.workspace}{p}": k for p, k in WORKSPACE_ROUTES.items()},
    }.items():
        answer = await house.admin.get(path)
        assert answer.status_code == 200, path
        exactly(kind, answer.content)
    secrets = f"/v1/workspaces/{house.workspace}/secrets"
    made = await house.admin.put(secrets, json={"group": "db", "key": "password", "value": "correct horse"})
    exactly(secret_answers.SecretAnswer, made.content)
    exactly(secret_answers.SecretList, (await house.admin.get(secrets)).content)
    job = await house.submit(
        cluster="demo",
        secrets=[{"group": "db", "key": "password", "variables": ["PASSWORD"]}],
        runtime_env={"pip": ["x"], "env_vars": {"A": "b"}},
        working_dir="https://h/a.zip",
        files=["https://h/b"],
        resources={"cpus": 1, "memory": "4Gi", "custom": {"disk": 2}},
        deadline_seconds=60,
        retries=2,
    )
    await house.submit(name="own", cluster_spec={"network_service": "loopback", "workers": [{}]})
    attempt = Attempt(1, job["id"], InstanceId("i"), "head", NOW, NOW, NOW, NOW, RayStatus.FAILED, Cause.USER_ERROR)
    summary = WorkSummary((NameCount("f", {"FINISHED": 3}),), (NameCount("A", {"ALIVE": 1}),))
    fields = {"attempts": (attempt,), "summary": summary, "cause": Cause.USER_ERROR, "exit_code": 1, "started_at": NOW}
    await house.becomes(job["id"], **fields)
    await house.writes(job["id"], "a.log", b"text")
    for path, kind in {
        "": job_answers.JobPage,
        f"/{job['id']}": job_answers.JobAnswer,
        "/own": job_answers.JobAnswer,
        "/own/events": answers.EventList,
        "/own/why": answers.ExplanationAnswer,
        f"/{job['id']}/logs": job_answers.LogFileList,
    }.items():
        exactly(kind, (await house.admin.get(house.jobs + path)).content)
    exactly(job_answers.JobAnswer, (await house.admin.post(house.jobs, json={"entrypoint": "true"})).content)
    exactly(job_answers.JobCancelAnswer, (await house.admin.post(f"{house.jobs}/own/cancel")).content)
    await house.becomes(job["id"], settled=True, status=JobStatus.FAILED, ended_at=NOW)
    for _ in range(2):
        exactly(job_answers.JobPage, (await house.admin.get(house.jobs)).content)
    watched = frames((await house.admin.get(f"{house.jobs}/{job['id']}/watch")).text)
    assert watched[0][1] == (await house.admin.get(f"{house.jobs}/{job['id']}")).json()
    queues = f"/v1/workspaces/{house.workspace}/queues"
    made = await house.admin.post(queues, json={"name": "q", "maximum": {"cpu": 2}})
    exactly(queue_answers.QueueAnswer, made.content)
    exactly(queue_answers.QueueAnswer, (await house.admin.patch(f"{queues}/q", json={"priority": 1})).content)
    exactly(answers.NewKeyAnswer, (await house.admin.post("/v1/keys", json={})).content)
    exactly(answers.WorkspaceAnswer, (await house.admin.post("/v1/workspaces", json={"name": "w"})).content)
    exactly(answers.ReleaseAnswer, (await house.admin.post("/v1/releases/ray-1.3.1/prepare")).content)
    for call in (
        house.admin.patch(f"{house.clusters}/demo", json={"description": "x"}),
        house.admin.post(f"{house.clusters}/demo/stop"),
    ):
        exactly(answers.ClusterAnswer, (await call).content)
    await house.until("demo", "Stopped")
    exactly(answers.ClusterAnswer, (await house.admin.post(f"{house.clusters}/demo/start")).content)
    watched = frames((await house.admin.get(f"{house.clusters}/idle/watch?seconds=0.01")).text)
    assert watched[0][1] == (await house.admin.get(f"{house.clusters}/idle")).json()


async def test_the_document_is_sound(house: House) -> None:
    answer = await house.client(None).get("/openapi.json")
    document = answer.json()
    assert answer.json() == (await house.client(None).get("/v1/openapi.json")).json()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    used = set(re.findall(r'"\$ref":\s*"([^"]+)"', answer.text))
    assert used <= known, used - known
    assert known - used <= {"#/components/schemas/HTTPValidationError"}, "described and never used"
    names = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["operationId"] not in names
            names.add(operation["operationId"])
            assert ("security" in operation) == (path not in (*OPEN, TICKETS)), path
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert "application/problem+json" in response["content"], (method, path, status)


async def test_examples_of_bodies_are_accepted(house: House) -> None:
    for model, path in (
        ("NewCluster", house.clusters),
        ("NewJob", house.jobs),
        ("NewQueue", f"/v1/workspaces/{house.workspace}/queues"),
    ):
        examples = house.app.openapi()["components"]["schemas"][model]["examples"]
        assert examples
        for example in examples:
            answer = await house.admin.post(path, json=example)
            assert answer.status_code == 201, answer.text
    [example] = house.app.openapi()["components"]["schemas"]["NewSecret"]["examples"]
    answer = await house.admin.put(f"/v1/workspaces/{house.workspace}/secrets", json=example)
    assert answer.status_code == 200, answer.text


async def test_the_page_loads_nothing(house: House) -> None:
    page = await house.client(None).get("/docs")
    assert page.status_code == 200
    assert not re.search(r"<script|<link|<img|@import|url\(|https?://", page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in house.app.openapi()["paths"]:
        assert f"<code>{path}</code>" in page.text


async def test_metrics_count_by_route_and_never_by_path(house: House) -> None:
    await house.create(start=False)
    await house.admin.get(f"{house.clusters}/demo")
    await house.admin.get("/v1/one-of-endless-many")
    text = (await house.admin.get("/metrics")).text
    assert 'heliostat_info{version="1.2.3"} 1.0' in text
    route = "/v1/workspaces/{workspace}/clusters/{cluster}"
    assert f'heliostat_api_requests_total{{method="GET",route="{route}",status="200"}} 1.0' in text
    assert 'route="other",status="404"' in text
    assert "endless" not in text and house.workspace not in text
