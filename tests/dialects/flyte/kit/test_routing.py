"""Which connector gets a task."""

from __future__ import annotations

from typing import Any

from flyteidl.admin import agent_pb2

from .routing import DEFAULT, Configuration, Endpoint, Route, route, routes

PLAIN = Configuration(Endpoint("h:1", 10.0), {"heliostat": Endpoint("h:2")})


def agent(*categories: tuple[str, int], types: tuple[str, ...] = (), is_sync: bool = False) -> Any:
    made = [agent_pb2.TaskCategory(name=name, version=version) for name, version in categories]
    return agent_pb2.Agent(name="a", supported_task_categories=made, supported_task_types=list(types), is_sync=is_sync)


def test_only_the_last_category_of_a_name_survives() -> None:
    found = routes(PLAIN, [("heliostat", [agent(("ray", 0), ("ray", 1), types=("ray",))])])
    assert found == {"ray": {1: Route("heliostat")}}
    assert route(found, "ray", 1) == Route("heliostat") and route(found, "ray", 0) == Route(DEFAULT)


def test_what_a_later_connector_lists_replaces_the_earlier_ones() -> None:
    found = routes(PLAIN, [("heliostat", [agent(("ray", 0))]), (DEFAULT, [agent(("ray", 0), is_sync=True)])])
    assert route(found, "ray", 0) == Route(DEFAULT, is_sync=True)


def test_configured_types_overwrite_and_supported_ones_fill_gaps() -> None:
    configuration = Configuration(PLAIN.default, PLAIN.connectors, {"ray": "heliostat"}, ("ray", "spark"))
    found = routes(configuration, [(DEFAULT, [agent(("ray", 1))])])
    assert found == {"ray": {0: Route("heliostat")}, "spark": {0: Route(DEFAULT)}}
    assert route(found, "ray", 1) == Route(DEFAULT), "a map task goes to the default connector"


def test_nobody_listed_anything() -> None:
    assert routes(PLAIN, []) == {"ray": {0: Route(DEFAULT)}}
    assert route({}, "other", 7) == Route(DEFAULT)


def test_deadlines() -> None:
    assert PLAIN.default.timeout("CreateTask") == 10.0 and PLAIN.connectors["heliostat"].timeout("CreateTask") is None
    given = Endpoint("h:1", timeouts={"GetTask": 3.0})
    assert (given.timeout("GetTask"), given.timeout("DeleteTask")) == (3.0, None)
