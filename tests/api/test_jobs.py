"""Every job endpoint: what is asked for, what is told, and what is never shown. Nothing works on the jobs here; tests say
what becomes of them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from heliostat.domain.ids import InstanceId
from heliostat.domain.job_states import JobStatus
from heliostat.domain.jobs import Attempt
from heliostat.domain.ray_jobs import RayStatus
from heliostat.domain.records import Role

from .support import House, Looks, frames, package

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
EVERYTHING = {
    "name": "train",
    "entrypoint": "python main.py",
    "cluster_spec": {"workers": [{"replicas": 2, "cpu": "500m", "memory": "8GB"}], "labels": {"a": "b"}},
    "runtime_env": {"pip": ["torch"], "env_vars": {"TOKEN": "s3cret"}, "nested": {"a": [1, None, 2.5]}},
    "working_dir": "https://host/code.zip?signature=s3cret",
    "files": ["https://host/data.json?signature=s3cret"],
    "requirements": "https://host/requirements.txt?signature=s3cret",
    "metadata": {"run": "7"},
    "tags": {"team": "search"},
    "resources": {"cpus": 1.5, "gpus": 0.0, "memory": "4Gi", "custom": {"disk": 2.0}},
    "deadline_seconds": 7200.0,
    "retries": {"limit": 3, "user_error": 0, "out_of_memory": 1, "infrastructure": None},
    "shutdown_after_finish": False,
    "ttl_seconds": 60.5,
}
MASK = "******"


async def test_what_was_asked_for_comes_back_as_written(house: House) -> None:
    made = await house.submit(**{name: value for name, value in EVERYTHING.items() if name != "entrypoint"})
    got = (await house.admin.get(f"{house.jobs}/{made['id']}")).json()
    for name, value in EVERYTHING.items():
        if name != "cluster_spec":
            assert got[name] == value, name
    assert got["cluster_spec"]["workers"][0]["memory"] == "8GB"
    assert (got["status"], got["message"], got["creator"]) == ("Submitted", "accepted", "ada")
    assert got["cluster"] == {"id": made["cluster"]["id"], "name": made["id"], "temporary": True, "state": "Submitted"}
    again = {name: got[name] for name in EVERYTHING}
    assert (await house.admin.post(house.jobs, json=again)).json()["cluster_spec"] == got["cluster_spec"]


async def test_defaults(house: House) -> None:
    made = await house.submit("true")
    plain = await house.create(start=False)
    assert made["name"] == made["id"]
    assert made["cluster_spec"] == {name: value for name, value in plain["spec"].items() if name != "name"}
    assert (made["deadline_seconds"], made["ttl_seconds"], made["shutdown_after_finish"]) == (None, 0, True)
    assert made["retries"] == {"limit": 0, "user_error": None, "out_of_memory": None, "infrastructure": None}
    assert made["progress"]["step"] == "queued" and made["progress"]["nodes_wanted"] == 1
    assert (await house.submit(retries=2))["retries"]["limit"] == 2


async def test_on_an_existing_cluster_by_name_or_id(house: House) -> None:
    cluster = await house.create("train/a")
    await house.until(cluster["id"], "Running")
    for named in ("train/a", cluster["id"]):
        made = await house.submit(cluster=named)
        assert made["cluster"] == {"id": cluster["id"], "name": "train/a", "temporary": False, "state": "Running"}
        assert made["cluster_spec"] is None
        assert made["links"]["dashboard_url"].startswith(f"http://c-{cluster['id']}.")
    found = (await house.admin.get(house.jobs, params={"cluster": "train/a"})).json()["jobs"]
    assert len(found) == 2
    stopped = await house.create("stopped", start=False)
    refused = await house.admin.post(house.jobs, json={"entrypoint": "true", "cluster": stopped["id"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


async def test_a_starting_cluster_is_good_enough(house: House) -> None:
    await house.create(workers=[{"replicas": 900}])
    assert (await house.submit(cluster="demo"))["cluster"]["state"] in ("Pending", "Running")


async def test_a_cluster_made_for_a_job_is_listed_only_when_asked_for(house: House) -> None:
    made = await house.submit()
    assert (await house.admin.get(house.clusters)).json()["clusters"] == []
    rows = (await house.admin.get(house.clusters, params={"temporary": "true"})).json()["clusters"]
    assert [(row["id"], row["job"]) for row in rows] == [(made["cluster"]["id"], made["id"])]
    assert (await house.create(start=False))["job"] is None


async def test_an_idempotency_key_submits_once_even_when_the_cluster_is_gone_since(house: House) -> None:
    await house.create()
    await house.until("demo", "Running")
    headers = {"idempotency-key": "k-1"}
    body = {"entrypoint": "true", "cluster": "demo"}
    first = await house.admin.post(house.jobs, json=body, headers=headers)
    await house.admin.delete(f"{house.clusters}/demo", params={"stop": "true"})
    async with asyncio.timeout(10):
        while (await house.admin.get(f"{house.clusters}/demo")).status_code != 404:
            await asyncio.sleep(0.01)
    second = await house.admin.post(house.jobs, json=body, headers=headers)
    assert first.status_code == second.status_code == 201
    assert first.json()["id"] == second.json()["id"]
    other = await house.admin.post(house.jobs, json={"entrypoint": "false"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")


DEEP: Any = None
for _ in range(600):
    DEEP = [DEEP]
BAD: list[tuple[Any, int, str | None]] = [
    ({}, 422, "entrypoint"),
    ({"entrypoint": ""}, 422, "entrypoint"),
    ({"entrypoint": " "}, 422, "entrypoint"),
    ({"entrypoint": "a\0b"}, 422, "entrypoint"),
    ({"entrypoint": "ü" * (33 << 10)}, 422, "entrypoint"),
    ({"entrypoint": "true", "name": ""}, 422, "name"),
    ({"entrypoint": "true", "name": "x" * 65}, 422, "name"),
    ({"entrypoint": "true", "cluster": "nope"}, 404, "cluster"),
    ({"entrypoint": "true", "cluster": "ray-0000000000000000"}, 404, "cluster"),
    ({"entrypoint": "true", "cluster": "nope", "cluster_spec": {}}, 422, "cluster_spec"),
    ({"entrypoint": "true", "cluster_spec": {"name": "x"}}, 422, "cluster_spec.name"),
    ({"entrypoint": "true", "cluster_spec": {"start": True}}, 422, "cluster_spec.start"),
    ({"entrypoint": "true", "cluster_spec": {"workers": [{"cpu": "many"}]}}, 422, "cluster_spec.workers[0].cpu"),
    ({"entrypoint": "true", "cluster_spec": {"head": {"queue": "no"}}}, 422, "cluster_spec.head.queue"),
    ({"entrypoint": "true", "cluster_spec": {"release": "ray-9.9.9"}}, 422, "cluster_spec.release"),
    ({"entrypoint": "true", "runtime_env": []}, 422, "runtime_env"),
    ({"entrypoint": "true", "runtime_env": {"env_vars": {"A": 1}}}, 422, "runtime_env.env_vars.A"),
    ({"entrypoint": "true", "runtime_env": {"working_dir": "."}}, 422, "runtime_env.working_dir"),
    ({"entrypoint": "true", "runtime_env": {"deep": DEEP}}, 422, "runtime_env"),
    ({"entrypoint": "true", "runtime_env": {"much": 2**70}}, 422, "runtime_env"),
    ({"entrypoint": "true", "working_dir": "refused://a"}, 422, "working_dir"),
    ({"entrypoint": "true", "working_dir": "package://abc"}, 422, "working_dir"),
    ({"entrypoint": "true", "working_dir": "package://" + "0" * 64}, 422, "working_dir"),
    ({"entrypoint": "true", "files": ["https://a", "refused://a"]}, 422, "files[1]"),
    ({"entrypoint": "true", "requirements": "refused://a"}, 422, "requirements"),
    ({"entrypoint": "true", "metadata": {"a": 1}}, 422, "metadata.a"),
    ({"entrypoint": "true", "tags": {"": "x"}}, 422, "tags"),
    ({"entrypoint": "true", "resources": {"cpus": -1}}, 422, "resources.cpus"),
    ({"entrypoint": "true", "resources": {"memory": "much"}}, 422, "resources.memory"),
    ({"entrypoint": "true", "resources": {"custom": {"CPU": 1}}}, 422, "resources.custom.CPU"),
    ({"entrypoint": "true", "deadline_seconds": 0.5}, 422, "deadline_seconds"),
    ({"entrypoint": "true", "deadline_seconds": "2h"}, 422, "deadline_seconds"),
    ({"entrypoint": "true", "deadline_seconds": 1e300}, 422, "deadline_seconds"),
    ({"entrypoint": "true", "ttl_seconds": -1}, 422, "ttl_seconds"),
    ({"entrypoint": "true", "retries": -1}, 422, "retries.limit"),
    ({"entrypoint": "true", "retries": True}, 422, "retries"),
    ({"entrypoint": "true", "retries": {"limit": 1, "oom": 1}}, 422, "retries.oom"),
    ({"entrypoint": "true", "retries": {"user_error": 101}}, 422, "retries.user_error"),
    ({"entrypoint": "true", "workers": 2}, 422, "workers"),
    ([], 422, None),
]


@pytest.mark.parametrize(("body", "status", "path"), BAD, ids=lambda value: json.dumps(value)[:70])
async def test_a_bad_body_is_told_with_its_path_and_makes_nothing(
    house: House, body: Any, status: int, path: str | None
) -> None:
    answer = await house.admin.post(house.jobs, json=body)
    problem = answer.json()
    assert (answer.status_code, problem["path"]) == (status, path), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await house.admin.get(house.jobs)).json()["jobs"] == []
    assert (await house.admin.get(house.clusters, params={"temporary": True})).json()["clusters"] == []


async def test_text_that_is_no_unicode_is_a_client_error(house: House) -> None:
    headers = {"content-type": "application/json"}
    for body in (
        b'{"entrypoint": "\\ud800"}',
        b'{"entrypoint": "true", "runtime_env": {"a": "\\ud800"}}',
        b'{"entrypoint": "true", "runtime_env": {"\\ud800": 1}}',
        b'{"entrypoint": "true", "runtime_env": {"a": NaN}}',
        b'{"entrypoint": "true", "runtime_env": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    ):
        answer = await house.admin.post(house.jobs, content=body, headers=headers)
        assert answer.status_code in (201, 400, 422), answer.text[:300]


async def test_secrets_are_for_editors_and_in_no_list(house: House) -> None:
    made = await house.submit(**{name: value for name, value in EVERYTHING.items() if name != "entrypoint"})
    assert "s3cret" in (await house.admin.get(f"{house.jobs}/{made['id']}")).text
    viewer = await house.principal("eve", Role.VIEWER)
    shown = await viewer.get(f"{house.jobs}/{made['id']}")
    texts = [
        (await house.admin.get(house.jobs)).text,
        (await viewer.get(house.jobs)).text,
        shown.text,
        (await viewer.get(f"{house.jobs}/{made['id']}/watch?seconds=0.01")).text,
        (await house.admin.get(f"{house.jobs}/{made['id']}/events")).text,
        (await house.admin.get(f"{house.jobs}/{made['id']}/why")).text,
    ]
    assert not any("s3cret" in text for text in texts)
    assert shown.json()["runtime_env"] == {"pip": MASK, "env_vars": {"TOKEN": MASK}, "nested": MASK}
    assert shown.json()["working_dir"] == MASK
    await house.becomes(made["id"], status=JobStatus.SUCCEEDED, settled=True, ended_at=NOW)
    for client in (viewer, house.admin, viewer):
        assert "s3cret" not in (await client.get(house.jobs)).text


@pytest.mark.parametrize("name", ["team/a", "100%", "a%2Fb", "ä ?#&"])
async def test_a_name_leads_to_the_newest_of_that_name(house: House, name: str) -> None:
    await house.submit(name=name)
    newest = await house.submit(name=name)
    path = f"{house.jobs}/{quote(name, safe='')}"
    assert (await house.admin.get(path)).json()["id"] == newest["id"]
    assert (await house.admin.post(f"{path}/cancel")).json()["id"] == newest["id"]
    absent = await house.admin.get(f"{house.jobs}/nothing")
    assert (absent.status_code, absent.json()["code"]) == (404, "not_found")


async def test_cancel_and_delete(house: House) -> None:
    made = await house.submit()
    path = f"{house.jobs}/{made['id']}"
    assert (await house.admin.delete(path)).json()["code"] == "conflict"
    for _ in range(2):
        answer = await house.admin.post(f"{path}/cancel")
        assert (answer.status_code, answer.json()["status"], answer.json()["cancelled"]) == (202, "Cancelling", True)
    await house.becomes(made["id"], status=JobStatus.CANCELLED, settled=True, ended_at=NOW)
    late = (await house.admin.post(f"{path}/cancel")).json()
    assert (late["status"], late["cancelled"]) == ("Cancelled", False)
    assert (await house.admin.delete(path)).status_code == 204
    assert (await house.admin.get(path)).status_code == 404
    assert (await house.admin.delete(path)).status_code == 404


class TestLists:
    async def test_pages_are_newest_first_and_complete(self, house: House) -> None:
        for number in range(5):
            await house.submit(name=f"j{number}")
        names, token = [], None
        while True:
            params = {"limit": 2, **({"page_token": token} if token else {})}
            page = (await house.admin.get(house.jobs, params=params)).json()
            names += [row["name"] for row in page["jobs"]]
            token = page["next_page_token"]
            if token is None:
                break
        assert names == ["j4", "j3", "j2", "j1", "j0"]

    async def test_filters(self, house: House) -> None:
        first = await house.submit(name="train-a")
        second = await house.submit(name="train-b")
        await house.submit(name="serve")
        await house.becomes(first["id"], status=JobStatus.FAILED)

        async def names(**params: str | list[str]) -> list[str]:
            rows = (await house.admin.get(house.jobs, params=params)).json()["jobs"]
            return [row["name"] for row in rows]

        assert await names(name="train") == ["train-b", "train-a"]
        assert await names(status="Failed") == ["train-a"]
        assert await names(status=["Failed", "Submitted"], name="train") == ["train-b", "train-a"]
        assert await names(creator="ada", limit="1") == ["serve"]
        assert await names(creator="eve") == []
        assert await names(cluster=second["cluster"]["id"]) == ["train-b"]
        assert await names(cluster="ray-0000000000000000") == []
        # to the millisecond, while jobs are stored to the microsecond
        assert "train-a" in await names(submitted_after=first["submitted_at"])
        assert await names(submitted_after="2999-01-01T00:00:00+02:00") == []
        assert await names(submitted_before="2020-01-01T00:00:00") == []

    @pytest.mark.parametrize(
        ("params", "status", "path"),
        [
            ({"page_token": "rj-0000000000000000"}, 422, "page_token"),
            ({"page_token": "nonsense"}, 422, "page_token"),
            ({"status": "Done"}, 422, "status[0]"),
            ({"submitted_after": "yesterday"}, 422, "submitted_after"),
            ({"submitted_before": "9999-12-31T23:59:59-12:00"}, 422, "submitted_before"),
            ({"cluster": "nope"}, 404, "cluster"),
            ({"limit": 0}, 422, "limit"),
        ],
    )
    async def test_bad_questions(self, house: House, params: dict[str, Any], status: int, path: str) -> None:
        answer = await house.admin.get(house.jobs, params=params)
        assert (answer.status_code, answer.json()["path"]) == (status, path), answer.text


async def test_a_watcher_is_told_of_every_change_and_of_the_end(house: House, looks: Looks) -> None:
    made = await house.submit()
    watching = asyncio.create_task(house.admin.get(f"{house.jobs}/{made['id']}/watch", params={"seconds": 30}))
    await opened(house)
    attempt = Attempt(1, made["id"], InstanceId("i"), "h", NOW, NOW, NOW, status=RayStatus.RUNNING)
    await house.becomes(made["id"], status=JobStatus.RUNNING, attempts=(attempt,))
    await looks.another()
    await house.becomes(made["id"], status=JobStatus.SUCCEEDED, settled=True, ended_at=NOW)
    told = frames((await asyncio.wait_for(watching, 10)).text)
    assert [(kind, document["status"]) for kind, document in told] == [
        ("job", "Submitted"), ("job", "Running"), ("job", "Succeeded"), ("end", "Succeeded"),
    ]  # fmt: skip
    assert told[1][1]["progress"]["step"] == "running"


async def test_a_watcher_of_a_deleted_job_is_told(house: House) -> None:
    made = await house.submit()
    watching = asyncio.create_task(house.admin.get(f"{house.jobs}/{made['id']}/watch", params={"seconds": 30}))
    await opened(house)
    await house.store.write(lambda tx: tx.jobs.remove(made["id"]))
    assert frames((await asyncio.wait_for(watching, 10)).text)[-1] == ("gone", {})


async def test_followers_of_events_get_each_once_and_the_end(house: House, looks: Looks) -> None:
    made = await house.submit()
    path = f"{house.jobs}/{made['id']}/events"
    following = asyncio.create_task(house.admin.get(path, params={"follow": "true", "seconds": 30}))
    await opened(house)
    await house.admin.post(f"{house.jobs}/{made['id']}/cancel")
    await looks.another()
    await house.becomes(made["id"], status=JobStatus.CANCELLED, settled=True, ended_at=NOW)
    told = frames((await asyncio.wait_for(following, 10)).text)
    assert [row.get("reason") for _, row in told] == ["Submitted", "CancelRequested", None]
    assert told[0][1]["job"] == made["id"] and told[-1] == ("end", {"status": "Cancelled"})
    newest = (await house.admin.get(path)).json()["events"]
    assert [row["reason"] for row in newest] == ["CancelRequested", "Submitted"]
    resumed = await house.admin.get(
        path, params={"follow": "true", "seconds": 1}, headers={"last-event-id": str(newest[1]["id"])}
    )
    assert [row.get("reason") for _, row in frames(resumed.text)] == ["CancelRequested", None]


async def test_uploaded_code_is_taken_once_per_workspace(house: House) -> None:
    sha256 = await package(house, {"main.py": b"print(1)"})
    made = await house.submit(working_dir=f"package://{sha256}")
    assert made["working_dir"] == f"package://{sha256}"
    other = (await house.admin.post("/v1/workspaces", json={"name": "other"})).json()["id"]
    refused = await house.admin.post(
        f"/v1/workspaces/{other}/jobs", json={"entrypoint": "true", "working_dir": f"package://{sha256}"}
    )
    assert (refused.status_code, refused.json()["path"]) == (422, "working_dir")


async def opened(house: House) -> None:
    async with asyncio.timeout(5):
        while not house.app.state.shared.open_streams:
            await asyncio.sleep(0.01)
