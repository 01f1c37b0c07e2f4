"""Every cluster endpoint, through one life and its corners."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import quote

import pytest

from heliostat.domain.ids import WorkspaceId
from heliostat.domain.records import Role

from .support import House

GROUPS = [{"name": "cpu", "replicas": 2, "cpu": 2, "memory": "4GB"}, {"name": "big", "replicas": 1, "memory": "512Mi"}]


async def test_a_whole_life(house: House) -> None:
    made = await house.create(workers=GROUPS, labels={"team": "search"})
    assert made["state"] in ("Starting", "Running")
    assert made["findings"] == []
    up = await house.until("demo", "Running")
    assert up["id"] == made["id"]
    assert up["instance"]["nodes_up"] == up["instance"]["nodes_wanted"] == 4
    assert up["endpoints"]["dashboard_url"].startswith(f"http://c-{made['id']}.localhost:8600/?token=hlp_")
    assert up["endpoints"]["job_url"] == "http://127.0.0.1:8600"
    assert len(up["endpoints"]["submit_token"]) == 32

    nodes = (await house.admin.get(f"{house.clusters}/demo/nodes")).json()
    assert nodes["instance"] == up["instance"]["id"]
    assert [(node["kind"], node["group"]) for node in nodes["nodes"]] == [
        ("head", "head"), ("worker", "big"), ("worker", "cpu"), ("worker", "cpu"),
    ]  # fmt: skip

    why = (await house.admin.get(f"{house.clusters}/{made['id']}/why")).json()
    assert "running" in why["summary"] and any("StartRequested" in line for line in why["evidence"])

    stopped = await house.admin.post(f"{house.clusters}/demo/stop")
    assert (stopped.status_code, stopped.json()["wanted"]) == (202, "stopped")
    down = await house.until("demo", "Stopped")
    assert (down["instance"], down["endpoints"]) == (None, None)

    again = await house.admin.post(f"{house.clusters}/demo/start")
    assert again.status_code == 202
    second = await house.until("demo", "Running")
    assert second["instance"]["id"] != up["instance"]["id"]
    assert second["endpoints"]["submit_token"] != up["endpoints"]["submit_token"]

    assert (await house.admin.delete(f"{house.clusters}/demo", params={"stop": "true"})).status_code == 204
    async with asyncio.timeout(10):
        while (await house.admin.get(f"{house.clusters}/{made['id']}")).status_code != 404:
            await asyncio.sleep(0.01)
    assert not house.world.instances


async def test_defaults_fill_in_what_is_left_out(house: House) -> None:
    made = await house.create(start=False)
    assert made["state"] == "Stopped" and made["instance"] is None
    assert made["release"] == house.services.installation.catalogue.default_release.display
    assert made["spec"]["workers"] == []
    head = made["spec"]["head"]
    assert (head["cpu"], head["memory"], head["queue"]) == ("1", "2Gi", "root_queue")


async def test_amounts_come_back_as_written_and_a_spec_can_be_sent_again(house: House) -> None:
    made = await house.create(head={"cpu": "500m", "memory": "8GB"}, workers=GROUPS, start=False)
    assert (made["spec"]["head"]["cpu"], made["spec"]["head"]["memory"]) == ("500m", "8GB")
    assert made["spec"]["workers"][0]["cpu"] == "2"
    twin = await house.create(**{**made["spec"], "name": "twin", "start": False})
    assert {**twin["spec"], "name": "demo"} == made["spec"]


async def test_an_idempotency_key_makes_one_cluster(house: House) -> None:
    headers = {"idempotency-key": "k-1"}
    first = await house.admin.post(house.clusters, json={"name": "demo"}, headers=headers)
    second = await house.admin.post(house.clusters, json={"name": "demo"}, headers=headers)
    assert first.status_code == second.status_code == 201
    assert first.json()["id"] == second.json()["id"]
    other = await house.admin.post(house.clusters, json={"name": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")


async def test_a_repeated_start_with_its_key_starts_once(house: House) -> None:
    await house.create(start=False)
    await house.create("other", start=False)
    headers = {"idempotency-key": "k-1"}
    first = await house.admin.post(f"{house.clusters}/demo/start", headers=headers)
    up = await house.until("demo", "Running")
    second = await house.admin.post(f"{house.clusters}/demo/start", headers=headers)
    assert first.status_code == second.status_code == 202
    assert second.json()["instance"]["id"] == up["instance"]["id"]
    without = await house.admin.post(f"{house.clusters}/demo/start")
    assert (without.status_code, without.json()["code"], without.json()["retry"]) == (409, "conflict", "later")
    elsewhere = await house.admin.post(f"{house.clusters}/other/start", headers=headers)
    assert elsewhere.json()["code"] == "idempotency_mismatch"


async def test_a_late_stop_leaves_a_later_run_alone(house: House) -> None:
    await house.create()
    first = await house.until("demo", "Running")
    guard = {"instance": first["instance"]["id"]}
    assert (await house.admin.post(f"{house.clusters}/demo/stop", json=guard)).status_code == 202
    await house.until("demo", "Stopped")
    await house.admin.post(f"{house.clusters}/demo/start")
    late = await house.admin.post(f"{house.clusters}/demo/stop", json=guard)
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert (await house.until("demo", "Running"))["wanted"] == "running"


async def test_a_cluster_that_is_up_is_not_deleted_by_mistake(house: House) -> None:
    await house.create()
    await house.until("demo", "Running")
    refused = await house.admin.delete(f"{house.clusters}/demo")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (await house.admin.get(f"{house.clusters}/demo")).status_code == 200


@pytest.mark.parametrize("name", ["team/a", "100%", "a%2Fb", "ä ?#&"])
async def test_any_name_leads_to_its_cluster(house: House, name: str) -> None:
    made = await house.create(name, start=False)
    path = f"{house.clusters}/{quote(name, safe='')}"
    assert (await house.admin.get(path)).json()["id"] == made["id"]
    assert (await house.admin.get(f"{path}/events")).status_code == 200
    assert (await house.admin.patch(path, json={"description": "x"})).json()["description"] == "x"
    assert (await house.admin.delete(path)).status_code == 204


async def test_names_are_unique_and_free_again_after_a_delete(house: House) -> None:
    first = await house.create(start=False)
    taken = await house.admin.post(house.clusters, json={"name": "demo"})
    assert (taken.status_code, taken.json()["code"]) == (409, "already_exists")
    assert (await house.admin.delete(f"{house.clusters}/demo")).status_code == 204
    assert (await house.create(start=False))["id"] != first["id"]


async def test_a_failed_start_tells_its_cause(house: House) -> None:
    house.world.failing["demo"] = "the head ended with exit code 1: no space left on device"
    await house.create()
    failed = await house.until("demo", "Error")
    assert "no space left" in failed["message"]
    assert failed["endpoints"] is None
    assert "no space left" in (await house.admin.get(f"{house.clusters}/demo/why")).json()["summary"]


async def test_a_release_that_cannot_run_here_is_refused_before_anything_is_made(house: House) -> None:
    name = house.services.installation.catalogue.default_release.name
    house.world.releases_missing[name] = "install Python 3.11"
    refused = await house.admin.post(house.clusters, json={"name": "demo"})
    assert (refused.status_code, refused.json()["code"], refused.json()["retry"]) == (503, "not_ready", "never")
    assert "install Python 3.11" in refused.json()["detail"]
    assert (await house.admin.get(house.clusters)).json()["clusters"] == []


async def test_findings_are_told_on_create_get_and_patch_and_not_in_lists(house: House) -> None:
    made = await house.create(network_service="loopback", start=False)
    expected = [{"path": "network_service", "verdict": "ignored", "message": "this engine has no networks"}]
    assert made["findings"] == expected
    assert (await house.admin.get(f"{house.clusters}/demo")).json()["findings"] == expected
    patched = await house.admin.patch(f"{house.clusters}/demo", json={"description": "x"})
    assert patched.json()["findings"] == expected
    assert "findings" not in (await house.admin.get(house.clusters)).json()["clusters"][0]


class TestPatch:
    async def test_what_is_absent_stays(self, house: House) -> None:
        made = await house.create(
            workers=GROUPS,
            labels={"team": "search", "tier": "dev"},
            head={"cpu": "500m", "env": {"A": "1", "B": "2"}},
            start=False,
        )
        answer = await house.admin.patch(
            f"{house.clusters}/demo",
            json={"labels": {"tier": None, "owner": "ada"}, "head": {"env": {"A": "9"}}},
            headers={"content-type": "application/merge-patch+json"},
        )
        assert answer.status_code == 200, answer.text
        after = answer.json()
        assert after["generation"] == 2
        assert after["spec"]["labels"] == {"team": "search", "owner": "ada"}
        assert after["spec"]["head"] == {**made["spec"]["head"], "env": {"A": "9", "B": "2"}}
        assert after["spec"]["workers"] == made["spec"]["workers"]

    async def test_workers_are_replaced_as_a_whole(self, house: House) -> None:
        await house.create(workers=GROUPS, start=False)
        after = (
            await house.admin.patch(f"{house.clusters}/demo", json={"workers": [{"name": "cpu", "replicas": 5}]})
        ).json()
        assert [(row["name"], row["replicas"], row["memory"]) for row in after["spec"]["workers"]] == [
            ("cpu", 5, "2Gi")
        ]

    async def test_modified_says_that_a_restart_is_needed(self, house: House) -> None:
        await house.create(workers=GROUPS)
        await house.until("demo", "Running")
        named = (await house.admin.patch(f"{house.clusters}/demo", json={"description": "only words"})).json()
        assert (named["modified"], named["generation"]) == (False, 2)
        changed = (await house.admin.patch(f"{house.clusters}/demo", json={"head": {"cpu": 2}})).json()
        assert (changed["modified"], changed["generation"]) == (True, 3)

    async def test_a_change_for_another_generation_is_a_conflict(self, house: House) -> None:
        await house.create(start=False)
        place, guard = f"{house.clusters}/demo", {"expected_generation": 1}
        assert (await house.admin.patch(place, json={"priority": 1}, params=guard)).status_code == 200
        for answer in (
            await house.admin.patch(place, json={"priority": 2}, params=guard),
            await house.admin.put(place, json={"name": "demo"}, params=guard),
            await house.admin.post(f"{place}/plan", json={"patch": {"priority": 2}}, params=guard),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert (await house.admin.get(place)).json()["spec"]["priority"] == 1

    async def test_a_definition_replaces_all_but_the_release(self, house: House) -> None:
        made = await house.admin.put(
            f"{house.clusters}/new", json={"name": "new", "labels": {"a": "b"}, "release": "2.47.1"}
        )
        assert (made.status_code, made.json()["wanted"]) == (201, "running")
        after = (await house.admin.put(f"{house.clusters}/new", json={"name": "new", "priority": 3})).json()
        assert (after["spec"]["labels"], after["spec"]["priority"]) == ({}, 3)
        assert "2.47.1" in after["spec"]["release"]
        other = await house.admin.put(f"{house.clusters}/one", json={"name": "another"})
        assert (other.status_code, other.json()["path"]) == (422, "name")
        unknown = await house.admin.put(f"{house.clusters}/ray-0000000000000000", json={"name": "x"})
        assert unknown.status_code == 404

    async def test_a_plan_is_of_a_definition_or_of_a_patch(self, house: House) -> None:
        await house.create(workers=GROUPS)
        await house.until("demo", "Running")
        place = f"{house.clusters}/demo/plan"
        seen = (await house.admin.post(place, json={"patch": {"head": {"env": {"KEY": "hush"}}, "priority": 2}})).json()
        assert (seen["action"], seen["restart"]) == ("change", True)
        assert [(row["path"], row["after"], row["effect"]) for row in seen["changes"]] == [
            ("head.env.KEY", "******", "restart"),
            ("priority", 2, "in_place"),
        ]
        for body in ({}, {"patch": {}, "definition": {"name": "demo"}}):
            assert (await house.admin.post(place, json=body)).status_code == 422
        absent = await house.admin.post(f"{house.clusters}/nope/plan", json={"patch": {}})
        assert absent.status_code == 404
        created = await house.admin.post(f"{house.clusters}/nope/plan", json={"definition": {"name": "nope"}})
        assert created.json()["action"] == "create"
        viewer = await house.principal("vic", Role.VIEWER)
        assert (await viewer.post(place, json={"patch": {}})).status_code == 403

    async def test_a_restart_is_accepted_at_once(self, house: House) -> None:
        await house.create(workers=GROUPS)
        before = await house.until("demo", "Running")
        answer = await house.admin.post(f"{house.clusters}/demo/restart")
        assert (answer.status_code, answer.json()["state"]) == (202, "Starting")
        assert answer.json()["instance"]["id"] != before["instance"]["id"]
        await house.until("demo", "Running")
        rolling = await house.admin.post(f"{house.clusters}/demo/restart", json={"rolling": True})
        assert rolling.status_code == 202 and rolling.json()["instance"]["renewing"] > 0
        wrong = await house.admin.post(f"{house.clusters}/demo/restart", json={"instance": before["instance"]["id"]})
        assert wrong.status_code == 409

    async def test_no_change_makes_no_generation(self, house: House) -> None:
        made = await house.create(start=False)
        same = (await house.admin.patch(f"{house.clusters}/demo", json={"description": "", "head": {"cpu": 1}})).json()
        assert same["generation"] == made["generation"]

    async def test_a_rename_may_not_take_anothers_name(self, house: House) -> None:
        await house.create(start=False)
        await house.create("other", start=False)
        assert (await house.admin.patch(f"{house.clusters}/other", json={"name": "demo"})).json()[
            "code"
        ] == "already_exists"
        assert (await house.admin.patch(f"{house.clusters}/other", json={"name": "third"})).status_code == 200
        assert (await house.admin.get(f"{house.clusters}/third")).status_code == 200

    async def test_the_password_is_write_only_and_stays(self, house: House) -> None:
        tolerance = {"enabled": True, "redis_url": "redis://10.0.0.5:6379", "redis_password": "s3cret"}
        made = await house.create(fault_tolerance=tolerance, start=False)
        assert "s3cret" not in str(made)
        patch = {"fault_tolerance": {"redis_username": "ray"}}
        assert (await house.admin.patch(f"{house.clusters}/demo", json=patch)).status_code == 200
        assert await self._password(house, made["id"]) == "s3cret"
        await house.admin.patch(f"{house.clusters}/demo", json={"fault_tolerance": {"redis_password": None}})
        assert await self._password(house, made["id"]) is None
        gone = (await house.admin.patch(f"{house.clusters}/demo", json={"fault_tolerance": None})).json()
        assert gone["spec"]["fault_tolerance"] is None

    @staticmethod
    async def _password(house: House, cluster: str) -> str | None:
        view = await house.services.clusters.get(await house.caller(), house.workspace, cluster)  # type: ignore[arg-type]
        tolerance = view.cluster.spec.fault_tolerance
        assert tolerance is not None
        return tolerance.redis_password and tolerance.redis_password.reveal()


class TestLists:
    async def test_pages_are_newest_first_and_complete(self, house: House) -> None:
        for number in range(5):
            await house.create(f"c{number}", start=False)
        names, token = [], None
        while True:
            params = {"limit": 2, **({"page_token": token} if token else {})}
            page = (await house.admin.get(house.clusters, params=params)).json()
            assert len(page["clusters"]) <= 2
            names += [row["name"] for row in page["clusters"]]
            token = page["next_page_token"]
            if token is None:
                break
        assert names == ["c4", "c3", "c2", "c1", "c0"]

    async def test_filters(self, house: House) -> None:
        await house.create("train-a")
        await house.create("train-b", start=False)
        await house.create("serve", start=False)
        await house.until("train-a", "Running")

        async def names(**params: str | list[str]) -> list[str]:
            rows = (await house.admin.get(house.clusters, params=params)).json()["clusters"]
            return [row["name"] for row in rows]

        assert await names(name="train") == ["train-b", "train-a"]
        assert await names(state="Stopped") == ["serve", "train-b"]
        assert await names(state=["Running", "Stopped"], name="train") == ["train-b", "train-a"]
        assert await names(state="Error") == []

    @pytest.mark.parametrize("token", ["ray-0000000000000000", "nonsense", "w-1"])
    async def test_a_page_token_of_nothing_is_a_client_error(self, house: House, token: str) -> None:
        answer = await house.admin.get(house.clusters, params={"page_token": token})
        assert (answer.status_code, answer.json()["path"]) == (422, "page_token")


async def test_events_page_backwards_and_forwards(house: House) -> None:
    await house.create()
    await house.until("demo", "Running")
    path = f"{house.clusters}/demo/events"
    newest = (await house.admin.get(path)).json()["events"]
    assert [row["reason"] for row in newest] == ["Running", "StartRequested", "Created"]
    assert newest[-1]["actor"] == "ada"
    older = (await house.admin.get(path, params={"before": newest[0]["id"], "limit": 1})).json()["events"]
    assert [row["reason"] for row in older] == ["StartRequested"]
    since = (await house.admin.get(path, params={"after": newest[2]["id"]})).json()["events"]
    assert [row["reason"] for row in since] == ["StartRequested", "Running"]


async def test_mounts_metrics_and_logs_in_a_definition(house: House) -> None:
    mount = {"server": "10.0.0.2", "path": "/exports", "mount_point": "data"}
    made = await house.create(nfs_mounts=[mount], metrics=False, collect_logs=False)
    assert [made["spec"][name] for name in ("nfs_mounts", "metrics", "collect_logs")] == [[mount], False, False]
    assert [row["path"] for row in made["findings"]] == ["nfs_mounts[0]"]
    viewer = await house.principal("vic", Role.VIEWER)
    shown = (await viewer.get(f"{house.clusters}/demo")).json()["spec"]
    (listed,) = (await viewer.get(house.clusters)).json()["clusters"]
    for spec in (shown, listed["spec"]):
        assert (spec["nfs_mounts"], spec["metrics"], spec["collect_logs"]) == ([mount], False, False)
    await house.until("demo", "Running")
    patch = {"metrics": None, "collect_logs": True, "nfs_mounts": []}
    plan = (await house.admin.post(f"{house.clusters}/demo/plan", json={"patch": patch})).json()
    assert [(row["path"], row["before"], row["after"], row["effect"]) for row in plan["changes"]] == [
        ("nfs_mounts", "10.0.0.2:/exports at data", "", "restart"),
        ("metrics", False, True, "restart"),
        ("collect_logs", False, True, "in_place"),
    ]
    changed = (await house.admin.patch(f"{house.clusters}/demo", json=patch)).json()
    assert changed["modified"] and changed["spec"]["metrics"] and changed["findings"] == []


@pytest.mark.parametrize(
    ("mount", "path"),
    [
        ({"path": "/x", "mount_point": "d"}, "nfs_mounts[0].server"),
        ({"server": "h", "path": "x", "mount_point": "d"}, "nfs_mounts[0].path"),
        ({"server": "h", "path": "/x", "mount_point": "../d"}, "nfs_mounts[0].mount_point"),
        ({"server": "h", "path": "/x", "mount_point": 5}, "nfs_mounts[0].mount_point"),
        ({"server": "h", "path": "/x", "mount_point": "d", "mode": "rw"}, "nfs_mounts[0].mode"),
    ],
)
async def test_a_bad_mount_is_told_with_its_path(house: House, mount: dict[str, object], path: str) -> None:
    answer = await house.admin.post(house.clusters, json={"name": "x", "nfs_mounts": [mount]})
    assert (answer.status_code, answer.json()["path"]) == (422, path), answer.text


async def test_what_another_dialect_could_not_have_is_a_finding_everywhere(house: House) -> None:
    """And a change of something else through this API leaves it."""
    made = await house.create(start=False)
    change = {"unhonoured": {"network": "clusters here have none"}}
    caller, place = await house.caller(), WorkspaceId(house.workspace)
    await house.services.clusters.update(caller, place, made["id"], lambda spec: replace(spec, **change))
    expected = [{"path": "network", "verdict": "ignored", "message": "clusters here have none"}]
    assert (await house.admin.get(f"{house.clusters}/demo")).json()["findings"] == expected
    patched = await house.admin.patch(f"{house.clusters}/demo", json={"description": "x"})
    assert patched.json()["findings"] == expected
    put = await house.admin.put(f"{house.clusters}/demo", json={"name": "demo"})
    assert put.json()["findings"] == expected
