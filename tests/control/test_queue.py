"""The work queue: no key twice at once, no wake lost, delays that only ever get shorter."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from heliostat.control.queue import WorkQueue

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


async def nothing_comes(queue: WorkQueue[str], within: float = 1000) -> bool:
    try:
        async with asyncio.timeout(within):
            await queue.take()
    except TimeoutError:
        return True
    return False


async def test_keys_come_in_the_order_of_their_first_wake_and_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in "abcab":
        queue.wake(key)
    assert len(queue) == 3
    assert [await queue.take() for _ in range(3)] == ["a", "b", "c"]
    assert await nothing_comes(queue)


async def test_a_key_that_is_worked_on_is_not_handed_out_until_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.wake("a")
    assert await queue.take() == "a"
    queue.wake("a")
    queue.wake("a")
    assert await nothing_comes(queue)
    queue.done("a")
    assert await queue.take() == "a"
    queue.done("a")
    assert await nothing_comes(queue)


async def test_a_taker_waits_for_a_wake() -> None:
    queue: WorkQueue[str] = WorkQueue()
    taking = [asyncio.create_task(queue.take()) for _ in range(2)]
    await asyncio.sleep(1)
    queue.wake("a")
    queue.wake("b")
    assert await asyncio.gather(*taking) == ["a", "b"]


async def test_a_delay_ends_at_its_time() -> None:
    queue: WorkQueue[str] = WorkQueue()
    begun = now()
    queue.wake_after("a", 30)
    assert await queue.take() == "a" and now() - begun == pytest.approx(30)


async def test_of_two_delays_the_shorter_counts() -> None:
    queue: WorkQueue[str] = WorkQueue()
    begun = now()
    queue.wake_after("a", 30)
    queue.wake_after("a", 5)
    queue.wake_after("a", 60)
    assert await queue.take() == "a" and now() - begun == pytest.approx(5)
    queue.done("a")
    assert await nothing_comes(queue)


async def test_a_wake_replaces_a_delay() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.wake_after("a", 30)
    queue.wake("a")
    begun = now()
    assert await queue.take() == "a" and now() == begun
    queue.done("a")
    assert await nothing_comes(queue)


async def test_a_delay_that_ends_while_the_key_is_worked_on_is_not_lost() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.wake("a")
    await queue.take()
    queue.wake_after("a", 5)
    await asyncio.sleep(10)
    assert not await queue_hands_out(queue)
    queue.done("a")
    assert await queue_hands_out(queue)


async def queue_hands_out(queue: WorkQueue[str]) -> bool:
    return not await nothing_comes(queue, 1)


async def test_a_delay_set_while_working_holds_after_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.wake("a")
    await queue.take()
    begun = now()
    queue.wake_after("a", 5)
    queue.done("a")
    assert await queue.take() == "a" and now() - begun == pytest.approx(5)


async def test_a_closed_queue_has_no_timers_left() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.wake_after("a", 5)
    queue.close()
    assert await nothing_comes(queue)


@pytest.mark.parametrize("seed", range(5))
async def test_under_load_every_wake_is_followed_by_a_look_and_no_key_is_worked_on_twice(seed: int) -> None:
    chance = random.Random(seed)
    queue: WorkQueue[int] = WorkQueue()
    busy: Counter[int] = Counter()
    woken: dict[int, float] = {}
    looked: dict[int, float] = {}

    async def work() -> None:
        while True:
            key = await queue.take()
            busy[key] += 1
            assert busy[key] == 1
            looked[key] = now()
            await asyncio.sleep(chance.random())
            if chance.random() < 0.3:
                queue.wake_after(key, chance.random())
            busy[key] -= 1
            queue.done(key)

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(4)]
        for _ in range(500):
            key = chance.randrange(8)
            woken[key] = now()
            queue.wake(key)
            await asyncio.sleep(chance.random() * 0.2)
        await asyncio.sleep(60)
        for worker in workers:
            worker.cancel()
    queue.close()
    assert set(woken) == set(range(8))
    assert all(looked[key] >= woken[key] for key in woken)
