"""Every error that a caller can be told has a code, and nothing internal gets out."""

from __future__ import annotations

import orjson
import pytest

from heliostat.dialects.vertex.errors import (
    CODES,
    LONGEST_MESSAGE,
    STATUS,
    TELLABLE,
    VertexError,
    internal,
    not_found,
    told,
)
from heliostat.dialects.vertex.names import InvalidName
from heliostat.dialects.vertex.wire import Messages, WireError
from heliostat.domain import errors
from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import RequestId
from heliostat.services.directory import ProjectRefused

REQUEST = RequestId("R-1")
SAMPLES: list[tuple[HeliostatError | InvalidName | WireError, int, int]] = [
    (errors.InvalidRequest("is wrong", path="labels"), 3, 400),
    (errors.InvalidSpec("labels", "is wrong"), 3, 400),
    (errors.MissingField("resourcePools"), 3, 400),
    (InvalidName("parent", "must be of the form x"), 3, 400),
    (WireError("resourcePools[0]", "must be an object"), 3, 400),
    (errors.IdempotencyMismatch("used before"), 3, 400),
    (errors.NotFound("cluster", "c1"), 5, 404),
    (errors.NotFound("workspace", "w-1"), 7, 403),
    (ProjectRefused("p", "ann"), 7, 403),
    (errors.AlreadyExists("cluster", "c1"), 6, 409),
    (errors.Forbidden("do it", "ann", "editor"), 7, 403),
    (errors.QuotaExceeded("too much"), 8, 429),
    (errors.Throttled(1500), 8, 429),
    (errors.Conflict("not now"), 9, 400),
    (errors.NotReady("no Python"), 9, 400),
    (errors.Unavailable("the database does not answer"), 14, 503),
    (errors.Unauthenticated("who?"), 16, 401),
    (VertexError(10, "changed at the same time"), 10, 409),
    (VertexError(12, "no such thing", http=405), 12, 405),
]


@pytest.mark.parametrize(("error", "number", "http"), SAMPLES, ids=lambda value: type(value).__name__)
def test_an_error_has_its_code_on_both_transports(
    error: HeliostatError | InvalidName | WireError, number: int, http: int
) -> None:
    shown = told(error, REQUEST)
    assert (shown.number, shown.http) == (number, http)
    body = shown.body()["error"]
    assert (body["code"], body["status"]) == (http, STATUS[number][1])
    info = body["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["reason"] and info["domain"] == "aiplatform.googleapis.com"
    assert info["metadata"]["requestId"] == REQUEST


def _kinds(kind: type[HeliostatError]) -> set[type[HeliostatError]]:
    found = {kind}
    for below in kind.__subclasses__():
        found |= _kinds(below)
    return found


def test_every_error_of_the_domain_is_in_the_table() -> None:
    ours = {kind for kind in _kinds(HeliostatError) if kind.__module__ == "heliostat.domain.errors"}
    unknown = {kind for kind in ours if not any(parent in CODES for parent in kind.__mro__)}
    assert unknown == {HeliostatError}


def test_the_message_names_the_path_in_the_clients_words() -> None:
    shown = told(errors.InvalidRequest("must be 1 or more", path="resourcePools[0].replicaCount"), REQUEST)
    assert shown.message == "resourcePools[0].replicaCount: must be 1 or more"
    assert shown.metadata["field"] == "resourcePools[0].replicaCount"


def test_what_is_not_there_is_said_in_the_vendors_sentence() -> None:
    name = "projects/1/locations/l/persistentResources/c1"
    assert str(not_found("PersistentResource", name)) == f'The PersistentResource "{name}" is not found.'


def test_too_many_requests_say_when_to_come_again() -> None:
    details = told(errors.Throttled(1500), REQUEST).details()
    assert details[1] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}


def test_a_bug_shows_nothing_but_the_request() -> None:
    assert "R-1" in str(internal(REQUEST).body())
    assert internal(REQUEST).number == 13
    assert told(HeliostatError("a secret"), REQUEST) == internal(REQUEST)
    assert not issubclass(KeyError, TELLABLE)


def test_a_role_that_is_lost_on_the_way_names_no_workspace() -> None:
    assert "w-1" not in told(errors.NotFound("workspace", "w-1"), REQUEST).message


@pytest.mark.parametrize("letter", ["x", "ü", "\U0001f600", "\ud800"])
def test_an_error_fits_into_the_metadata_of_a_call(letter: str) -> None:
    shown = told(errors.InvalidRequest(letter * 100_000, path=letter * 5_000), REQUEST)
    assert len(shown.message.encode()) <= LONGEST_MESSAGE
    assert orjson.dumps(shown.body())
    assert orjson.dumps(told(errors.InvalidRequest(letter), REQUEST).body())
    status = {"code": shown.number, "message": shown.message, "details": shown.details()}
    assert len(Messages("v1").encode("Status", status)) < 3000
