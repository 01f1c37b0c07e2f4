"""The one table from our errors to the vendor's codes, and the names of fields in messages."""

from __future__ import annotations

import pytest

from heliostat.dialects.emr.errors import CODES, INTERNAL, STATUS, told
from heliostat.dialects.emr.paths import emr_path, emr_words
from heliostat.domain import errors
from heliostat.domain.engine import Finding, Verdict
from heliostat.domain.errors import HeliostatError

EXAMPLES: list[tuple[HeliostatError, int, str]] = [
    (errors.InvalidRequest("bad"), 400, "InvalidParameter"),
    (errors.InvalidSpec("head.cpu", "bad"), 400, "InvalidParameter"),
    (errors.MissingField("name"), 400, "MissingParameter"),
    (errors.NotFound("cluster", "x"), 404, "ResourceNotFound"),
    (errors.NotCollected("x"), 404, "ResourceNotFound"),
    (errors.Conflict("busy"), 409, "OperationDenied"),
    (errors.AlreadyExists("cluster", "x"), 409, "ResourceAlreadyExists"),
    (errors.IdempotencyMismatch("used"), 400, "IdempotentParameterMismatch"),
    (errors.Unauthenticated("who?"), 403, "InvalidBearerToken"),
    (errors.Forbidden("do it", "ann", "editor"), 403, "Forbidden.RAM"),
    (errors.QuotaExceeded("full"), 400, "QuotaExceeded"),
    (errors.Throttled(1500), 429, "Throttling.User"),
    (errors.Unavailable("down"), 503, "ServiceUnavailable"),
    (errors.NotReady("install uv"), 409, "OperationDenied"),
]


@pytest.mark.parametrize(("error", "status", "code"), EXAMPLES)
def test_every_error(error: HeliostatError, status: int, code: str) -> None:
    answer = told(error)
    assert (answer.status, answer.code) == (status, code)


def subclasses(kind: type[HeliostatError]) -> set[type[HeliostatError]]:
    direct = {found for found in kind.__subclasses__() if found.__module__ == errors.__name__}
    return direct | {inner for found in direct for inner in subclasses(found)}


def test_no_error_of_the_domain_is_forgotten() -> None:
    assert {type(error) for error, _, _ in EXAMPLES} == subclasses(HeliostatError)
    assert set(CODES.values()) <= set(STATUS)


def test_the_root_is_internal_and_says_nothing() -> None:
    assert told(HeliostatError("the inner secret")) is INTERNAL


def test_retry_hints() -> None:
    assert told(errors.Throttled(1500)).retry_after_ms == 1500
    assert told(errors.Unavailable("down")).retry_after_ms == 1000
    assert told(errors.Conflict("busy")).retry_after_ms is None


@pytest.mark.parametrize(
    ("native", "here"),
    [
        ("name", "name"),
        ("release", "displayReleaseVersion"),
        ("description", "description"),
        ("network_service", "networkServiceName"),
        ("volumes[3]", "volumeIds[3]"),
        ("head", "headSpec"),
        ("head.queue", "headSpec.queueName"),
        ("head.cpu", "headSpec.cpu"),
        ("head.gpu", "headSpec.gpuSpec"),
        ("head.ray_start_params", "headSpec.rayStartParams"),
        ("head.release", "headSpec.displayReleaseVersion"),
        ("autoscaling.idle_timeout_seconds", "headSpec.idleTimeoutSeconds"),
        ("autoscaling.enabled", "headSpec.enableAutoScaling"),
        ("fault_tolerance.redis_url", "headSpec.gftConfig.redisUrl"),
        ("workers", "workerSpec"),
        ("workers[7]", "workerSpec[7]"),
        ("workers[7].name", "workerSpec[7].groupName"),
        ("workers[7].type", "workerSpec[7].workerType"),
        ("workers[7].replicas", "workerSpec[7].replica"),
        ("workers[7].min_replicas", "workerSpec[7].minReplica"),
        ("workers[7].max_replicas", "workerSpec[7].maxReplica"),
        ("workers[7].memory", "workerSpec[7].memory"),
        ("workers[7].env", "workerSpec[7].env"),
        ("labels.x", "labels.x"),
        (Finding("workers[0].gpu", Verdict.REFUSED, "").path, "workerSpec[0].gpuSpec"),
    ],
)
def test_paths(native: str, here: str) -> None:
    assert emr_path(native) == here


def test_words() -> None:
    assert emr_words("must not exceed max_replicas (2 > 1)") == "must not exceed maxReplica (2 > 1)"
