"""A cluster as an object."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Self, Unpack

from ..errors import ClusterFailed, DeadlineExceeded, InvalidRequest, NotFound
from ..facts import RENEWED, ClusterFacts
from ..models import ClusterInfo, Event, Explanation, LogFile, Node, Plan, Progress
from ..specs import CreateFields, Document, UpdateFields
from .chosen import chosen

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncCluster(ClusterFacts):
    """A cluster: its facts at the last look, and the calls on it. Calls that change it also refresh the facts."""

    def __init__(self, client: AsyncClient, info: ClusterInfo) -> None:
        super().__init__(info)
        self._client = client

    @classmethod
    async def create(
        cls,
        name: str,
        *,
        start: bool = True,
        idempotency_key: str | None = None,
        client: AsyncClient | None = None,
        **fields: Unpack[CreateFields],
    ) -> AsyncCluster:
        """Make a cluster and, unless told otherwise, start it; see ``Clusters.create``."""
        clusters = chosen(client).clusters
        return await clusters.create(name, start=start, idempotency_key=idempotency_key, **fields)

    @classmethod
    async def get(cls, cluster: str, *, client: AsyncClient | None = None) -> AsyncCluster:
        """The cluster with this name or id."""
        return await chosen(client).clusters.get(cluster)

    @classmethod
    def list(
        cls,
        *,
        state: str | None = None,
        name: str | None = None,
        limit: int | None = None,
        client: AsyncClient | None = None,
    ) -> AsyncGenerator[AsyncCluster, None]:
        """Clusters, newest first."""
        return chosen(client).clusters.list(state=state, name=name, limit=limit)

    async def refresh(self) -> Self:
        """Look again."""
        return self._now(await self._client.clusters.get(self.id))

    async def wait(
        self,
        until: str = "Running",
        *,
        deadline: float = 900.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Self:
        """Wait until it has the state ``until``, at most ``deadline`` seconds.

        ``on_progress`` is called at once and whenever something changed. Raises ClusterFailed with the cause when the
        cluster comes to Error or is wanted elsewhere, DeadlineExceeded when it takes too long; it goes on then.
        """
        return await self._wait(until, deadline, on_progress)

    async def start(
        self,
        *,
        wait: bool = False,
        deadline: float = 900.0,
        on_progress: Callable[[Progress], None] | None = None,
        idempotency_key: str | None = None,
    ) -> Self:
        """Start it: a new run. With ``wait`` until it runs."""
        self._now(await self._client.clusters.start(self.id, idempotency_key=idempotency_key))
        return await self._wait("Running", deadline, on_progress) if wait else self

    async def stop(
        self,
        *,
        wait: bool = False,
        deadline: float = 900.0,
        on_progress: Callable[[Progress], None] | None = None,
        instance: str | None = None,
    ) -> Self:
        """Stop it; with ``wait`` until nothing of the run is left. ``instance`` guards against stopping a later run."""
        self._now(await self._client.clusters.stop(self.id, instance=instance))
        return await self._wait("Stopped", deadline, on_progress) if wait else self

    async def delete(
        self,
        *,
        stop: bool = False,
        wait: bool = False,
        deadline: float = 900.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Delete it, with ``stop`` even while it is up; with ``wait`` until nothing of it is left."""
        await self._client.clusters.delete(self.id, stop=stop)
        if wait:
            await self._wait("", deadline, on_progress)

    async def restart(
        self,
        *,
        rolling: bool = False,
        wait: bool = False,
        deadline: float = 900.0,
        on_progress: Callable[[Progress], None] | None = None,
        instance: str | None = None,
        idempotency_key: str | None = None,
    ) -> Self:
        """End the present run and begin one of what is stored; ``rolling``: replace its nodes one after the other.

        With ``wait`` until that is done.
        """
        self._now(
            await self._client.clusters.restart(
                self.id, rolling=rolling, instance=instance, idempotency_key=idempotency_key
            )
        )
        return await self._wait(RENEWED if rolling else "Running", deadline, on_progress) if wait else self

    async def update(self, *, expected_generation: int | None = None, **fields: Unpack[UpdateFields]) -> Self:
        """Change the definition; what is not named stays, and what can be had without a restart is had at once."""
        return self._now(await self._client.clusters.update(self.id, expected_generation=expected_generation, **fields))

    async def plan(self, patch: Document) -> Plan:
        """What a merge patch over the definition would do. Nothing is changed."""
        return await self._client.clusters.plan(cluster=self.id, patch=patch)

    async def scale(self, replicas: int, *, group: str | None = None) -> Self:
        """Set the number of workers of a group (``group`` may be left out when there is only one)."""
        await self.refresh()
        groups = [dict(row) for row in self.spec.get("workers", ())]
        meant = [row for row in groups if group is None or row["name"] == group]
        if len(meant) != 1:
            names = ", ".join(row["name"] for row in groups) or "none"
            raise InvalidRequest(f"name one of the worker groups; there are: {names}", path="group")
        meant[0]["replicas"] = replicas
        return self._now(await self._client.clusters.patch(self.id, {"workers": groups}))

    async def nodes(self) -> Sequence[Node]:
        """The nodes of the present run, head first."""
        return await self._client.clusters.nodes(self.id)

    async def events(self, *, limit: int = 100, before: int | None = None, after: int | None = None) -> Sequence[Event]:
        """What happened to it, newest first (with ``after``: oldest first)."""
        return await self._client.clusters.events(self.id, limit=limit, before=before, after=after)

    def follow_events(self, *, after: int | None = None) -> AsyncGenerator[Event, None]:
        """What happens to it, as it happens."""
        return self._client.clusters.follow_events(self.id, after=after)

    async def logs(self, *, instance: str | None = None) -> Sequence[LogFile]:
        """What was kept of the logs of its nodes, of all its runs or of one."""
        return await self._client.clusters.logs(self.id, instance=instance)

    async def why(self) -> Explanation:
        """Why it is in its state."""
        return await self._client.clusters.why(self.id)

    def watch(self, *, seconds: float | None = None) -> AsyncGenerator[AsyncCluster, None]:
        """The cluster now, and again whenever it changes."""
        return self._client.clusters.watch(self.id, seconds=seconds)

    async def _wait(self, until: str, deadline: float, on_progress: Callable[[Progress], None] | None) -> Self:
        """``until`` is a state, or "" for being gone."""
        since = time.monotonic()
        try:
            async with aclosing(self._client.clusters.watch(self.id, seconds=deadline)) as looks:
                async for seen in looks:
                    self._now(seen)
                    if on_progress is not None:
                        on_progress(self.progress(since))
                    if self.arrived(until, deleting=not until):
                        return self
            gone = time.monotonic() - since < deadline
        except NotFound:
            gone = True
        if gone and not until:
            return self
        if gone:
            raise ClusterFailed(f"cluster {self.name} was deleted while waiting for {until}")
        goal = until or "gone"
        raise DeadlineExceeded(f"cluster {self.name} is {self.state}, not {goal}, after {deadline:g} s: {self.message}")

    def _now(self, seen: AsyncCluster) -> Self:
        self.info = seen.info
        return self
