"""Performing the steps of a decision. Each is safe to repeat after a crash at any point.

What is about to exist is noted before it does; what is gone is noted after. After every ``await`` the record is taken
anew from its owner, since notes may have been added meanwhile. Notes come first, then what Ray's autoscaler is told (so that
it finds them), then the effects on nodes: :mod:`.beginnings`, :mod:`.endings`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from . import owner
from .actions import (
    Add,
    AwaitTurn,
    Bury,
    Drain,
    EndProcess,
    Fail,
    Leave,
    Prepare,
    Renew,
    RenewHead,
    Replace,
    Retire,
    Revive,
    Start,
    Step,
    Vouch,
)
from .beginnings import Beginnings
from .endings import Endings
from .nodes import Nodes
from .records import InstanceRecord
from .world import World


class Owner(owner.Owner, Protocol):
    """The supervisor, as the steps need it."""

    @property
    def environments(self) -> Mapping[str, Path]: ...

    @property
    def idle(self) -> Mapping[str, float]: ...

    def prepare(self) -> None: ...

    def await_turn(self) -> None: ...

    def tell_scaler(self) -> None: ...


class Steps:
    """The effects of one instance's decisions."""

    def __init__(self, world: World, nodes: Nodes, owner: Owner) -> None:
        self._owner = owner
        self._beginnings = Beginnings(world, nodes, owner)
        self._endings = Endings(world, nodes, owner)

    def more_workers(self, group: str, count: int, request: str, not_before: float) -> InstanceRecord:
        """The record with places for further workers, not saved yet. Raises Unavailable when there are no free ports."""
        return self._beginnings.with_places(Add("worker", group, count), request, not_before)

    async def perform(self, steps: Sequence[Step]) -> None:
        """Perform all steps; starts and ends of nodes go side by side, and all are tried before an error is raised."""
        for step in steps:
            self._note(step)
        self._owner.tell_scaler()
        self._beginnings.note_starts([step.node for step in steps if isinstance(step, Start)])
        work = [effect for step in steps if (effect := self._effect(step)) is not None]
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def _note(self, step: Step) -> None:
        """The steps that only write something down, or set something going."""
        match step:
            case Prepare():
                self._owner.prepare()
            case AwaitTurn():
                self._owner.await_turn()
            case Add():
                self._beginnings.add(step)
            case Leave():
                self._endings.note_leaving(step)
            case Renew():
                self._beginnings.note_renewal(step)
            case Vouch():
                self._beginnings.vouch(step)

    def _effect(self, step: Step) -> Coroutine[None, None, None] | None:
        match step:
            case Start():
                return self._beginnings.start(step)
            case Replace():
                return self._endings.replace(step)
            case Revive():
                return self._endings.revive(step)
            case RenewHead():
                return self._endings.renew_head(step)
            case Drain():
                return self._endings.drain(step)
            case Retire():
                return self._endings.retire(step)
            case Bury():
                return self._endings.bury(step)
            case EndProcess():
                return self._endings.end_process(step)
            case Fail():
                return self._endings.fail(step)
            case _:
                return None
