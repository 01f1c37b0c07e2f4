"""Which method a path is: a table, and what is none."""

from __future__ import annotations

from typing import Any

import pytest

from heliostat.dialects.vertex.errors import VertexError
from heliostat.dialects.vertex.routes import ALLOWED_LOCATIONS, PROJECT_1, MethodNotAllowed, find_target

PARENT = "projects/p/locations/l"
NAME = f"{PARENT}/persistentResources/c1"
OPERATION = f"{NAME}/operations/1"
SHORT = f"{PARENT}/operations/1"

EVERYWHERE: list[tuple[str, str, str, dict[str, Any]]] = [
    ("POST", f"{PARENT}/persistentResources", "CreatePersistentResource", {"parent": PARENT}),
    ("GET", f"{PARENT}/persistentResources", "ListPersistentResources", {"parent": PARENT}),
    ("GET", NAME, "GetPersistentResource", {"name": NAME}),
    ("HEAD", NAME, "GetPersistentResource", {"name": NAME}),
    ("PATCH", NAME, "UpdatePersistentResource", {"persistentResource": {"name": NAME}}),
    ("DELETE", NAME, "DeletePersistentResource", {"name": NAME}),
    ("POST", f"{NAME}:reboot", "RebootPersistentResource", {"name": NAME}),
    ("POST", f"{NAME}%3Areboot", "RebootPersistentResource", {"name": NAME}),
]
OPERATIONS: list[tuple[str, str, str, dict[str, Any]]] = [
    row
    for name, owner in ((OPERATION, NAME), (SHORT, PARENT))
    for row in (
        ("GET", name, "GetOperation", {"name": name}),
        ("DELETE", name, "DeleteOperation", {"name": name}),
        ("POST", f"{name}:cancel", "CancelOperation", {"name": name}),
        ("POST", f"{name}:wait", "WaitOperation", {"name": name}),
        ("GET", f"{owner}/operations", "ListOperations", {"name": owner}),
    )
]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize(("method", "path", "name", "request_"), EVERYWHERE + OPERATIONS)
def test_both_versions_have_all_methods(
    version: str, method: str, path: str, name: str, request_: dict[str, Any]
) -> None:
    found = find_target(method, f"/{version}/{path}")
    assert (found.method, found.version, found.request) == (name, version, request_)


@pytest.mark.parametrize(("method", "path", "name", "request_"), OPERATIONS)
def test_operations_are_below_ui_too(method: str, path: str, name: str, request_: dict[str, Any]) -> None:
    found = find_target(method, f"/ui/{path}")
    assert (found.method, found.request) == (name, request_)


def test_projects_are_where_the_resource_manager_has_them() -> None:
    assert find_target("GET", "/v3/projects/p").method == "GetProject"
    assert find_target("GET", "/v1/projects/p").method == PROJECT_1
    assert find_target("GET", "/v1/projects/-/serviceAccounts/a@b/allowedLocations").method == ALLOWED_LOCATIONS


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/projects",
        "/v1/projects/",
        "/v1beta1/projects/p",
        "/v2/projects/p/locations/l/persistentResources",
        f"/ui/{NAME}",
        f"/ui/{PARENT}/persistentResources",
        f"/v3/{NAME}",
        f"/v3/{OPERATION}",
        f"/v1/{NAME}/",
        f"/v1/{NAME}:start",
        f"/v1/{PARENT}/persistentResources:reboot",
        f"/v1/{PARENT}/customJobs/1",
        f"/v1/{OPERATION}:pause",
        f"/v1/{NAME}/operations:cancel",
        "/v1//projects/p/locations/l/persistentResources",
        "/v1/projects/p/locations//persistentResources",
        "/v1/projects/a%2Fb",
        f"/v1/{NAME}/operations/1/2",
    ],
)
def test_other_paths_are_not_found(path: str) -> None:
    with pytest.raises(VertexError) as caught:
        find_target("GET", path)
    assert caught.value.number == 5


def test_another_http_method_says_which_there_are() -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        find_target("PUT", f"/v1/{NAME}")
    assert set(caught.value.allowed) == {"GET", "PATCH", "DELETE", "HEAD"}
    with pytest.raises(MethodNotAllowed) as caught:
        find_target("GET", f"/v1/{NAME}:reboot")
    assert caught.value.allowed == ("POST",)


def test_a_path_that_is_no_text_is_an_argument() -> None:
    with pytest.raises(VertexError) as caught:
        find_target("GET", "/v1/projects/%FF/locations/l/persistentResources/c1")
    assert caught.value.number == 3
