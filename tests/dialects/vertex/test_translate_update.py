"""Updates: masks, what they change of the spec, and everything that they must leave alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from heliostat.dialects.vertex.translate.update import read_mask, read_update
from heliostat.domain.errors import InvalidRequest
from heliostat.domain.spec import Autoscaling, ClusterSpec
from heliostat.domain.updates import Effect, edits
from heliostat.domain.validation import errors

from .resources import CONTEXT, CPU, RELEASE, SENT, Json, body, create, elsewhere, group, pool, run_of, scaling, shown

COUNT = "resource_pools.replica_count"


def update(spec: ClusterSpec, given: Json, mask: str = COUNT) -> ClusterSpec:
    changed = read_update(given, read_mask(mask), CONTEXT)(spec)
    assert not list(errors(changed, CONTEXT.installation, {"root_queue", "gpu"}))
    return changed


def refusal(spec: ClusterSpec, given: Any, mask: str = COUNT) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        update(spec, given, mask)
    return caught.value.path or "", caught.value.message


def resized(answer: Json, *counts: int | None) -> Json:
    """What was read, sent back with other sizes, as the vendor's client does it."""
    given = copy.deepcopy(answer)
    for row, count in zip(given["resourcePools"], counts, strict=True):
        row.pop("replicaCount") if count is None else row.update(replicaCount=str(count))
    return given


# --- masks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("resourcePools.replicaCount", {COUNT}),
        ("resource_pools.replica_count", {COUNT}),
        (["resource_pools.replica_count", "labels"], {COUNT, "labels"}),
        (" labels , displayName,labels,", {"labels", "display_name"}),
        ("resourcePools.autoscalingSpec.minReplicaCount", {"resource_pools.autoscaling_spec.min_replica_count"}),
        (["resource_pools,resource_pools.autoscaling_spec"], {"resource_pools", "resource_pools.autoscaling_spec"}),
    ],
)
def test_masks(text: Any, paths: set[str]) -> None:
    assert read_mask(text) == paths


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is required"),
        ([], "is required"),
        (",", "is required"),
        ("*", "is no field"),
        ("state", "'state' is output only"),
        ("error.code", "is output only"),
        ("resource_runtime.access_uris", "is output only"),
        ("resourcePools.usedReplicaCount", "is output only"),
        ("name", "'name' cannot be changed"),
        ("network", "cannot be changed"),
        ("resource_pools.machine_spec.machine_type", "cannot be changed"),
        ("resource_runtime_spec.ray_spec.image_uri", "cannot be changed"),
        ("resource_pools.nothing", "is no field"),
        ("labels.a", "is no field"),
        ("labels,nothing", "'nothing' is no field"),
    ],
)
def test_masks_that_cannot_be(text: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as caught:
        read_mask(text)
    assert caught.value.path == "updateMask"


# --- sizes ----------------------------------------------------------------------------------------------------------


def test_what_the_vendors_client_does() -> None:
    spec = create(SENT)
    run = run_of(spec, {"worker-pool1": 2})
    changed = update(spec, resized(shown(spec, run), 1, 5))
    assert [row.replicas for row in changed.workers] == [5]
    assert changed == replace(spec, workers=(replace(spec.workers[0], replicas=5),))
    assert update(spec, resized(shown(spec, run), 1, 2)) is spec


def test_everything_outside_the_mask_is_ignored() -> None:
    spec = create(SENT)
    given = {"labels": 5, "displayName": [], "resourceRuntimeSpec": "x", "network": "n", "state": "?"}
    pools = [{"id": "head-node", "replicaCount": "1", "machineSpec": 7}, {"id": "worker-pool1", "replicaCount": 3}]
    assert [row.replicas for row in update(spec, {**given, "resourcePools": pools}).workers] == [3]
    assert update(spec, {**given, "displayName": "new"}, "display_name") == replace(spec, description="new")


def test_pools_are_known_by_id_or_by_place() -> None:
    spec = create(body(pool(), pool("a"), pool("b")))
    rows = [
        {"id": "b", "replicaCount": "4"},
        {"id": "head-node", "replicaCount": "1"},
        {"id": "a", "replicaCount": "3"},
    ]
    assert [row.replicas for row in update(spec, {"resourcePools": rows}).workers] == [3, 4]
    rows = [{"replicaCount": "1"}, {"replicaCount": "3"}, {"id": "b", "replicaCount": "4"}]
    assert [row.replicas for row in update(spec, {"resourcePools": rows}).workers] == [3, 4]


def test_the_heads_pool_grows_and_shrinks() -> None:
    spec = create(body(pool(), pool(count=2)))
    grown = update(spec, resized(shown(spec), 4, 2))
    assert [(row.name, row.replicas) for row in grown.workers] == [("worker-pool1", 2), ("head-node", 3)]
    assert grown.workers[1].shape == spec.head
    assert [row["replicaCount"] for row in shown(grown)["resourcePools"]] == ["4", "2"]

    kept = replace(grown, workers=(grown.workers[0], replace(grown.workers[1], idle_timeout_seconds=9)))
    small = update(kept, resized(shown(kept), 1, 2))
    assert [(row.name, row.replicas, row.idle_timeout_seconds) for row in small.workers][1] == ("head-node", 0, 9)
    assert [row["replicaCount"] for row in shown(small)["resourcePools"]] == ["1", "2"]
    assert {row.effect for row in edits(spec, grown, spec)} == {Effect.IN_PLACE}
    assert {row.effect for row in edits(kept, small, kept)} == {Effect.IN_PLACE}


def test_workers_that_a_head_gets_are_like_it_but_for_its_own_options() -> None:
    spec = elsewhere(group("w"))
    spec = replace(spec, head=replace(spec.head, env={"A": "1"}, ray_start_params="--num-cpus=0", release=RELEASE))
    grown = update(spec, resized(shown(spec), 2, 1))
    assert grown.workers[0] == spec.workers[0] and "vertex" not in grown.extras
    shape = grown.workers[1].shape
    assert (shape.env, shape.ray_start_params, shape.release, shape.cpu) == ({"A": "1"}, "", None, Decimal("0.5"))


def test_workers_like_the_head_that_were_made_elsewhere_are_resized_in_its_pool() -> None:
    spec = elsewhere(group("a", 2, cpu="0.5", idle_timeout_seconds=9), head=group("x", cpu="0.5").shape)
    for count in (3, 0):
        changed = update(spec, resized(shown(spec), 1 + count))
        assert changed == replace(spec, workers=(replace(spec.workers[0], replicas=count),))


def test_a_head_cannot_grow_into_a_group_of_another_size() -> None:
    spec = elsewhere(group("head-node", 2))
    assert refusal(spec, resized(shown(spec), 2, 2))[0] == "resourcePools[0].replicaCount"
    assert [row.replicas for row in update(spec, resized(shown(spec), 1, 3)).workers] == [3]


def test_a_pool_that_has_no_nodes_may_stay_so() -> None:
    spec = elsewhere(group("w", 0), group("v", 1))
    assert [row.replicas for row in update(spec, resized(shown(spec), 1, 0, 4)).workers] == [0, 4]
    assert refusal(spec, resized(shown(spec), 1, 0, 0))[0] == "resourcePools[2].replicaCount"


@pytest.mark.parametrize(
    ("path", "rows"),
    [
        ("resourcePools", []),
        ("resourcePools", [{"id": "head-node", "replicaCount": "1"}]),
        ("resourcePools", [{"id": "head-node", "replicaCount": "1"}, {"id": "worker-pool1"}, {"id": "more"}]),
        ("resourcePools[1].id", [{"id": "head-node", "replicaCount": "1"}, {"id": "other", "replicaCount": "1"}]),
        ("resourcePools[1].id", [{"id": "head-node", "replicaCount": "1"}, {"id": "head-node"}]),
        ("resourcePools[1].id", [{"replicaCount": "1"}, {"id": "head-node", "replicaCount": "1"}]),
        ("resourcePools[0].replicaCount", [{"id": "head-node", "replicaCount": "0"}, {"id": "worker-pool1"}]),
        ("resourcePools[1].replicaCount", [{"id": "head-node", "replicaCount": "1"}, {"id": "worker-pool1"}]),
        ("resourcePools[1].replicaCount", [{"replicaCount": "1"}, {"replicaCount": "1001"}]),
        ("resourcePools[1].replicaCount", [{"replicaCount": "1"}, {"replicaCount": "x"}]),
    ],
)
def test_what_is_refused_of_pools(path: str, rows: list[Json]) -> None:
    assert refusal(create(SENT), {"resourcePools": rows})[0] == path


def test_a_cluster_has_at_most_so_many_nodes() -> None:
    spec = create(body(pool(), pool(), pool()))
    assert refusal(spec, resized(shown(spec), 1000, 1000, 1))[0] == "resourcePools"
    assert update(spec, resized(shown(spec), 999, 1000, 1)).node_count == 2000


# --- autoscaling ----------------------------------------------------------------------------------------------------


def scaled() -> ClusterSpec:
    return create(body(pool(count=None, **scaling(1, 4)), pool(count=2)))


def test_sizes_of_a_pool_that_scales_lie_within_its_bounds() -> None:
    spec = scaled()
    changed = update(spec, resized(shown(spec), 3, 5))
    assert [(row.replicas, row.min_replicas, row.max_replicas) for row in changed.workers] == [(2, 0, 3), (5, 5, 5)]
    assert refusal(spec, resized(shown(spec), 5, 2))[0] == "resourcePools[0].replicaCount"
    assert update(spec, resized(shown(spec), None, 2)) is spec


def test_bounds() -> None:
    spec = scaled()
    given = shown(spec)
    given["resourcePools"][0]["autoscalingSpec"] = scaling(2, 9)["autoscalingSpec"]
    for mask in ("resource_pools.autoscaling_spec", "resource_pools"):
        if mask == "resource_pools":
            given["resourcePools"][0]["replicaCount"] = "2"
        changed = update(spec, given, mask)
        head = changed.workers[0]
        assert (head.replicas, head.min_replicas, head.max_replicas) == (1, 1, 8)
        assert shown(changed)["resourcePools"][0]["autoscalingSpec"] == scaling(2, 9)["autoscalingSpec"]
    only_most = update(spec, given, "resource_pools.autoscaling_spec.max_replica_count").workers[0]
    assert (only_most.replicas, only_most.min_replicas, only_most.max_replicas) == (0, 0, 8)
    only_least = update(spec, given, "resource_pools.autoscaling_spec.min_replica_count").workers[0]
    assert (only_least.replicas, only_least.min_replicas, only_least.max_replicas) == (1, 1, 3)


@pytest.mark.parametrize(
    ("path", "bounds"),
    [
        ("resourcePools[0].autoscalingSpec.minReplicaCount", scaling(4, 4)),
        ("resourcePools[0].autoscalingSpec.maxReplicaCount", {"autoscalingSpec": {"minReplicaCount": "1"}}),
        ("resourcePools[0].autoscalingSpec", {}),
    ],
)
def test_bounds_that_cannot_be(path: str, bounds: Json) -> None:
    given = {"resourcePools": [{"id": "head-node", **bounds}, {"id": "worker-pool1"}]}
    assert refusal(scaled(), given, "resource_pools.autoscaling_spec")[0] == path


def test_autoscaling_cannot_be_switched_on() -> None:
    path, why = refusal(create(body()), {"resourcePools": [scaling(1, 2)]}, "resource_pools.autoscaling_spec")
    assert path == "resourcePools[0].autoscalingSpec" and "Ray's autoscaler" in why


def test_a_minimum_of_none_for_the_heads_pool_stays_as_written() -> None:
    spec = scaled()
    given = shown(spec)
    given["resourcePools"][0]["autoscalingSpec"] = {"maxReplicaCount": "6"}
    changed = update(spec, given, "resource_pools.autoscaling_spec")
    assert shown(changed)["resourcePools"][0]["autoscalingSpec"] == scaling(0, 6)["autoscalingSpec"]


def test_autoscaling_of_a_cluster_made_elsewhere() -> None:
    spec = elsewhere(group("w", 2, min_replicas=1, max_replicas=5), autoscaling=Autoscaling(True))
    given = shown(spec)
    given["resourcePools"][1]["autoscalingSpec"] = scaling(3, 7)["autoscalingSpec"]
    workers = update(spec, given, "resource_pools.autoscaling_spec").workers[0]
    assert (workers.replicas, workers.min_replicas, workers.max_replicas) == (3, 3, 7)


# --- whole pools, labels, display name ------------------------------------------------------------------------------


def test_whole_pools_may_be_given_as_they_are() -> None:
    spec = create(SENT)
    assert update(spec, shown(spec), "resource_pools") is spec
    changed = resized(shown(spec), 1, 4)
    assert update(spec, changed, "resource_pools").workers[0].replicas == 4
    for key, other in (("machineSpec", {"machineType": "n1-standard-2"}), ("diskSpec", {"bootDiskSizeGb": 200})):
        wrong = copy.deepcopy(changed)
        wrong["resourcePools"][0][key] = other
        assert refusal(spec, wrong, "resource_pools")[0] == f"resourcePools[0].{key}"
        assert update(spec, wrong, COUNT).workers[0].replicas == 4


def test_a_pool_of_a_machine_with_an_accelerator_of_its_own_is_the_same_without_it() -> None:
    spec = create(body(pool(machine="g2-standard-8")))
    given = {"resourcePools": [pool(machine="g2-standard-8", count=2)]}
    assert update(spec, given, "resource_pools").node_count == 2


def test_labels_are_replaced_and_move_the_queue() -> None:
    spec = create(SENT)
    changed = update(spec, {"labels": {"heliostat-queue": "gpu"}}, "labels")
    assert changed.labels == {"heliostat-queue": "gpu"}
    assert {changed.head.queue, *(row.shape.queue for row in changed.workers)} == {"gpu"}
    back = update(changed, {"labels": {}}, "labels")
    assert back.head.queue == "root_queue" and back.labels == {}
    elsewhere_made = replace(changed, labels={})  # nobody named its queue here
    assert update(elsewhere_made, {"labels": {"a": "b"}}, "labels").head.queue == "gpu"
    assert refusal(spec, {"labels": {"A": "b"}}, "labels")[0] == "labels.A"


def test_labels_that_only_others_can_set_are_sent_back_as_they_are() -> None:
    spec = elsewhere(labels={"Team": "Ours", "site.example/tier": "1"})
    given = {**shown(spec)["labels"], "a": "b"}
    assert update(spec, {"labels": given}, "labels").labels == {**spec.labels, "a": "b"}
    assert refusal(spec, {"labels": {**given, "Team": "Yours"}}, "labels")[0] == "labels.Team"


def test_a_display_name_that_was_shown_short_does_not_shorten_what_it_is_of() -> None:
    spec = elsewhere(description="d" * 200)
    assert update(spec, shown(spec), "display_name") is spec
    assert update(spec, {}, "display_name").description == ""
    assert refusal(spec, {"displayName": "x" * 129}, "display_name")[0] == "displayName"


def test_what_is_kept_of_pools_that_are_gone_goes_with_the_next_change() -> None:
    spec = create(body(pool(), pool("a", diskSpec={"bootDiskSizeGb": 500}), pool("b")))
    assert list(spec.unhonoured) == ["resourcePools[1].diskSpec"]
    without = replace(spec, workers=spec.workers[1:])
    changed = update(without, resized(shown(without), 1, 3))
    assert changed.unhonoured == {} and '"a"' not in changed.extras["vertex"] and CPU in changed.extras["vertex"]
