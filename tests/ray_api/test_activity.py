"""What is made of Ray's answers about what goes on, and how little is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from heliostat.domain.activity import RayActivity
from heliostat.ray_api.activity import APPLICATIONS, DRIVERS, LIBRARIES, Unclear, look


def actor(kind: str = "A", space: str = "mine", name: str = "") -> dict[str, Any]:
    return {"class_name": kind, "ray_namespace": space, "name": name, "state": "ALIVE", "pid": 1}


SUPERVISOR = actor("JobSupervisor", "SUPERVISOR_ACTOR_RAY_NAMESPACE", "_ray_internal_job_actor_rj-1")
CONTROLLER = actor("ServeController", "serve", "SERVE_CONTROLLER_ACTOR")
PROXY = actor("ProxyActor", "serve", "SERVE_PROXY_ACTOR-ab")
REPLICA = actor("ServeReplica:greeter:Hello", "serve", "SERVE_REPLICA::greeter#Hello#x1")
STATS = actor("_StatsActor", "_dataset_stats_actor", "datasets_stats_actor")


class Head:
    """Answers as the dashboards of 2.47.1 and 2.60.0 were seen to."""

    def __init__(
        self,
        *,
        drivers: int = 0,
        actors: Mapping[str, list[dict[str, Any]]] = {},
        totals: Mapping[str, int] = {},
        serve: Mapping[str, Any] | None = None,
    ) -> None:
        self.drivers, self.actors, self.totals, self.serve = drivers, actors, totals, serve
        self.asked: list[str] = []

    async def ask(self, path: str) -> Mapping[str, Any] | None:
        self.asked.append(path)
        if path == DRIVERS:
            active = {"is_active": "ACTIVE", "reason": f"Number of active drivers: {self.drivers}"}
            return {"driver": active if self.drivers else {"is_active": "INACTIVE", "reason": None}}
        if path == APPLICATIONS:
            return self.serve
        kind = path.removeprefix("/api/v0/").partition("?")[0]
        state = path.partition("filter_values=")[2].partition("&")[0]
        rows = self.actors.get(state, []) if kind == "actors" else []
        total = self.totals.get(f"{kind}/{state}", len(rows))
        return {"result": True, "data": {"result": {"num_filtered": total, "result": rows}}}


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (Head(), RayActivity()),
        (
            Head(drivers=2, totals={"tasks/RUNNING": 3, "tasks/PENDING_NODE_ASSIGNMENT": 50}),
            RayActivity(drivers=2, tasks=3, waiting_tasks=50),
        ),
        (Head(actors={"ALIVE": [actor(), SUPERVISOR]}), RayActivity(actors=1, submissions=1)),
        (Head(actors={"ALIVE": [actor()]}, totals={"actors/ALIVE": 5000}), RayActivity(actors=5000)),
        (Head(actors={"PENDING_CREATION": [SUPERVISOR]}), RayActivity(submissions=1)),
        (Head(actors={"RESTARTING": [actor()], "DEPENDENCIES_UNREADY": [actor()]}), RayActivity(waiting_actors=2)),
        (Head(totals={"placement_groups/PENDING": 1}), RayActivity(placement_groups=1)),
        (Head(totals={"tasks/PENDING_NODE_ASSIGNMENT": 5, "tasks/RUNNING": 1}), RayActivity()),
        (Head(actors={"ALIVE": [STATS, *(actor("X", space) for space in LIBRARIES)]}), RayActivity()),
        (Head(actors={"ALIVE": [CONTROLLER, PROXY]}, serve={"applications": {}}), RayActivity()),
        (
            Head(actors={"ALIVE": [CONTROLLER, REPLICA]}, serve={"applications": {"greeter": {}, "asleep": {}}}),
            RayActivity(applications=("greeter", "asleep")),
        ),
        (Head(actors={"ALIVE": [CONTROLLER, REPLICA, REPLICA]}), RayActivity(applications=("greeter",))),
        (Head(actors={"ALIVE": [CONTROLLER, PROXY]}), RayActivity(serve_is_silent=True)),
        (Head(actors={"ALIVE": [actor("Mine", "serve", "cache")]}), RayActivity(actors=1)),
    ],
    ids=[
        "nothing", "drivers", "a detached actor and a submission", "more actors than are listed", "a waiting submission",
        "actors to be made", "a placement group", "tasks that their driver has left behind", "actors of Ray's libraries",
        "Serve without applications", "applications, one without replicas", "Serve of a runtime environment",
        "Serve that tells nothing", "a user's own in Serve's namespace",
    ],
)  # fmt: skip
async def test_what_counts(head: Head, found: RayActivity) -> None:
    assert await look(head.ask) == found
    assert len(head.asked) <= 7


async def test_a_busy_cluster_is_asked_less_and_serve_only_where_it_runs() -> None:
    busy, idle = Head(drivers=1), Head()
    await look(busy.ask)
    await look(idle.ask)
    assert len(busy.asked) == 4 and len(idle.asked) == 6
    assert APPLICATIONS not in (*busy.asked, *idle.asked)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"driver": None},
        {"driver": {"is_active": "ERROR", "reason": "the GCS is away"}},
        {"driver": {"is_active": "PERHAPS"}},
    ],
)
async def test_drivers_that_are_not_told_of_are_not_none(answer: Mapping[str, Any] | None) -> None:
    async def ask(path: str) -> Mapping[str, Any] | None:
        return answer

    with pytest.raises(Unclear):
        await look(ask)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"data": {}},
        {"data": {"result": None}},
        {"data": {"result": {"result": [], "num_filtered": "many"}}},
        {"data": {"result": {"result": [], "num_filtered": 0, "partial_failure_warning": "a node did not answer"}}},
    ],
)
async def test_a_list_that_is_none_or_not_all_is_unclear(answer: Mapping[str, Any] | None) -> None:
    async def ask(path: str) -> Mapping[str, Any] | None:
        return await Head().ask(path) if path == DRIVERS else answer

    with pytest.raises(Unclear):
        await look(ask)
