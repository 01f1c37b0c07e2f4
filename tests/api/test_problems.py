"""What clients are told when something is wrong: status, code, path, id; and that nothing is half-made then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from heliostat.api.models.answers import Problem
from heliostat.domain import errors

from .support import House

Body = dict[str, Any]

BAD_BODIES: list[tuple[Any, str, str | None]] = [
    ({}, "missing", "name"),
    ({"name": ""}, "invalid", "name"),
    ({"name": "x" * 65}, "invalid", "name"),
    ({"name": "a\nb"}, "invalid", "name"),
    ({"name": 7}, "invalid", "name"),
    ({"name": "x", "hed": {}}, "invalid", "hed"),
    ({"name": "x", "head": {"cpus": 1}}, "invalid", "head.cpus"),
    ({"name": "x", "head": []}, "invalid", "head"),
    ({"name": "x", "head": {"cpu": 0}}, "invalid", "head.cpu"),
    ({"name": "x", "head": {"cpu": -1}}, "invalid", "head.cpu"),
    ({"name": "x", "head": {"cpu": True}}, "invalid", "head.cpu"),
    ({"name": "x", "head": {"cpu": 1e300}}, "invalid", "head.cpu"),
    ({"name": "x", "head": {"memory": "8 gigs"}}, "invalid", "head.memory"),
    ({"name": "x", "head": {"memory": None}}, "invalid", "head.memory"),
    ({"name": "x", "head": {"queue": "nope"}}, "invalid", "head.queue"),
    ({"name": "x", "head": {"gpu": "H100"}}, "invalid", "head.gpu"),
    ({"name": "x", "head": {"env": {"A": 1}}}, "invalid", "head.env.A"),
    ({"name": "x", "head": {"env": {"A-B": "1"}}}, "invalid", "head.env"),
    ({"name": "x", "description": "x" * 1025}, "invalid", "description"),
    ({"name": "x", "description": "a\0b"}, "invalid", "description"),
    ({"name": "x", "release": "ray-9.9.9"}, "invalid", "release"),
    ({"name": "x", "workers": {}}, "invalid", "workers"),
    ({"name": "x", "workers": [{}, {}]}, "invalid", "workers[1].name"),
    (
        {"name": "x", "workers": [{}, {"name": "b", "min_replicas": 5, "max_replicas": 3}]},
        "invalid",
        "workers[1].min_replicas",
    ),
    ({"name": "x", "workers": [{"replicas": -1}]}, "invalid", "workers[0].replicas"),
    ({"name": "x", "workers": [{"replicas": 1001}]}, "invalid", "workers[0].replicas"),
    ({"name": "x", "workers": [{"replicas": "2"}]}, "invalid", "workers[0].replicas"),
    ({"name": "x", "workers": [{"name": "a b"}]}, "invalid", "workers[0].name"),
    ({"name": "x", "workers": [{"type": "TPU"}]}, "invalid", "workers[0].type"),
    ({"name": "x", "workers": [{"name": f"g{n}"} for n in range(51)]}, "invalid", "workers"),
    ({"name": "x", "workers": [{}], "autoscaling": {"enabled": True}}, "missing", "workers[0].min_replicas"),
    ({"name": "x", "autoscaling": {"idle_timeout_seconds": 0}}, "invalid", "autoscaling.idle_timeout_seconds"),
    ({"name": "x", "fault_tolerance": {"enabled": True}}, "missing", "fault_tolerance.redis_url"),
    ({"name": "x", "network_service": "vpc"}, "invalid", "network_service"),
    ({"name": "x", "volumes": ["vol-1"]}, "invalid", "volumes[0]"),
    ({"name": "x", "labels": {"-": "a"}}, "invalid", "labels.-"),
    ({"name": "x", "start": "yes"}, "invalid", "start"),
    ([], "invalid", None),
    ("demo", "invalid", None),
    (None, "invalid", None),
]


@pytest.mark.parametrize(("body", "code", "path"), BAD_BODIES, ids=lambda value: json.dumps(value)[:60])
async def test_a_bad_body_is_told_with_its_path_and_makes_nothing(
    house: House, body: Any, code: str, path: str | None
) -> None:
    answer = await house.admin.post(
        house.clusters, content=json.dumps(body), headers={"content-type": "application/json"}
    )
    problem = _problem(answer)
    assert (answer.status_code, problem["code"], problem["path"]) == (422, code, path), problem
    assert (await house.admin.get(house.clusters)).json()["clusters"] == []


@pytest.mark.parametrize(
    ("patch", "code", "path"),
    [
        ({"nmae": "x"}, "invalid", "nmae"),
        ({"name": None}, "missing", "name"),
        ({"start": False}, "invalid", "start"),
        ({"head": {"cpu": "many"}}, "invalid", "head.cpu"),
        ({"head": 5}, "invalid", "head"),
        ({"workers": [{"replicas": 2000}]}, "invalid", "workers[0].replicas"),
        ({"release": "ray-0.0.0"}, "invalid", "release"),
        ([], "invalid", None),
        (3, "invalid", None),
    ],
)
async def test_a_bad_patch_is_told_with_its_path_and_changes_nothing(
    house: House, patch: Any, code: str, path: str | None
) -> None:
    made = await house.create(start=False)
    answer = await house.admin.patch(f"{house.clusters}/demo", content=json.dumps(patch))
    problem = _problem(answer)
    assert (answer.status_code, problem["code"], problem["path"]) == (422, code, path), problem
    assert (await house.admin.get(f"{house.clusters}/demo")).json()["generation"] == made["generation"]


async def test_text_that_is_no_unicode_is_a_client_error(house: House) -> None:
    for body in (
        b'{"name": "\\ud800"}',
        b'{"name": "x", "\\udfff": 1}',
        b'{"name": "x", "labels": {"\\ud800": "1"}}',
        b"\xff",
        b"{",
    ):
        answer = await house.admin.post(house.clusters, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), answer.text
        _problem(answer)
        await house.create("y", start=False)
        patched = await house.admin.patch(f"{house.clusters}/y", content=body)
        assert patched.status_code in (400, 422), patched.text
        await house.admin.delete(f"{house.clusters}/y")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "limit"), ("limit=501", "limit"), ("limit=x", "limit"), ("limit=99999999999999999999", "limit"),
        ("state=Runing", "state[0]"), (f"name={'x' * 65}", "name"),
    ],
)  # fmt: skip
async def test_a_bad_query_is_told_with_its_name(house: House, query: str, path: str) -> None:
    answer = await house.admin.get(f"{house.clusters}?{query}")
    assert (answer.status_code, _problem(answer)["path"]) == (422, path)


async def test_requests_that_reach_nothing(house: House) -> None:
    await house.create(start=False)
    cases = [
        (await house.admin.get("/v1/nothing"), 404, "not_found"),
        (await house.admin.put(house.clusters, json={}), 405, "method_not_allowed"),
        (await house.admin.get("/v1/workspaces/w-0000000000000000/clusters"), 404, "not_found"),
        (await house.admin.get(f"{house.clusters}/nope"), 404, "not_found"),
        (await house.admin.get(f"{house.clusters}/ray-0000000000000000"), 404, "not_found"),
        (await house.admin.get(f"{house.clusters}/a%00b"), 400, "malformed"),
        (await house.admin.get(f"{house.clusters}?name=%00"), 400, "malformed"),
        (await house.admin.post(house.clusters, content=b"{" + b" " * (1 << 20) + b"}"), 413, "too_large"),
        (await house.admin.get("/v1/releases/ray-9.9.9"), 404, "not_found"),
        (await house.admin.delete("/v1/keys/tok-1"), 404, "not_found"),
        (
            await house.admin.post(f"{house.clusters}/demo/start", headers={"idempotency-key": "x" * 129}),
            422,
            "invalid",
        ),
    ]
    for answer, status, code in cases:
        assert (answer.status_code, _problem(answer)["code"]) == (status, code), answer.text


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer hlt_nonsense", "Bearer hlp_x.y", "hlt_x"]
)
async def test_without_a_good_token_there_is_nothing(house: House, header: str | None) -> None:
    client = house.client(None)
    headers = {} if header is None else {"authorization": header}
    for path in ("/v1/me", house.clusters, f"{house.clusters}/x/watch", "/v1/releases", "/metrics", "/v1/version"):
        answer = await client.get(path, headers=headers)
        assert (answer.status_code, _problem(answer)["code"]) == (401, "unauthenticated"), path
        assert answer.headers["www-authenticate"] == "Bearer"
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).status_code == 200


async def test_of_two_tokens_none_is_believed(house: House) -> None:
    good, bad = ("authorization", f"Bearer {house.token}"), ("authorization", "Bearer hlt_other")
    for headers in ([good, bad], [bad, good], [good, good]):
        answer = await house.client(None).get("/v1/me", headers=headers)
        assert (answer.status_code, _problem(answer)["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_who_hangs_up_in_the_middle_is_no_defect(house: House, method: str) -> None:
    await house.create(start=False)
    path = house.clusters if method == "POST" else f"{house.clusters}/demo"
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"authorization", f"Bearer {house.token}".encode()), (b"content-type", b"application/json")],
        "server": ("h", 1), "client": ("127.0.0.1", 1), "scheme": "http", "root_path": "", "http_version": "1.1",
    }  # fmt: skip
    messages: list[Body] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Body:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: object) -> None:
        pass

    with capture_logs() as logs:
        await house.app(scope, receive, send)
    assert not [line for line in logs if line["log_level"] == "error"]


async def test_a_defect_tells_nothing_but_the_requests_id(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret is 1234")

    monkeypatch.setattr(house.services.clusters, "list", broken)
    answer = await house.admin.get(house.clusters)
    problem = _problem(answer)
    assert (answer.status_code, problem["code"]) == (500, "internal")
    assert "1234" not in answer.text and "RuntimeError" not in answer.text


async def test_every_answer_has_a_request_id_of_its_own(house: House) -> None:
    answers = [await house.admin.get(path) for path in ("/healthz", "/v1/me", "/v1/nothing", house.clusters)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)


async def test_throttling_says_when_to_come_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(*_: object, **__: object) -> None:
        raise errors.Throttled(1500)

    monkeypatch.setattr(house.services.clusters, "list", busy)
    answer = await house.admin.get(house.clusters)
    assert (answer.status_code, answer.headers["retry-after"], _problem(answer)["retry"]) == (429, "2", "later")


def test_every_domain_code_has_a_status() -> None:
    from heliostat.api.problems import STATUS

    def codes(kind: type[errors.HeliostatError]) -> set[str]:
        return {kind.code}.union(*(codes(sub) for sub in kind.__subclasses__()))

    assert codes(errors.HeliostatError) <= STATUS.keys()


def _problem(answer: Any) -> Body:
    """The problem document of an answer, whose form is checked."""
    assert answer.headers["content-type"] == "application/problem+json"
    document: Body = answer.json()
    Problem.model_validate_json(answer.content, strict=True)
    assert document.keys() == Problem.model_fields.keys()
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer.headers["x-request-id"]
    return document
