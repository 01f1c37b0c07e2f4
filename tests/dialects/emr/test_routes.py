"""Methods and raw paths to operations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.dialects.emr.errors import EmrError
from heliostat.dialects.emr.routes import NOT_OFFERED, OFFERED, MethodNotAllowed, find_route

IDS = {
    "workspaceId": "w-1", "clusterId": "ray-1", "submissionId": "rj-1", "instanceId": "rj-1", "queueName": "q", "queue": "q",
}  # fmt: skip


def fill(path: str, value: str = "") -> str:
    for name in ("workspaceId", "clusterId", "instanceId", "submissionId", "queueName", "queue"):
        path = path.replace(f"{{{name}}}", value or IDS.get(name, "x"))
    return path


@pytest.mark.parametrize(("operation", "method", "path"), OFFERED)
def test_offered(operation: str, method: str, path: str) -> None:
    route = find_route(method, fill(path))
    assert route.operation == operation
    assert all(IDS[name] == value for name, value in route.ids.items())


@pytest.mark.parametrize(("operation", "method", "path"), NOT_OFFERED)
def test_not_offered(operation: str, method: str, path: str) -> None:
    with pytest.raises(EmrError) as refused:
        find_route(method, fill(path))
    assert refused.value.code == "InvalidAction.NotFound"
    assert operation in refused.value.message


def test_fixed_words_come_before_ids() -> None:
    assert find_route("POST", "/api/v1/workspaces/queues").operation == "CreateWorkspaceQueue"
    with pytest.raises(MethodNotAllowed):
        find_route("GET", "/api/v1/workspaces/queues")
    for method in ("GET", "POST"):
        with pytest.raises(EmrError) as refused:
            find_route(method, "/api/v1/workspaces/update")
        assert refused.value.code == "InvalidAction.NotFound"


def test_ids_are_decoded_one_segment_at_a_time() -> None:
    route = find_route("GET", "/api/v1/workspaces/a%2Fb%20c/rayCluster/%E9%9B%86")
    assert route.ids == {"workspaceId": "a/b c", "clusterId": "集"}
    assert find_route("POST", "/api/v1/workspaces//rayCluster//start").ids == {"workspaceId": "", "clusterId": ""}


def test_wrong_methods() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        find_route("PUT", "/api/v1/workspaces/w-1/rayCluster/ray-1")
    assert refused.value.allowed == ("GET", "POST", "DELETE")


@given(
    st.sampled_from(["GET", "POST", "DELETE", "HEAD", "x"]), st.text(max_size=60) | st.from_regex(r"(/[a-z%]*){0,9}")
)
def test_no_path_raises_anything_but_a_client_error(method: str, path: str) -> None:
    try:
        find_route(method, path)
    except EmrError as error:
        assert error.code in ("InvalidAction.NotFound", "UnsupportedHTTPMethod")
