"""What Ray says that goes on, in a few small questions to the head's dashboard (Ray contract, section 8).

Drivers and actors decide; the rest is asked for where it can change the answer, or gives it words. Ray filters by state
where it keeps its tables, so that the many that have ended cost nothing, but by *equal* alone: hence a question for each
state. Serve is asked only where it runs, since the first such question makes the dashboard connect to its own cluster.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from heliostat.domain.activity import RayActivity

DRIVERS = "/api/component_activities?timeout=5"
APPLICATIONS = "/api/serve/applications/"
ROWS = 200
"""Actors that are looked at; those beyond are counted as users'."""
LONGEST_NAME = 100
WAITING = ("PENDING_CREATION", "DEPENDENCIES_UNREADY", "RESTARTING")
LIBRARIES = frozenset(
    (
        "_dataset_stats_actor",
        "_dataset_stats_summary_actor",
        "_train_state_actor",
        "ActorLocationTracker",
        "AutoscalingCoordinator",
        "AutoscalingRequester",
        "DataUsageCollectionActor",
        "llm_batch_telemetry",
        "llm_serve_telemetry",
        "ray_data_shuffle_disk",
    )
)
"""Namespaces in which Ray Data, Train and other libraries leave an actor behind, which lives for as long as the cluster."""
_NUMBER = re.compile(r"\d+")
_SUPERVISORS = "SUPERVISOR_ACTOR_RAY_NAMESPACE"
_SERVE = "serve"
_REPLICA = re.compile(r"ServeReplica:(?P<application>[^:]*):")
Ask = Callable[[str], Awaitable[Mapping[str, Any] | None]]  # JSON
"""Path -> the head's answer; None when it has no such page. Raises Unavailable."""


class Unclear(ValueError):
    """An answer that is none of Ray's."""


@dataclass(frozen=True)
class _Actors:
    """Of one state."""

    users: int = 0
    supervisors: int = 0
    controllers: int = 0
    applications: tuple[str, ...] = ()


async def look(ask: Ask) -> RayActivity:
    """Raises what ``ask`` raises, and Unclear."""
    drivers = _drivers(await ask(DRIVERS))
    alive = _actors(await ask(_rows("actors", "ALIVE", ROWS)))
    waiting = _Actors()
    groups = 0
    if not drivers and not alive.users:
        found = [_actors(await ask(_rows("actors", state, ROWS))) for state in WAITING]
        waiting = _Actors(
            *(sum(getattr(row, name) for row in found) for name in ("users", "supervisors", "controllers"))
        )
        groups = _total(await ask(_rows("placement_groups", "PENDING", 1)))
    tasks = queued = 0
    if drivers or alive.users:
        tasks = _total(await ask(_rows("tasks", "RUNNING", 1)))
    if drivers:  # Ray shows waiting tasks of drivers that have died, too
        queued = _total(await ask(_rows("tasks", "PENDING_NODE_ASSIGNMENT", 1)))
    applications, silent = alive.applications, False
    if alive.controllers or waiting.controllers:
        named = _applications(await ask(APPLICATIONS))
        silent = named is None and not applications
        applications = applications if named is None else named
    return RayActivity(
        drivers=drivers,
        submissions=alive.supervisors + waiting.supervisors,
        actors=alive.users,
        waiting_actors=waiting.users,
        tasks=tasks,
        waiting_tasks=queued,
        placement_groups=groups,
        applications=applications,
        serve_is_silent=silent,
    )


def _rows(kind: str, state: str, limit: int) -> str:
    return f"/api/v0/{kind}?filter_keys=state&filter_predicates=%3D&filter_values={state}&limit={limit}&timeout=5"


def _drivers(answer: Mapping[str, Any] | None) -> int:
    """Programs that are connected. Ray leaves out its own."""
    said = answer.get("driver") if answer is not None else None
    if not isinstance(said, Mapping) or said.get("is_active") not in ("ACTIVE", "INACTIVE"):
        raise Unclear("whether drivers are connected")
    if said["is_active"] == "INACTIVE":
        return 0
    number = _NUMBER.search(str(said.get("reason") or ""))
    return max(1, int(number[0])) if number else 1


def _listing(answer: Mapping[str, Any] | None) -> tuple[list[Mapping[str, Any]], int]:
    """Some rows, and how many there are."""
    try:
        result = (answer or {})["data"]["result"]
        if result.get("partial_failure_warning"):
            raise Unclear("a list in full")
        return [dict(row) for row in result["result"]], int(result["num_filtered"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Unclear("a list") from error


def _total(answer: Mapping[str, Any] | None) -> int:
    return _listing(answer)[1]


def _actors(answer: Mapping[str, Any] | None) -> _Actors:
    rows, total = _listing(answer)
    users = total - len(rows)
    supervisors = controllers = 0
    applications: dict[str, None] = {}
    for row in rows:
        space, kind, name = (str(row.get(key) or "") for key in ("ray_namespace", "class_name", "name"))
        replica = _REPLICA.match(kind)
        if space == _SUPERVISORS:
            supervisors += 1
        elif space == _SERVE and name.startswith("SERVE_"):
            controllers += kind == "ServeController"
            if replica is not None:
                applications[replica["application"][:LONGEST_NAME]] = None
        elif space not in LIBRARIES and not space.startswith("_ray_internal_"):
            users += 1
    return _Actors(users, supervisors, controllers, tuple(applications))


def _applications(answer: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    """By name; None when the head cannot tell: it lacks Serve, which is then part of a runtime environment."""
    if answer is None:
        return None
    found = answer.get("applications")
    if not isinstance(found, Mapping):
        raise Unclear("which applications are deployed")
    return tuple(str(name)[:LONGEST_NAME] for name in found)
