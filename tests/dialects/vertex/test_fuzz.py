"""Whatever is sent, the answer is the client's fault or a success, never the server's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliostat.dialects.vertex.methods import OPERATIONS, PROJECTS, RESOURCES
from heliostat.dialects.vertex.wire import Messages
from heliostat.dialects.vertex.wire.schema import ENUMERATIONS, TYPES, Field, Kind, Shape, find
from heliostat.testing.harness import HarnessServer, threaded

from .conftest import IMAGE, body

FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
PARENT = "projects/default/locations/us-central1"
OURS = {13, 2, 12, 14}
"""INTERNAL, UNKNOWN, UNIMPLEMENTED, UNAVAILABLE."""
METHODS = [
    *((RESOURCES, f"{verb}PersistentResource") for verb in ("Create", "Get", "Update", "Delete", "Reboot")),
    (RESOURCES, "ListPersistentResources"),
    *((OPERATIONS, f"{verb}Operation") for verb in ("Get", "Delete", "Cancel")),
    (OPERATIONS, "ListOperations"),
    (PROJECTS, "GetProject"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HarnessServer]:
    with threaded(tmp_path_factory.mktemp("fuzz"), tls_port=-1) as up:
        yield up


@pytest.fixture(scope="module")
def http(server: HarnessServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {server.token}"}, timeout=30) as client:
        path = f"/v1/{PARENT}/persistentResources?persistentResourceId=c1"
        assert client.post(path, json=body()).status_code == 200
        yield client


def check(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code != 200:
        assert answer.json()["error"]["code"] == answer.status_code


# --- bodies: any JSON, and messages with the right names and wrong values -------------------------------------------

places = st.sampled_from(
    [PARENT, f"{PARENT}/persistentResources/c1", f"{PARENT}/persistentResources/c1/operations/1", "projects/default"]
)
words = st.sampled_from(["", "c1", "\0", "a" * 300, IMAGE, "n1-standard-4", "-1", "1e400", "ü"])
texts = st.one_of(st.text(max_size=12), words, places)
numbers = st.integers() | st.floats(allow_nan=False) | st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, 1.5])
values = st.none() | st.booleans() | numbers | texts
trees = st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


def messages(name: str, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """A message of this type whose fields are mostly of the right kind."""
    kind = TYPES[name]
    return st.fixed_dictionaries({}, optional={row.json: fields(row, depth) for row in kind.fields})


def fields(row: Field, depth: int) -> st.SearchStrategy[Any]:
    if row.kind is Kind.MESSAGE and row.of in TYPES and not row.of.startswith("google.protobuf") and depth < 4:
        found: st.SearchStrategy[Any] = messages(row.of, depth + 1)
    elif row.kind is Kind.ENUM:
        found = st.sampled_from([*ENUMERATIONS[row.of], *range(-1, 20)])
    elif row.kind in (Kind.INT32, Kind.INT64):
        found = st.integers(-1, 5) | st.integers(-1, 300).map(str) | numbers
    elif row.kind is Kind.BOOL:
        found = st.booleans()
    else:
        found = texts
    if row.shape is Shape.MANY:
        found = st.lists(found, max_size=3)
    elif row.shape is Shape.MAP:
        found = st.dictionaries(texts, texts, max_size=3)
    return st.one_of(found, found, found, found, trees)


resources = messages(find("v1beta1", "PersistentResource").name)


@st.composite
def near(draw: st.DrawFn) -> dict[str, Any]:
    """A good body with one thing replaced."""
    whole: dict[str, Any] = orjson.loads(orjson.dumps(body(labels={"a": "b"}, displayName="x")))
    place: Any = whole
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        place[key] = draw(trees)
        return whole


@FEW
@given(sent=st.one_of(trees, resources, near()), id=st.just("c2") | texts)
def test_creates(http: httpx.Client, sent: Any, id: str) -> None:
    answer = http.post(
        f"/v1beta1/{PARENT}/persistentResources", params={"persistentResourceId": id}, content=orjson_of(sent)
    )
    check(answer)
    if answer.status_code == 200:
        made = answer.json()["name"].rpartition("/operations/")[0]
        shown = http.get(f"/v1beta1/{made}")
        assert shown.status_code == 200
        check(http.delete(f"/v1/{made}"))


@FEW
@given(
    sent=st.one_of(trees, resources, near()),
    mask=st.sampled_from(["labels", "resourcePools.replicaCount", "resourcePools", "displayName,labels"]) | texts,
)
def test_updates(http: httpx.Client, sent: Any, mask: str) -> None:
    path = f"/v1/{PARENT}/persistentResources/c1"
    check(http.patch(path, params={"updateMask": mask}, content=orjson_of(sent)))
    check(http.get(path))
    check(http.get(f"/v1beta1/{PARENT}/persistentResources"))


@FEW
@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE"]),
    path=st.lists(
        st.sampled_from(["projects", "default", "locations", "l", "persistentResources", "c9", "operations", "1"])
        | texts,
        max_size=9,
    ),
    prefix=st.sampled_from(["v1/projects", "v1beta1", "ui/projects", "v3/projects"]),
    query=st.dictionaries(st.sampled_from(["pageSize", "pageToken", "filter", "$alt", "updateMask"]) | texts, texts),
    content=st.binary(max_size=30),
)
def test_paths_and_queries(
    http: httpx.Client, method: str, path: list[str], prefix: str, query: dict[str, str], content: bytes
) -> None:
    verb = ":reboot" if len(content) == 7 else ""
    place = "/".join([prefix, *(quote(part, safe="") for part in path)]) + verb
    answer = http.request(method, f"/{place}", params=query, content=content)
    assert answer.status_code < 500, (method, place, answer.text)


@FEW
@given(
    name=st.sampled_from(["authorization", "x-goog-api-client", "content-type", "x-goog-request-params"]),
    value=st.binary(max_size=40).map(lambda data: bytes(byte for byte in data if byte > 31 and byte != 127)),
)
def test_headers(http: httpx.Client, name: str, value: bytes) -> None:
    path = f"/v1/{PARENT}/persistentResources/c1"
    answer = http.get(path, headers={name: value.strip()})
    assert answer.status_code in (200, 400, 401), answer.text


def orjson_of(value: Any) -> bytes:
    """As JSON; what has none (integers beyond 64 bits) in Python's spelling."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return repr(value).replace("'", '"').encode(errors="replace")


# --- gRPC ------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_grpc_messages(server: HarnessServer, http: httpx.Client) -> None:
    """Messages of the right type with any content, and bytes that are none."""
    codec = Messages("v1beta1")
    place = server.url.removeprefix("http://")

    with grpc.insecure_channel(place) as channel:

        @settings(FEW, max_examples=100)
        @given(data=st.data(), method=st.sampled_from(METHODS))
        def send(data: st.DataObject, method: tuple[str, str]) -> None:
            service, name = method
            full = f"google.cloud.aiplatform.v1beta1.{service}" if service == RESOURCES else service
            sent = data.draw(st.binary(max_size=60) | encoded(codec, f"{name}Request"))
            call = channel.unary_unary(f"/{full}/{name}")
            try:
                call(sent, metadata=(("authorization", f"Bearer {server.token}"),), timeout=30)
            except grpc.RpcError as error:
                assert error.code().value[0] not in OURS, (method, sent, error)

        send()


def encoded(codec: Messages, name: str) -> st.SearchStrategy[bytes]:
    """Bytes of a message with any content that its kind allows."""

    def encode(value: dict[str, Any]) -> bytes:
        try:
            return codec.encode(name, value)
        except (ValueError, KeyError, TypeError, AttributeError):
            return b"\x0a\x02c1"

    return messages(find("v1beta1", name).name).map(encode)
