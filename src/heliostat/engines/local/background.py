"""The queue of starts as the warm pool sees it: behind everybody else."""

from __future__ import annotations

from collections.abc import Callable

from .turns import Needs, Turn, Turns, nothing, quiet


class BackgroundTurns(Turns):
    """The line of another :class:`Turns`, in which each start is one in the background. No place is kept for it."""

    def __init__(self, turns: Turns) -> None:
        self._all = turns

    async def acquire(
        self,
        order: float,
        needs: Needs = nothing,
        *,
        background: bool = True,
        tell: Callable[[str], None] = quiet,
    ) -> Turn:
        return await self._all.acquire(order, needs, background=True, tell=tell)

    def take(self, needs: Needs = nothing) -> Turn:
        """Of an entry whose start an earlier server began, and that is removed: it holds up nobody."""
        return Turn(self._all, needs, background=True)

    def expect(self, order: float) -> None:
        return

    def forget(self, order: float) -> None:
        return

    @property
    def spare(self) -> int:
        return self._all.spare
