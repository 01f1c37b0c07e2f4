"""Names: what is written is read again, and what is no name says which field it stood in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.dialects.vertex.names import (
    InvalidName,
    OperationName,
    Parent,
    ProjectName,
    ResourceName,
    check_new_resource_id,
    is_project_id,
    is_resource_id,
    parse_operation,
    parse_owner_of_operations,
    parse_parent,
    parse_project,
    parse_resource,
)
from heliostat.domain.ids import new_cluster_id, new_workspace_id

PARENT = "projects/123456789012/locations/us-central1"
SEGMENT = st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="/:"), min_size=1, max_size=128)
LOCATION = st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True)


def test_each_name_is_read() -> None:
    assert parse_project("projects/helio-demo") == ProjectName("helio-demo")
    assert parse_parent(PARENT) == Parent("123456789012", "us-central1")
    resource = parse_resource(f"{PARENT}/persistentResources/c1")
    assert resource == ResourceName("123456789012", "us-central1", "c1")
    assert str(resource.parent) == PARENT
    operation = parse_operation(f"{PARENT}/persistentResources/c1/operations/17")
    assert operation == OperationName("123456789012", "us-central1", "17", "c1")
    assert operation.parent == resource
    short = parse_operation(f"{PARENT}/operations/17")
    assert short == OperationName("123456789012", "us-central1", "17") and short.parent == resource.parent


def test_locations_are_sent_as_their_user_wrote_them() -> None:
    assert parse_parent("projects/p/locations/US-Central1") == Parent("p", "US-Central1"), "the client takes any case"


def test_operations_are_listed_of_a_resource_or_of_a_location() -> None:
    assert parse_owner_of_operations(PARENT) == Parent("123456789012", "us-central1")
    assert parse_owner_of_operations(f"{PARENT}/persistentResources/c") == ResourceName(
        "123456789012", "us-central1", "c"
    )


def test_projects_and_resources_may_have_names_of_ours() -> None:
    name = parse_resource("projects/Büro Süd:2/locations/a/persistentResources/My cluster")
    assert (name.project, name.resource) == ("Büro Süd:2", "My cluster")


@given(SEGMENT, LOCATION, SEGMENT, SEGMENT)
def test_names_come_back(project: str, location: str, resource: str, operation: str) -> None:
    assert parse_project(str(ProjectName(project))) == ProjectName(project)
    assert parse_parent(str(Parent(project, location))) == Parent(project, location)
    resource_name = str(ResourceName(project, location, resource))
    assert parse_resource(resource_name) == ResourceName(project, location, resource)
    for of in (resource, None):
        name = OperationName(project, location, operation, of)
        assert parse_operation(str(name)) == name


def test_a_number_of_a_project_is_written_as_it_is() -> None:
    assert str(ResourceName("123456789012", "us-central1", "c1")) == f"{PARENT}/persistentResources/c1"


@pytest.mark.parametrize("parse", [parse_project, parse_parent, parse_resource, parse_operation])
@pytest.mark.parametrize(
    "text",
    [
        "", "/", "x", "project/a", "projects", "projects/", "projects//locations/l", "projects/p/locations",
        "projects/p/locations/", "projects/p/locations/l_1", "projects/p/locations/a b", "/projects/p",
        "projects/p/", f"projects/p/locations/{'l' * 64}", "projects/p/locations/l/persistentResources",
        "projects/p/locations/l/persistentResources/", "projects/p/locations/l/persistentResources/c:reboot",
        "projects/p/locations/l/persistentResources/c/operations/", "projects/p/locations/l/operations/1:wait",
        "projects/p/locations/l/persistentResources/c/operations/1/2", "projects/p/locations/l/clusters/c",
        "projects/a\nb", "projects/\ud800", "projects/" + "p" * 129,
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(parse: Callable[..., object], text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse(text, "the.field")
    assert caught.value.path == "the.field"
    assert str(caught.value) == f"the.field: {caught.value.message}"


def test_a_refusal_shows_the_form() -> None:
    with pytest.raises(InvalidName, match=r"projects/\{project\}/locations/\{location\}$"):
        parse_parent("us-central1")


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    for parse in (parse_project, parse_parent, parse_resource, parse_operation):
        with pytest.raises(InvalidName):
            parse(f"{text}/projects/p/locations")


@pytest.mark.parametrize(
    "text", ["a", "c1", "ray-cluster-2026-01-01", "a" * 63, "ray-0123456789abcde", "ray-0123456789abcdef0"]
)
def test_ids_of_new_resources(text: str) -> None:
    check_new_resource_id(text)
    assert is_resource_id(text)


@pytest.mark.parametrize(
    "text",
    ["", "-a", "a-", "1a", "A", "a_b", "a.b", "a" * 64, "é", "a\n", "ray-0123456789abcdef",
     pytest.param(new_cluster_id(), id="as we make them")],
)  # fmt: skip
def test_ids_that_new_resources_cannot_have(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_new_resource_id(text)
    assert caught.value.path == "persistentResourceId"
    assert not is_resource_id(text)


def test_ids_of_projects() -> None:
    for good in ("helio-demo", "abcdef", "a" * 30, "a-1234"):
        assert is_project_id(good)
    for bad in ("abcde", "a" * 31, "1bcdef", "abcde-", "Abcdef", "ab cdef", "123456789012", "abcdef\n"):
        assert not is_project_id(bad)
    assert is_project_id(new_workspace_id())  # so that a workspace without a fitting name has an id to show
