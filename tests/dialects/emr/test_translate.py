"""Bodies to specs and back: what is written comes back as written, and wrong bodies name the path."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.dialects.emr.errors import EmrError
from heliostat.dialects.emr.translate.clusters import Writer
from heliostat.dialects.emr.translate.environment import format_environment, parse_environment
from heliostat.dialects.emr.translate.spec import format_memory, read_wish
from heliostat.domain.engine import NodeObservation, NodeState, Upscaling
from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import ClusterId, InstanceId, NodeId, PrincipalId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.quantities import parse_memory
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.releases import Catalogue
from heliostat.domain.secret import Secret
from heliostat.domain.spec import ClusterSpec, NfsMount
from heliostat.domain.states import State, Wanted
from heliostat.services import ClusterView, Links

from .bodies import BODIES, FULL, HEAD, JSON, RELEASES, SCRAMBLED

CATALOGUE = Catalogue()
AT = datetime(2026, 1, 1, tzinfo=UTC)


def create(body: object) -> ClusterSpec:
    return read_wish(json.dumps(body).encode(), CATALOGUE).create(CATALOGUE)


def view_of(spec: ClusterSpec, **changes: Any) -> ClusterView:
    cluster = Cluster(
        id=ClusterId("ray-0123456789abcdef"), workspace=WorkspaceId("w-1"), spec=spec, generation=1,
        wanted=Wanted.STOPPED, state=State.STOPPED, message="ok", modified=False, instance=None,
        creator=PrincipalId("1"), creator_name="ann", modifier=PrincipalId("2"), modifier_name="bob",
        created_at=AT, modified_at=AT,
    )  # fmt: skip
    return ClusterView(replace(cluster, **changes), None)


def shown(spec: ClusterSpec) -> Any:
    return orjson.loads(orjson.dumps(Writer().detail(view_of(spec), None)))


def refusal(body: object) -> tuple[str, str]:
    with pytest.raises(EmrError) as caught:
        create(body)
    return caught.value.code, caught.value.path or ""


def test_every_field_comes_back_as_written() -> None:
    result = shown(create(FULL))
    expected = orjson.loads(orjson.dumps(FULL))
    expected["headSpec"]["gftConfig"]["redisPassword"] = "******"
    expected["headSpec"]["replica"] = 1
    for key, value in expected.items():
        assert result[key] == value, key


def test_every_field_means_what_it_says() -> None:
    spec = create(FULL)
    assert (spec.head.cpu, spec.head.memory) == (Decimal(2), 8 << 30)
    assert spec.head.env == {"A": "1", "B": "2"}
    assert spec.autoscaling.enabled and spec.autoscaling.idle_timeout_seconds == 90
    assert spec.fault_tolerance is not None and spec.fault_tolerance.redis_password == Secret("secret")
    [group] = spec.workers
    assert (group.name, group.replicas, group.min_replicas, group.max_replicas) == ("g1", 2, 1, 10)
    assert (group.shape.cpu, group.shape.memory, group.shape.env) == (Decimal("0.5"), 4 << 30, {"A": "x,y"})


def test_environments_are_kept_out_of_the_spellings_which_are_not_encrypted() -> None:
    spec = create(FULL)
    assert "A=1,B=2" not in str(spec.spellings)
    assert "A=1,B=2" in spec.extras.values()


def test_the_list_has_fewer_keys_than_get() -> None:
    summary = orjson.loads(orjson.dumps(Writer().summary(view_of(create(FULL)), None)))
    assert set(summary["headSpec"]) == {
        "queueName", "cpu", "memory", "gpuSpec", "enableAutoScaling", "idleTimeoutSeconds", "replica",
    }  # fmt: skip
    assert set(summary["workerSpec"][0]) == {
        "groupName", "workerType", "queueName", "cpu", "memory", "replica", "minReplica", "maxReplica",
    }  # fmt: skip
    assert not {"extraParam", "volumeIds", "instances", "jobUrl", "submitToken"} & set(summary)


def test_a_remembered_row_is_of_that_very_cluster() -> None:
    writer = Writer(remembered=1)
    first, second = view_of(create(FULL)), view_of(create(FULL | {"workerSpec": []}), state=State.RUNNING)

    def seen(view: ClusterView, links: Links | None = None) -> tuple[int, str, str | None]:
        row = orjson.loads(orjson.dumps(writer.summary(view, links)))
        return len(row["workerSpec"]), row["state"], row.get("dashboardUrl")

    links = Links('http://c/?token="t"', "http://gw", None)
    assert [seen(first), seen(second, links), seen(second), seen(first)] == [
        (1, "Stopped", None),
        (0, "Running", links.dashboard_url),
        (0, "Running", None),
        (1, "Stopped", None),
    ]


class TestDefaults:
    def test_least_body(self) -> None:
        spec = create({"name": "x", "headSpec": HEAD})
        assert (spec.release, spec.workers, spec.autoscaling.enabled) == (CATALOGUE.default_release.display, (), False)

    def test_groups(self) -> None:
        spec = create(
            {"name": "x", "headSpec": HEAD, "workerSpec": [{}, {"groupName": "WorkerGroup3"}, {"gpuSpec": "g"}]}
        )
        assert [group.name for group in spec.workers] == ["WorkerGroup1", "WorkerGroup3", "WorkerGroup4"]
        assert [group.type for group in spec.workers] == ["CPU", "CPU", "GPU"]
        first = spec.workers[0]
        assert (first.replicas, first.min_replicas, first.max_replicas) == (1, None, None)
        assert (first.shape.queue, first.shape.cpu, first.shape.memory) == ("root_queue", Decimal(2), 8 << 30)

    def test_with_autoscaling_a_group_begins_with_its_minimum(self) -> None:
        body = {"name": "x", "headSpec": HEAD | {"enableAutoScaling": True}}
        assert create(body | {"workerSpec": [{"minReplica": 3, "maxReplica": 5}]}).workers[0].replicas == 3

    def test_the_heads_release_is_the_clusters_when_that_says_none(self) -> None:
        assert create({"name": "x", "headSpec": HEAD | {"displayReleaseVersion": RELEASES[0]}}).release == RELEASES[0]

    @pytest.mark.parametrize("text", [RELEASES[0], RELEASES[0].partition(" ")[0]])
    def test_a_release_by_its_display_text_or_the_part_before_the_blank(self, text: str) -> None:
        assert create({"name": "x", "headSpec": HEAD, "displayReleaseVersion": text}).release == RELEASES[0]

    @pytest.mark.parametrize("key", ["name", "headSpec"])
    def test_null_is_absent(self, key: str) -> None:
        body = {"name": "x", "headSpec": HEAD} | {key: None}
        assert refusal(body) == ("MissingParameter", key)

    def test_numbers_for_amounts_and_numeric_text_for_integers(self) -> None:
        head = HEAD | {"cpu": 2, "memory": 4}
        result = shown(create({"name": "x", "headSpec": head, "workerSpec": [{"replica": "3"}]}))
        assert (result["headSpec"]["cpu"], result["headSpec"]["memory"]) == ("2", "4")
        assert result["workerSpec"][0]["replica"] == 3


def head(**fields: object) -> dict[str, object]:
    return {"name": "x", "headSpec": HEAD | fields}


def worker(**fields: object) -> dict[str, object]:
    return {"name": "x", "headSpec": HEAD, "workerSpec": [{}, fields]}


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({}, "MissingParameter", "name"),
        ({"name": "x"}, "MissingParameter", "headSpec"),
        ({"name": "x", "headSpec": {}}, "MissingParameter", "headSpec.queueName"),
        ({"name": "x", "headSpec": {"queueName": "q"}}, "MissingParameter", "headSpec.cpu"),
        ({"name": "x", "headSpec": {"queueName": "q", "cpu": 1}}, "MissingParameter", "headSpec.memory"),
        ({"name": ""}, "InvalidParameter", "name"),
        ({"name": "  "}, "InvalidParameter", "name"),
        ({"name": 5}, "InvalidParameter", "name"),
        ({"name": "a\0b"}, "InvalidParameter", "name"),
        ([], "InvalidParameter", "body"),
        ("text", "InvalidParameter", "body"),
        (None, "InvalidParameter", "body"),
        ({"headSpec": "x"}, "InvalidParameter", "headSpec"),
        ({"workerSpec": {}}, "InvalidParameter", "workerSpec"),
        ({"workerSpec": [None]}, "InvalidParameter", "workerSpec[0]"),
        ({"workerSpec": [{}] * 51}, "InvalidParameter", "workerSpec"),
        ({"volumeIds": "vol-1"}, "InvalidParameter", "volumeIds"),
        ({"volumeIds": ["vol-1", 2]}, "InvalidParameter", "volumeIds[1]"),
        ({"displayReleaseVersion": "ray-9.9.9"}, "InvalidParameter", "displayReleaseVersion"),
        ({"displayReleaseVersion": "2.47.1"}, "InvalidParameter", "displayReleaseVersion"),
        ({"extraParam": "{"}, "InvalidParameter", "extraParam"),
        ({"extraParam": "[]"}, "InvalidParameter", "extraParam"),
        ({"extraParam": {}}, "InvalidParameter", "extraParam"),
        ({"description": 1}, "InvalidParameter", "description"),
        ({"networkServiceName": 1}, "InvalidParameter", "networkServiceName"),
        (head(queueName=""), "InvalidParameter", "headSpec.queueName"),
        (head(cpu=True), "InvalidParameter", "headSpec.cpu"),
        (head(cpu="two"), "InvalidParameter", "headSpec.cpu"),
        (head(cpu=""), "InvalidParameter", "headSpec.cpu"),
        (head(cpu="-1"), "InvalidParameter", "headSpec.cpu"),
        (head(cpu=-1), "InvalidParameter", "headSpec.cpu"),
        (head(cpu=1e300), "InvalidParameter", "headSpec.cpu"),
        (head(memory="8 parsecs"), "InvalidParameter", "headSpec.memory"),
        (head(memory="0Gi"), "InvalidParameter", "headSpec.memory"),
        (head(memory=[]), "InvalidParameter", "headSpec.memory"),
        (head(gpuSpec=1), "InvalidParameter", "headSpec.gpuSpec"),
        (head(enableAutoScaling="true"), "InvalidParameter", "headSpec.enableAutoScaling"),
        (head(idleTimeoutSeconds="soon"), "InvalidParameter", "headSpec.idleTimeoutSeconds"),
        (head(idleTimeoutSeconds=0), "InvalidParameter", "headSpec.idleTimeoutSeconds"),
        (head(env="NOVALUE"), "InvalidParameter", "headSpec.env"),
        (head(env="1A=x"), "InvalidParameter", "headSpec.env"),
        (head(env={"A": "1"}), "InvalidParameter", "headSpec.env"),
        (head(env='{"A": null}'), "InvalidParameter", "headSpec.env"),
        (head(rayStartParams="--head"), "InvalidParameter", "headSpec.rayStartParams"),
        (head(rayStartParams="--address=1.2.3.4:6379"), "InvalidParameter", "headSpec.rayStartParams"),
        (head(rayStartParams="--block"), "InvalidParameter", "headSpec.rayStartParams"),
        (head(rayStartParams="--port 6379"), "InvalidParameter", "headSpec.rayStartParams"),
        (head(rayStartParams='{"dashboard-port": 1}'), "InvalidParameter", "headSpec.rayStartParams"),
        (head(rayStartParams="'"), "InvalidParameter", "headSpec.rayStartParams"),
        (head(displayReleaseVersion="no"), "InvalidParameter", "headSpec.displayReleaseVersion"),
        (head(gftEnabled=1), "InvalidParameter", "headSpec.gftEnabled"),
        (head(gftConfig="x"), "InvalidParameter", "headSpec.gftConfig"),
        (head(gftConfig={"redisUrl": 1}), "InvalidParameter", "headSpec.gftConfig.redisUrl"),
        (head(gftConfig={"redisPassword": "******"}), "InvalidParameter", "headSpec.gftConfig.redisPassword"),
        (worker(groupName=""), "InvalidParameter", "workerSpec[1].groupName"),
        (worker(replica=0), "InvalidParameter", "workerSpec[1].replica"),
        (worker(replica=1.5), "InvalidParameter", "workerSpec[1].replica"),
        (worker(replica=True), "InvalidParameter", "workerSpec[1].replica"),
        (worker(replica="many"), "InvalidParameter", "workerSpec[1].replica"),
        (worker(replica=10**30), "InvalidParameter", "workerSpec[1].replica"),
        (worker(minReplica=0), "InvalidParameter", "workerSpec[1].minReplica"),
        (worker(maxReplica=-1), "InvalidParameter", "workerSpec[1].maxReplica"),
        (worker(cpu="x"), "InvalidParameter", "workerSpec[1].cpu"),
        (worker(extraParam="x"), "InvalidParameter", "workerSpec[1].extraParam"),
        (worker(rayStartParams="--no-monitor"), "InvalidParameter", "workerSpec[1].rayStartParams"),
        (worker(displayReleaseVersion=3), "InvalidParameter", "workerSpec[1].displayReleaseVersion"),
    ],
)  # fmt: skip
def test_bad_bodies_name_the_path(body: object, code: str, path: str) -> None:
    assert refusal(body) == (code, path)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 5000, b"\xef\xbb\xbf{}", b'{"name":"\\ud800"}'])
def test_what_is_not_json(body: bytes) -> None:
    with pytest.raises(EmrError) as caught:
        read_wish(body, CATALOGUE)
    assert (caught.value.code, caught.value.path) == ("InvalidParameter", "body")


def test_unknown_keys_are_ignored() -> None:
    spec = create({"name": "x", "future": [{}], "headSpec": HEAD | {"future": 1}, "workerSpec": [{"future": None}]})
    assert spec == create({"name": "x", "headSpec": HEAD, "workerSpec": [{}]})


class TestUpdate:
    def change(self, before: ClusterSpec, body: object) -> ClusterSpec:
        return read_wish(orjson.dumps(body), CATALOGUE).change(before)

    def test_nothing_said_changes_nothing(self) -> None:
        before = create(FULL)
        assert self.change(before, {}) == before

    def test_head_is_replaced_as_a_whole(self) -> None:
        after = self.change(create(FULL), {"headSpec": HEAD})
        assert shown(after)["headSpec"] == HEAD | {"enableAutoScaling": False, "replica": 1}
        assert shown(after)["workerSpec"] == shown(create(FULL))["workerSpec"]

    def test_workers_are_replaced_as_a_whole(self) -> None:
        after = self.change(create(FULL), {"workerSpec": []})
        assert after.workers == () and not any("workers" in key for key in {**after.extras, **after.spellings})
        assert after.head == create(FULL).head

    def test_one_key_keeps_the_others(self) -> None:
        before, after = shown(create(FULL)), shown(self.change(create(FULL), {"description": "new"}))
        assert after == before | {"description": "new"}

    def test_empty_values_take_values_away(self) -> None:
        body = {"description": "", "networkServiceName": "", "extraParam": "", "volumeIds": []}
        after = shown(self.change(create(FULL), body))
        assert after["description"] == ""
        assert not {"networkServiceName", "extraParam", "volumeIds"} & set(after)

    def test_what_get_shows_can_be_sent_back(self) -> None:
        """Read, change, write: the masked password is the stored one."""
        before = create(FULL)
        read = shown(before)
        body = {key: read[key] for key in FULL}
        assert self.change(before, body) == before

    @pytest.mark.parametrize(
        "none",
        [{"replicas": 0}, {"replicas": 0, "min_replicas": 0}, {"replicas": 0, "min_replicas": 0, "max_replicas": 0}],
    )
    def test_numbers_that_others_have_set_to_none_can_be_sent_back(self, none: dict[str, int]) -> None:
        made = create(FULL)
        before = replace(made, workers=(replace(made.workers[0], **none),))
        assert self.change(before, {"workerSpec": shown(before)["workerSpec"]}) == before

    @pytest.mark.parametrize("key", ["replica", "minReplica", "maxReplica"])
    def test_numbers_that_are_set_are_at_least_one(self, key: str) -> None:
        rows = [{**FULL["workerSpec"][0], key: 0}]
        for body in ({"workerSpec": rows}, {"workerSpec": [{**rows[0], "groupName": "another"}]}):
            with pytest.raises(EmrError, match="at least 1") as caught:
                self.change(create(FULL), body)
            assert (caught.value.code, caught.value.path) == ("InvalidParameter", f"workerSpec[0].{key}")

    def test_another_release_takes_the_nodes_along_that_named_the_old_one(self) -> None:
        before = create(FULL)
        after = self.change(before, {"displayReleaseVersion": RELEASES[1]})
        assert (after.release, after.head.release, after.workers[0].shape.release) == (RELEASES[1],) * 3


def test_running_clusters_show_their_addresses_and_nodes() -> None:
    node = NodeObservation(NodeId("n-1"), "head", "head", NodeState.ALIVE, AT, AT + timedelta(seconds=1))
    dead = NodeObservation(NodeId("n-2"), "worker", "g", NodeState.EXITED, AT, None, reason="OOMKilled", exit_code=137)
    waiting = NodeObservation(NodeId("n-3"), "worker", "g", NodeState.STARTING, AT, message="joining")
    spec = create(FULL)
    instance = Instance(
        InstanceId("ray-0123456789abcdef-00000000"), ClusterId("ray-0123456789abcdef"), WorkspaceId("w-1"), spec, 1, AT,
        Secret("0" * 32), Secret("1" * 64), nodes=(node, dead, waiting),
    )  # fmt: skip
    stopped = view_of(spec, instance=instance.id, started_at=AT)
    running = ClusterView(replace(stopped.cluster, state=State.RUNNING), instance)
    links = Links("http://c/?token=t", "http://gw", Secret("0" * 32))
    result: Any = Writer().detail(running, links)
    assert (result["dashboardUrl"], result["jobUrl"], result["jobUrlInner"]) == (
        "http://c/?token=t",
        *["http://gw"] * 2,
    )
    assert (result["submitToken"], result["instanceId"]) == ("0" * 32, instance.id)
    assert result["startTime"] == 1767225600000
    assert "grpcEndpoint" not in result
    first, second, third = result["instances"]
    assert first == {
        "instanceId": "n-1", "type": "Head", "phase": "Running", "containerState": "Running",
        "createTime": 1767225600000, "startTime": 1767225601000,
    }  # fmt: skip
    assert (second["type"], second["phase"], second["containerState"]) == ("Worker", "Failed", "Terminated")
    assert (second["reason"], second["containerStateReason"], second["containerExitCode"]) == ("OOMKilled",) * 2 + (
        137,
    )
    assert (third["phase"], third["containerState"], third["message"]) == ("Pending", "Waiting", "joining")
    for_viewers: Any = Writer().detail(running, replace(links, submit_token=None))
    assert "submitToken" not in for_viewers and "jobUrl" in for_viewers
    down: Any = Writer().detail(ClusterView(stopped.cluster, instance), None)
    assert not {"instances", "dashboardUrl", "jobUrl", "jobUrlInner", "submitToken"} & set(down)


class TestEnvironment:
    @pytest.mark.parametrize(
        ("text", "variables"),
        [
            ("", {}),
            ("A=1", {"A": "1"}),
            ("A=1,B=2", {"A": "1", "B": "2"}),
            ("A=1, B=2", {"A": "1", "B": "2"}),
            ("A=1\nB=x,y\n", {"A": "1", "B": "x,y"}),
            ("A=1\r\nB=2", {"A": "1", "B": "2"}),
            ("NO_PROXY=a,b,MODE=fast", {"NO_PROXY": "a,b", "MODE": "fast"}),
            ("A=b=c", {"A": "b=c"}),
            ("A=", {"A": ""}),
            ("A=1,A=2", {"A": "2"}),
            ('{"A": "1", "B": 2, "C": true}', {"A": "1", "B": "2", "C": "true"}),
        ],
    )
    def test_forms(self, text: str, variables: dict[str, str]) -> None:
        assert parse_environment(text) == variables

    @pytest.mark.parametrize("text", ["A", "=1", "A B=1", "A=1\nB", '{"A": []}', '{"1": "x"}', "{A=1}"])
    def test_refused_without_repeating_values(self, text: str) -> None:
        with pytest.raises(ValueError):
            parse_environment(text)

    @given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), st.text(max_size=10)))
    def test_any_variables_can_be_written(self, variables: dict[str, str]) -> None:
        variables = {key: value for key, value in variables.items() if value.isprintable() or value == "\n"}
        assert parse_environment(format_environment(variables)) == variables


@given(st.integers(1, 1 << 50))
def test_memory_of_any_size_is_written_in_gi(size: int) -> None:
    text = format_memory(size)
    assert text.endswith("Gi")
    assert abs(parse_memory(text) - size) <= 1


def is_within(given_value: Any, result: Any) -> bool:
    """Whether everything that was given is in the result, which may say more."""
    if isinstance(given_value, dict):
        return all(key in result and is_within(value, result[key]) for key, value in given_value.items())
    if isinstance(given_value, list):
        pairs = zip(given_value, result, strict=True)
        return len(given_value) == len(result) and all(is_within(*pair) for pair in pairs)
    return bool(given_value == result)


@given(BODIES)
def test_round_trip(body: dict[str, Any]) -> None:
    """What a user wrote comes back as written (invariant 6), and can be written again."""
    spec = create(body)
    result = shown(spec)
    assert is_within(body, result)
    assert read_wish(orjson.dumps({key: result[key] for key in FULL if key in result}), CATALOGUE).change(spec) == spec


@pytest.mark.slow
@settings(max_examples=400)
@given(JSON | SCRAMBLED)
def test_no_json_raises_anything_but_a_client_error(value: object) -> None:
    body = orjson.dumps(value)
    for attempt in (create, lambda text: read_wish(orjson.dumps(text), CATALOGUE).change(create(FULL))):
        try:
            spec = attempt(orjson.loads(body))
        except HeliostatError as error:
            assert isinstance(error, EmrError)
        else:
            assert shown(spec)["name"]


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_client_error(body: bytes) -> None:
    try:
        read_wish(body, Installation().catalogue)
    except EmrError as error:
        assert error.code == "InvalidParameter"


def test_replica_counts_nodes_while_the_autoscaler_decides_and_may_be_sent_back() -> None:
    body = {**FULL, "headSpec": {**FULL["headSpec"], "enableAutoScaling": True}}
    body["workerSpec"] = [{**FULL["workerSpec"][0], "groupName": "g", "replica": 1, "minReplica": 1, "maxReplica": 3}]
    spec = create(body)
    nodes = [
        NodeObservation(NodeId(f"n-{index}"), "worker", "g", state, AT)
        for index, state in enumerate((NodeState.ALIVE, NodeState.STARTING, NodeState.DRAINING))
    ]
    instance = Instance(
        InstanceId("ray-0123456789abcdef-00000000"), ClusterId("ray-0123456789abcdef"), WorkspaceId("w-1"), spec, 1, AT,
        Secret("0" * 32), Secret("1" * 64), nodes=tuple(nodes), running_at=AT,
    )  # fmt: skip
    stopped = view_of(spec, instance=instance.id)
    running = ClusterView(replace(stopped.cluster, state=State.RUNNING), instance)
    writer = Writer()

    def replica(view: ClusterView) -> int:
        detail: Any = writer.detail(view, None)
        row = orjson.loads(orjson.dumps(writer.summary(view, None)))
        assert row["workerSpec"][0]["replica"] == detail["workerSpec"][0]["replica"]
        count: int = detail["workerSpec"][0]["replica"]
        return count

    assert replica(running) == 2, "the one that leaves does not count"
    assert replica(replace(running, instance=replace(instance, nodes=tuple(nodes[:1])))) == 1
    assert replica(replace(running, instance=replace(instance, nodes=()))) == 1, "not below the least"
    assert replica(stopped) == 1, "as written"
    idle = replace(spec, workers=(replace(spec.workers[0], min_replicas=0),))
    assert replica(ClusterView(replace(running.cluster, spec=idle), replace(instance, spec=idle, nodes=()))) == 0
    leaving: Any = writer.detail(running, None)
    assert (leaving["instances"][2]["phase"], leaving["instances"][2]["containerState"]) == ("Running", "Running")


def test_what_only_others_know_of_autoscaling_survives_an_update() -> None:
    before = create(FULL)
    before = replace(
        before,
        autoscaling=replace(before.autoscaling, upscaling=Upscaling.CONSERVATIVE),
        workers=tuple(replace(group, idle_timeout_seconds=30) for group in before.workers),
    )
    wish = read_wish(json.dumps({key: FULL[key] for key in ("headSpec", "workerSpec")}).encode(), CATALOGUE)
    assert wish.change(before) == before


def test_an_update_keeps_what_this_dialect_does_not_know() -> None:
    before = replace(
        create(FULL),
        nfs_mounts=(NfsMount("10.0.0.2", "/exports", "data"),),
        metrics=False,
        collect_logs=False,
        unhonoured={"network": "it has none"},
    )
    after = read_wish(json.dumps({**FULL, "description": "another one"}).encode(), CATALOGUE).change(before)
    kept = ("nfs_mounts", "metrics", "collect_logs", "unhonoured")
    assert after.description == "another one"
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
