"""Who is held, for how long, and what ends it. In simulated time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from heliostat.dialects.vertex.call import Call
from heliostat.dialects.vertex.holding import TAGS, Holds, Looker, is_held, wants_hold
from heliostat.domain.errors import Forbidden, HeliostatError, NotFound, Unauthenticated, Unavailable
from heliostat.domain.ids import ClusterId, PrincipalId
from heliostat.domain.records import Principal
from heliostat.services import Caller, News

CLUSTER = ClusterId("ray-0123456789abcdef")
WAITING = {"state": "PROVISIONING"}
GRPC = (
    "model-builder/2.7.0+vertex_ray+top_google_constructor_method+google.cloud.aiplatform.vertex_ray.{} "
    "gl-python/3.11.7 grpc/1.85.1 gax/2.44.0 gapic/2.7.0+vertex_ray+x"
)
pytestmark = pytest.mark.looptime


class Resource:
    """A resource with readers."""

    def __init__(self) -> None:
        self.news = News()
        self.shown: dict[str, Any] = dict(WAITING)
        self.looks = 0

    async def look(self) -> dict[str, Any]:
        self.looks += 1
        return dict(self.shown)

    def becomes(self, state: str, *, news: bool = True) -> None:
        self.shown["state"] = state
        if news:
            self.news.tell(CLUSTER)

    def holds(self, seconds: float = 1800, **options: Any) -> Holds:
        return Holds(self.news.wait, seconds, **options)

    def hold(self, holds: Holds, **options: Any) -> asyncio.Task[dict[str, Any]]:
        return asyncio.create_task(holds.hold(CLUSTER, dict(self.shown), self.look, is_held, **options))


@pytest.fixture
def resource() -> Resource:
    return Resource()


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("tag", TAGS)
def test_the_functions_that_read_in_a_loop_are_held(tag: str) -> None:
    assert wants_hold(GRPC.format(tag))
    assert wants_hold(GRPC.format(tag) + " cred-type/jwt")


@pytest.mark.parametrize(
    "client",
    [
        "",
        "gl-python/3.11.7 grpc/1.85.1 gax/2.44.0",
        GRPC.format("cluster_init.get_ray_cluster"),
        GRPC.format("cluster_init.list_ray_clusters"),
        GRPC.format("cluster_init.delete_ray_cluster"),
        GRPC.format("cluster_init.create_ray_cluster_later"),
        GRPC.format("xcluster_init.create_ray_cluster"),
        "model-builder/2.7.0+google.cloud.aiplatform.persistent_resource.create",
    ],
)
def test_nobody_else_is_held(client: str) -> None:
    assert not wants_hold(client)


@pytest.mark.parametrize("state", ["PROVISIONING", "UPDATING", "REBOOTING"])
def test_a_resource_on_its_way_is_waited_for(state: str) -> None:
    assert is_held({"state": state})


@pytest.mark.parametrize("state", ["RUNNING", "ERROR", "STOPPING", "STATE_UNSPECIFIED", None])
def test_a_resource_that_is_somewhere_is_not(state: str | None) -> None:
    assert not is_held({"state": state} if state else {})


async def test_the_answer_comes_with_the_news(resource: Resource) -> None:
    begun = now()
    reader = resource.hold(resource.holds())
    await asyncio.sleep(101)
    resource.becomes("RUNNING")
    assert (await reader)["state"] == "RUNNING"
    assert now() - begun < 101.5


async def test_what_another_server_does_is_seen_too(resource: Resource) -> None:
    begun = now()
    reader = resource.hold(resource.holds())
    await asyncio.sleep(101)
    resource.becomes("ERROR", news=False)
    assert (await reader)["state"] == "ERROR"
    assert now() - begun < 107


async def test_news_that_come_while_it_looks_are_not_missed(resource: Resource) -> None:
    holds = resource.holds(look_seconds=1000)
    seen = dict(resource.shown)

    async def slow() -> dict[str, Any]:
        found = dict(resource.shown)
        await asyncio.sleep(0)
        if not resource.looks:
            resource.looks += 1
            resource.becomes("RUNNING")
        return found

    begun = now()
    assert (await holds.hold(CLUSTER, seen, slow, is_held))["state"] == "RUNNING"
    assert now() - begun < 1


async def test_much_news_does_not_make_it_look_all_the_time(resource: Resource) -> None:
    reader = resource.hold(resource.holds())
    for _ in range(1000):
        await asyncio.sleep(0.01)
        resource.news.tell(CLUSTER)
    assert resource.looks < 60
    reader.cancel()


async def test_without_news_it_looks_every_few_seconds(resource: Resource) -> None:
    reader = resource.hold(resource.holds())
    await asyncio.sleep(60)
    assert 8 <= resource.looks <= 15
    reader.cancel()


async def test_many_readers_of_a_cluster_look_little_more_than_one(resource: Resource) -> None:
    holds = resource.holds()
    readers = [resource.hold(holds) for _ in range(100)]
    await asyncio.sleep(1)
    begun = resource.looks
    await asyncio.sleep(60)
    assert resource.looks - begun < 100 * 4
    for reader in readers:
        reader.cancel()


async def test_what_the_first_reader_finds_the_others_learn_at_once(resource: Resource) -> None:
    holds = resource.holds()
    readers = [resource.hold(holds) for _ in range(3)]
    await asyncio.sleep(41)
    resource.becomes("RUNNING", news=False)
    begun = now()
    assert [found["state"] for found in await asyncio.gather(*readers)] == ["RUNNING"] * 3
    assert now() - begun < 5


async def test_when_the_first_reader_goes_the_next_takes_over(resource: Resource) -> None:
    holds = resource.holds()
    readers = [resource.hold(holds) for _ in range(2)]
    await asyncio.sleep(41)
    readers[0].cancel()
    await asyncio.sleep(1)
    resource.becomes("RUNNING", news=False)
    begun = now()
    assert (await readers[1])["state"] == "RUNNING"
    assert now() - begun < 5


async def test_the_longest_time_ends_it_with_what_there_is(resource: Resource) -> None:
    begun = now()
    assert await resource.hold(resource.holds(seconds=90)) == WAITING
    assert 90 <= now() - begun < 91


async def test_a_clients_own_deadline_ends_it_earlier(resource: Resource) -> None:
    begun = now()
    assert await resource.hold(resource.holds(), seconds=7.5) == WAITING
    assert now() - begun < 8


async def test_the_servers_end_answers_everybody_at_once(resource: Resource) -> None:
    holds = resource.holds()
    readers = [resource.hold(holds) for _ in range(20)]
    await asyncio.sleep(33)
    assert holds.count == 20
    begun = now()
    holds.end()
    await holds.idle(1)
    assert holds.count == 0
    assert [await reader for reader in readers] == [WAITING] * 20
    assert await resource.hold(holds) == WAITING
    assert now() == begun


async def test_too_many_are_answered_at_once(resource: Resource) -> None:
    holds = resource.holds(limit=2)
    held = [resource.hold(holds), resource.hold(holds)]
    await asyncio.sleep(1)
    begun = now()
    assert await resource.hold(holds) == WAITING
    assert now() == begun
    held[0].cancel()
    await asyncio.gather(held[0], return_exceptions=True)
    again = resource.hold(holds)
    await asyncio.sleep(1)
    assert not again.done()
    for reader in (held[1], again):
        reader.cancel()


async def test_a_reader_that_goes_leaves_nothing(resource: Resource) -> None:
    holds = resource.holds()
    before = asyncio.all_tasks()
    reader = resource.hold(holds)
    await asyncio.sleep(1)
    assert holds.count == 1
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    await asyncio.sleep(0)
    assert holds.count == 0
    assert asyncio.all_tasks() == before
    assert not resource.news._waiting


async def test_signs_of_life_are_given_every_fifteen_seconds(resource: Resource) -> None:
    beats: list[float] = []
    begun = now()

    async def beat() -> None:
        beats.append(now() - begun)

    reader = resource.hold(resource.holds(), beat=beat)
    await asyncio.sleep(61)
    resource.becomes("RUNNING")
    await reader
    assert [round(at) for at in beats] == [15, 30, 45, 60]


async def test_a_short_wait_gives_no_sign_so_that_its_status_stays_open(resource: Resource) -> None:
    beats = Counter[str]()

    async def beat() -> None:
        beats["beat"] += 1

    reader = resource.hold(resource.holds(), beat=beat)
    await asyncio.sleep(14)
    resource.becomes("RUNNING")
    await reader
    assert not beats


# --- the right to look -----------------------------------------------------------------------------------------------

ANN = Caller(Principal(PrincipalId("1"), "ann"))


def looker(
    *, again: HeliostatError | None = None, show: HeliostatError | None = None, checks: Counter[str] | None = None
) -> Looker:
    async def look_up() -> Caller:
        if checks is not None:
            checks["again"] += 1
        if again is not None:
            raise again
        return ANN

    async def shown(caller: Caller) -> dict[str, Any]:
        if show is not None:
            raise show
        return {"state": "UPDATING"}

    return Looker(Call(ANN, "v1", look_up), shown, WAITING, lambda seen: {**seen, "state": "STOPPING"})


async def test_the_right_is_looked_at_every_ten_seconds() -> None:
    checks = Counter[str]()
    subject = looker(checks=checks)
    for _ in range(60):
        await subject.look()
        await asyncio.sleep(1)
    assert 4 <= checks["again"] <= 6


@pytest.mark.parametrize("error", [Unauthenticated("revoked"), Forbidden("see", "ann", "viewer")])
async def test_who_has_lost_the_right_is_shown_no_more(error: HeliostatError) -> None:
    subject = looker(again=error)
    assert await subject.look() == {"state": "UPDATING"}
    await asyncio.sleep(11)
    assert await subject.look() is None


async def test_who_has_no_role_any_more_is_shown_no_more() -> None:
    assert await looker(show=NotFound("workspace", "w-1")).look() is None


async def test_a_resource_that_is_gone_was_being_stopped() -> None:
    assert await looker(show=NotFound("cluster", "c1")).look() == {"state": "STOPPING"}


async def test_a_database_that_does_not_answer_ends_nothing() -> None:
    assert await looker(show=Unavailable("busy")).look() == WAITING
