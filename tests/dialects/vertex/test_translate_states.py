"""States and operations in this dialect's words: the whole product, and every kind and end of an operation."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from heliostat.dialects.vertex.translate.operations import write_operation
from heliostat.dialects.vertex.translate.resource import Context, write_resource
from heliostat.dialects.vertex.translate.states import CODES, OPERATING, STATES, shown_error, shown_state
from heliostat.dialects.vertex.wire import canonical, schema
from heliostat.domain.engine import Progress, Step
from heliostat.domain.ids import OperationId, PrincipalId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.operations import Failure, Kind, Operation
from heliostat.domain.states import State, Wanted
from heliostat.services import ClusterView, OperationView

from .resources import AT, CLUSTER, CONTEXT, NAME, SENT, Json, cluster_of, create, elsewhere, run_of

SPEC = create(SENT)
LABEL = {"dialect": "vertex", "version": "v1", "location": "europe-west4", "resource": "c1"}
PACKAGE = "type.googleapis.com/google.cloud.aiplatform"


def operation(kind: Kind = Kind.CREATE, **changes: Any) -> Operation:
    row = Operation(
        OperationId("1234567890123456"), WorkspaceId("w-1"), CLUSTER, kind, PrincipalId("1"), AT, 1, SPEC, AT, LABEL
    )
    return replace(row, **changes)


def ended(kind: Kind = Kind.CREATE, **changes: Any) -> Operation:
    return operation(kind, ended_at=AT + timedelta(seconds=9), **changes)


# --- states ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "wanted", "kind"), list(itertools.product(State, Wanted, [None, *Kind])), ids=str)
def test_every_state_has_a_word_and_an_error_only_where_it_is_one(
    state: State, wanted: Wanted, kind: Kind | None
) -> None:
    word = shown_state(state, wanted, kind).value
    if wanted is Wanted.DELETED:
        assert word == "STOPPING"
    elif kind is not None and (state, kind) in OPERATING:
        assert word == OPERATING[state, kind].value and word in ("UPDATING", "REBOOTING")
    else:
        assert word == STATES[state].value
    cluster = cluster_of(SPEC, state=state, wanted=wanted, message="it broke")
    told = shown_error(cluster)
    assert (told is not None) == (word == "ERROR")
    under_way = None if kind is None else operation(kind)
    answer = write_resource(ClusterView(cluster, None), NAME, under_way, CONTEXT)
    assert answer["state"] == word and answer.get("error") == told
    assert canonical.check(answer, schema.find("v1", "PersistentResource")) == answer


def test_words_of_the_states() -> None:
    assert {state: word.value for state, word in STATES.items()} == {
        State.STARTING: "PROVISIONING",
        State.RUNNING: "RUNNING",
        State.STOPPING: "STOPPING",
        State.ERROR: "ERROR",
        State.STOPPED: "ERROR",
    }
    assert shown_state(State.STARTING, Wanted.RUNNING, Kind.CREATE).value == "PROVISIONING"
    assert shown_state(State.STARTING, Wanted.RUNNING, Kind.REBOOT).value == "REBOOTING"
    assert shown_state(State.RUNNING, Wanted.RUNNING, Kind.UPDATE).value == "UPDATING"


def test_an_operation_that_has_ended_is_no_state() -> None:
    answer = write_resource(ClusterView(cluster_of(SPEC), None), NAME, ended(Kind.UPDATE), CONTEXT)
    assert answer["state"] == "RUNNING"


def test_errors_tell_what_to_do() -> None:
    stopped = shown_error(cluster_of(elsewhere(), state=State.STOPPED, wanted=Wanted.STOPPED))
    assert stopped == {
        "code": 9,
        "message": "elsewhere is stopped; start it with: heliostat cluster start elsewhere",
    }
    assert shown_error(cluster_of(SPEC, state=State.ERROR, message="no head")) == {"code": 13, "message": "no head"}


# --- operations -----------------------------------------------------------------------------------------------------


def written(row: Operation, cluster: bool = True, context: Context = CONTEXT, **changes: Any) -> Json:
    run = run_of(SPEC, **changes.pop("run", {}))
    view = OperationView(row, cluster_of(SPEC, instance=run.id, **changes), run) if cluster else OperationView(row)
    answer = write_operation(view, 123456789012, context)
    return canonical.check(answer, schema.TYPES["google.longrunning.Operation"])


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        (Kind.CREATE, "CreatePersistentResourceOperationMetadata"),
        (Kind.UPDATE, "UpdatePersistentResourceOperationMetadata"),
        (Kind.REBOOT, "RebootPersistentResourceOperationMetadata"),
        (Kind.DELETE, "DeleteOperationMetadata"),
    ],
)
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_operations_under_way(kind: Kind, metadata: str, version: str) -> None:
    answer = written(operation(kind, label={**LABEL, "version": version}), state=State.STARTING)
    name = "projects/123456789012/locations/europe-west4/persistentResources/c1/operations/1234567890123456"
    assert answer["name"] == name and not {"done", "response", "error"} & answer.keys()
    assert answer["metadata"]["@type"] == f"{PACKAGE}.{version}.{metadata}"
    assert answer["metadata"]["genericMetadata"]["createTime"] == "2026-01-01T00:00:00Z"
    assert ("progressMessage" in answer["metadata"]) == (kind is not Kind.DELETE)


@pytest.mark.parametrize("kind", [Kind.CREATE, Kind.UPDATE, Kind.REBOOT])
@pytest.mark.parametrize("there", [True, False])
def test_operations_that_succeeded(kind: Kind, there: bool) -> None:
    answer = written(ended(kind), there)
    assert answer["done"] is True and "error" not in answer
    response = answer["response"]
    assert response["@type"] == f"{PACKAGE}.v1.PersistentResource"
    assert response["name"] == "projects/123456789012/locations/europe-west4/persistentResources/c1"
    assert response["state"] == "RUNNING" and len(response["resourcePools"]) == 2
    assert ("accessUris" in response["resourceRuntime"]) == there
    assert answer["metadata"]["genericMetadata"]["updateTime"] == "2026-01-01T00:00:09Z"
    assert answer["metadata"]["progressMessage"] == "done"


def test_a_removal_that_succeeded() -> None:
    answer = written(ended(Kind.DELETE), cluster=False)
    assert answer["done"] is True and answer["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}


@pytest.mark.parametrize(
    ("failure", "code"),
    [(Failure.FAILED, 13), (Failure.NO_ROOM, 8), (Failure.OVERTAKEN, 10), (Failure.CANCELLED, 1)],
)
def test_operations_that_failed(failure: Failure, code: int) -> None:
    assert set(CODES) == set(Failure)
    for message in ("why", ""):
        answer = written(ended(failure=failure, message=message), state=State.ERROR)
        assert answer["error"] == {"code": code, "message": message or str(failure)} and "response" not in answer
        assert answer["metadata"]["progressMessage"] == (message or str(failure))


def test_progress_is_told_in_words() -> None:
    steps = (
        Progress(Step.QUEUED, AT, AT + timedelta(seconds=1)),
        Progress(Step.ENVIRONMENT, AT + timedelta(seconds=1), None, "installing ray"),
    )
    answer = written(operation(), state=State.STARTING, run={"progress": steps})["metadata"]
    assert answer["progressMessage"] == "preparing the environment: installing ray"
    assert answer["genericMetadata"]["updateTime"] == "2026-01-01T00:00:01Z"
    waiting = written(operation(), state=State.STARTING, message="waits for 4 CPU", run={"progress": steps})["metadata"]
    assert waiting["progressMessage"] == "waits for 4 CPU"
    up = written(operation(Kind.UPDATE), run={"progress": (Progress(Step.UP, AT),)})["metadata"]
    assert up["progressMessage"] == "updating"
    assert written(operation(), cluster=False)["metadata"]["progressMessage"] == "provisioning"


def test_an_operation_that_was_opened_elsewhere() -> None:
    answer = written(ended(Kind.UPDATE, label={}), context=Context(Installation()))
    assert answer["name"].startswith("projects/123456789012/locations/us-central1/persistentResources/c1/operations/")
    assert answer["response"]["@type"] == f"{PACKAGE}.v1beta1.PersistentResource"
