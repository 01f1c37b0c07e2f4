"""An instance among all those that start on this machine: its turn in the queue of starts, and what it is about to take."""

from __future__ import annotations

from typing import Protocol

from heliostat.domain.engine import Step as Phase

from . import crowd, owner
from .actions import Step
from .counts import awaited
from .facts import Facts
from .notes import begin, end, under_way
from .records import NodeRecord
from .turns import Need, Turn
from .world import World


class Owner(owner.Owner, Protocol):
    """The supervisor, as it is needed here."""

    @property
    def facts(self) -> Facts: ...

    def tell(self, phase: Phase, detail: str) -> None: ...


class Standing:
    """Of one instance."""

    def __init__(self, world: World, owner: Owner) -> None:
        self._world = world
        self._owner = owner
        self._turn: Turn | None = None
        self.crowding = ""
        """Why workers of an instance that is up are not started yet."""

    @property
    def has_turn(self) -> bool:
        return self._turn is not None

    @property
    def head_alive(self) -> bool:
        heads = (node for node in self._owner.record.nodes if node.kind == "head")
        return any(self._owner.facts.registered(node) for node in heads)

    def coming(self) -> list[NodeRecord]:
        """Workers that were launched a moment ago and are not alive yet."""
        return crowd.coming(self._owner.record, self._owner.facts.seen, self._world.now())

    def needs(self) -> Need:
        """What the start will still take."""
        nodes = awaited(self._owner.plan, self._owner.record)
        return crowd.need([node for node in nodes if not self._owner.facts.registered(node)])

    def loose_bytes(self) -> int:
        """What nodes are about to take that come up without a turn."""
        return 0 if self._turn is not None else crowd.need(self.coming()).memory_bytes

    def admit(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """The steps that there is room for now."""
        record = self._owner.record
        admitted = crowd.admitted(steps, record, self._room())
        self._world.crowd.note(record.instance, admitted)
        self.crowding = crowd.words(admitted.waiting, self._world.turns.spare)
        return admitted.steps

    def _room(self) -> crowd.Room:
        coming = len(self.coming())
        others = self._world.coming() - (coming if self.head_alive else 0)
        free = self._world.settings.concurrent_workers - others - coming
        slots = self._world.crowd.share(self._owner.record.instance, free)
        return crowd.Room(slots, None if self._turn is not None else self._world.turns.spare)

    # --- the turn -----------------------------------------------------------------------------------------------------

    def stand_in_line_again(self) -> None:
        """After the server was started again, before anybody asks for a turn."""
        record = self._owner.record
        if record.failure or record.up_at:
            return
        if record.started_at:
            self._turn = self._world.turns.take(self.needs)
        elif not under_way(record, Phase.ENVIRONMENT):
            self._world.turns.expect(record.created_at)

    async def take_turn(self) -> None:
        """Wait for a turn, and have it."""
        order = self._owner.record.created_at
        self._turn = await self._world.turns.acquire(order, self.needs, tell=self._tell_waiting)
        self._owner.save(end(self._owner.record, Phase.QUEUED, self._world.now()))

    def give_turn_back(self) -> None:
        if self._turn is not None:
            self._turn.release()
            self._turn = None

    def leave(self) -> None:
        """The instance starts nothing any more."""
        self.give_turn_back()
        self._world.turns.forget(self._owner.record.created_at)
        self._world.crowd.leave(self._owner.record.instance)

    def _tell_waiting(self, reason: str) -> None:
        self._owner.save(begin(self._owner.record, Phase.QUEUED, self._world.now()))
        self._owner.tell(Phase.QUEUED, reason)
