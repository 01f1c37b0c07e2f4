"""The queue of starts: who may start now, so that this machine is never asked for more starts than it can bear.

A start takes its turn before its first node and gives it back when it is up or has failed. Two things bound turns: the
cores (so many starts at once) and memory (a start waits while its nodes, at rest, would not fit into what is free). First
asked is first started: the order is a time that is noted on disk, thus the same after the server was started again. A start
whose environment is being built does not stand in line, and so holds up nobody; when it is built, its old place counts.

What the user's code will take later, and how full object stores will get, nobody knows beforehand: what they hold by now is
missing from the free memory, what they may grow to is not counted.

Starts in the background (a stock of warm instances) never hold up a user's: they go one at a time, when no other start is
under way or waits, and a user's start does not count them.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from .clock import Clock

LOOK_SECONDS = 1.0
"""Between two looks at the free memory while a start waits for it."""
EXPECT_SECONDS = 10.0
"""So long a place in the line is kept for a start that stood in it before the server was started again."""
GIBIBYTE = 1 << 30


@dataclass(frozen=True)
class Need:
    """What a start will still take: nodes that are not there yet, and their memory at rest."""

    nodes: int = 0
    memory_bytes: int = 0


Needs = Callable[[], Need]
"""Asked again at every look: nodes come up, and plans change."""


def nothing() -> Need:
    return Need()


def quiet(reason: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, order=True)
class _Waiting:
    """One in the line; sorted as they are served."""

    background: bool
    order: float
    number: int
    needs: Needs = field(compare=False)


class Turn:
    """Leave to start. Given back once, however often :meth:`release` is called."""

    def __init__(self, turns: Turns, needs: Needs, background: bool) -> None:
        self._turns = turns
        self.needs = needs
        self.background = background

    def release(self) -> None:
        self._turns.give_back(self)


class Turns:
    """The line, and who has a turn. Used in one event loop.

    ``most`` is how many have a turn at once; ``free`` tells the bytes of memory that nodes may still take.
    """

    def __init__(self, clock: Clock, most: int, free: Callable[[], int]) -> None:
        self._clock = clock
        self._most = most
        self._free = free
        self._line: list[_Waiting] = []
        self._held: list[Turn] = []
        self._expected: dict[float, float] = {}
        """Order -> until when its place is kept, Unix seconds."""
        self._numbers = itertools.count()
        self._moved = asyncio.Event()

    async def acquire(
        self,
        order: float,
        needs: Needs = nothing,
        *,
        background: bool = False,
        tell: Callable[[str], None] = quiet,
    ) -> Turn:
        """Wait for a turn. ``order`` is a time, the earlier the sooner; ``tell`` hears what is waited for, in words,
        before every pause. May be cancelled."""
        waiting = _Waiting(background, order, next(self._numbers), needs)
        bisect.insort(self._line, waiting)
        self._expected.pop(order, None)
        try:
            while reason := self._obstacle(waiting):
                tell(reason)
                await self._pause()
            return self._give(needs, background)
        finally:
            self._line.remove(waiting)
            self._wake()

    def take(self, needs: Needs = nothing) -> Turn:
        """A turn without waiting: for a start that an earlier server began, whose nodes are coming up as it is."""
        return self._give(needs, background=False)

    def expect(self, order: float) -> None:
        """Keep a place for a start that stood in the line before the server was started again, until it asks."""
        self._expected[order] = self._clock.now().timestamp() + EXPECT_SECONDS

    def forget(self, order: float) -> None:
        """That one will not ask."""
        if self._expected.pop(order, None) is not None:
            self._wake()

    def give_back(self, turn: Turn) -> None:
        if turn in self._held:
            self._held.remove(turn)
            self._wake()

    @property
    def spare(self) -> int:
        """Bytes of free memory that no start under way is going to take."""
        return self._free() - sum(turn.needs().memory_bytes for turn in self._held)

    # --- the rules ----------------------------------------------------------------------------------------------------

    def _obstacle(self, waiting: _Waiting) -> str:
        """What this one waits for; empty: nothing, it is its turn."""
        place = self._line.index(waiting)
        users = [turn for turn in self._held if not turn.background]
        before = len(self._held if waiting.background else users)
        ahead = before + place + self._missing(waiting)
        full = before >= (1 if waiting.background else self._most)
        if place == 0 and ahead == before and not full:
            return self._shortage(waiting)
        text = "1 start is ahead" if ahead == 1 else f"{ahead} starts are ahead"
        first = self._line[0]
        if place and len(users) < self._most and (shortage := self._shortage(first)):
            return f"{text}; the first {shortage}"
        return text

    def _missing(self, waiting: _Waiting) -> int:
        """Those with an earlier place that have not asked again yet."""
        now = self._clock.now().timestamp()
        kept = [order for order, until in self._expected.items() if 0 < until - now <= EXPECT_SECONDS]
        return sum(waiting.background or order < waiting.order for order in kept)

    def _shortage(self, waiting: _Waiting) -> str:
        need, spare = waiting.needs(), self.spare
        if need.memory_bytes <= spare:
            return ""
        return f"waits for memory: {memory_words(need, spare)}"

    # --- the mechanics ------------------------------------------------------------------------------------------------

    def _give(self, needs: Needs, background: bool) -> Turn:
        turn = Turn(self, needs, background)
        self._held.append(turn)
        return turn

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _pause(self) -> None:
        """Until somebody moves, or for a moment: memory and kept places become free without a word."""
        waits = {asyncio.create_task(self._moved.wait()), asyncio.create_task(self._clock.sleep(LOOK_SECONDS))}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


def memory_words(need: Need, spare: int) -> str:
    """``3 nodes need 0.8 GiB, 0.3 GiB are free``."""
    nodes = "1 node needs" if need.nodes == 1 else f"{need.nodes} nodes need"
    return f"{nodes} {need.memory_bytes / GIBIBYTE:.1f} GiB, {max(0, spare) / GIBIBYTE:.1f} GiB are free"
