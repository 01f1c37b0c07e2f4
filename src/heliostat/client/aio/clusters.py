"""``client.clusters``: the calls on clusters by name or id."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Unpack

from .. import protocol
from ..decode import decode
from ..models import ClusterInfo, Event, Explanation, LogFile, Node, Plan
from ..specs import CreateFields, Document, UpdateFields, change, creation
from .cluster import AsyncCluster
from .logs import text_of

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncClusters:
    """Clusters of the client's workspace. ``cluster`` is an id or a name everywhere.

    Any call may raise what :mod:`heliostat.client.errors` lists.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(
        self, name: str, *, start: bool = True, idempotency_key: str | None = None, **fields: Unpack[CreateFields]
    ) -> AsyncCluster:
        """Make a cluster and, unless told otherwise, start it; ``await (...).wait()`` waits until it runs.

        ``workers=2, cpu=1, memory="1Gi"`` is a head and two workers of that shape each.
        """
        return await self.create_from(creation(name, fields), start=start, idempotency_key=idempotency_key)

    async def create_from(
        self, definition: Document, *, start: bool = True, idempotency_key: str | None = None
    ) -> AsyncCluster:
        """The same from a whole definition in JSON, in the form of ``cluster.spec``."""
        path = await self._client.in_workspace("/clusters")
        body = {**definition, "start": start}
        return self._cluster(
            await self._client.send(protocol.post(path, body, key=idempotency_key or protocol.new_key()))
        )

    async def get(self, cluster: str) -> AsyncCluster:
        return self._cluster(await self._client.send(protocol.get(await self._path(cluster))))

    async def list(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        limit: int | None = None,
        temporary: bool = False,
    ) -> AsyncGenerator[AsyncCluster, None]:
        """Newest first, page by page; at most ``limit``. ``name`` is a part of the name.

        Clusters that were made for a job are there only with ``temporary``.

        Addresses, findings and what may hold secrets (environment variables) are left out; ``refresh()`` tells them.
        """
        path = await self._client.in_workspace("/clusters")
        left, token = limit, None
        while left is None or left > 0:
            size = 100 if left is None else min(left, 100)
            query = {"state": state, "name": name, "limit": size, "page_token": token, "temporary": temporary or None}
            page = await self._client.send(protocol.get(path, **query))
            for row in page["clusters"]:
                yield self._cluster(row)
            left = None if left is None else left - len(page["clusters"])
            token = page.get("next_page_token")
            if not token:
                return

    async def update(
        self, cluster: str, *, expected_generation: int | None = None, **fields: Unpack[UpdateFields]
    ) -> AsyncCluster:
        """Change the definition; what is not named stays. What a running cluster can have without a restart it gets at
        once; ``modified`` tells whether it needs one for the rest. Conflict when it has not the expected generation."""
        return await self.patch(cluster, change(fields), expected_generation=expected_generation)

    async def patch(self, cluster: str, patch: Document, *, expected_generation: int | None = None) -> AsyncCluster:
        """The same with a JSON merge patch over the definition; ``workers`` is replaced as a whole."""
        request = protocol.patch(await self._path(cluster), dict(patch), expected_generation=expected_generation)
        return self._cluster(await self._client.send(request))

    async def apply(
        self, definition: Document, *, cluster: str | None = None, start: bool = True,
        expected_generation: int | None = None,
    ) -> AsyncCluster:  # fmt: skip
        """Have the cluster be exactly what a definition (in the form of ``cluster.spec``) says; what it leaves out has its
        default, but the release stays. One that does not exist is made and, unless told otherwise, started."""
        path = await self._path(cluster or definition.get("name") or "")
        query = {"start": start, "expected_generation": expected_generation}
        return self._cluster(await self._client.send(protocol.put(path, dict(definition), **query)))

    async def plan(
        self,
        definition: Document | None = None,
        *,
        cluster: str | None = None,
        patch: Document | None = None,
        expected_generation: int | None = None,
    ) -> Plan:
        """What ``apply`` of a definition, or ``patch`` of a cluster, would do. Nothing is changed."""
        given = definition or {}
        path = await self._path(cluster or given.get("name") or "", "/plan")
        body = {"definition": definition and dict(definition), "patch": None if patch is None else dict(patch)}
        request = protocol.post(path, body, repeatable=True, expected_generation=expected_generation)
        return decode(Plan, await self._client.send(request))

    async def restart(
        self,
        cluster: str,
        *,
        rolling: bool = False,
        instance: str | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncCluster:
        """End the present run and begin one of what is stored. Does not wait.

        ``rolling``: the run stays, and its nodes are replaced one after the other. ``instance`` guards a late call.
        """
        key = idempotency_key or protocol.new_key()
        body = {"rolling": rolling, "instance": instance}
        return self._cluster(
            await self._client.send(protocol.post(await self._path(cluster, "/restart"), body, key=key))
        )

    async def start(self, cluster: str, *, idempotency_key: str | None = None) -> AsyncCluster:
        """Start a stopped or failed cluster: a new run with its own id, token and addresses. Does not wait."""
        key = idempotency_key or protocol.new_key()
        return self._cluster(await self._client.send(protocol.post(await self._path(cluster, "/start"), key=key)))

    async def stop(self, cluster: str, *, instance: str | None = None) -> AsyncCluster:
        """Stop it. ``instance`` guards a late call: a run with another id is left alone (Conflict). Does not wait."""
        body = {"instance": instance} if instance else None
        request = protocol.post(await self._path(cluster, "/stop"), body, repeatable=True)
        return self._cluster(await self._client.send(request))

    async def delete(self, cluster: str, *, stop: bool = False) -> None:
        """Delete a stopped or failed cluster; with ``stop`` also one that is up. Does not wait."""
        await self._client.send(protocol.delete(await self._path(cluster), stop=stop or None))

    async def nodes(self, cluster: str) -> Sequence[Node]:
        """The nodes of the present run, head first."""
        answer = await self._client.send(protocol.get(await self._path(cluster, "/nodes")))
        return [decode(Node, row) for row in answer["nodes"]]

    async def events(
        self, cluster: str, *, limit: int = 100, before: int | None = None, after: int | None = None
    ) -> Sequence[Event]:
        """Newest first; ``before`` continues behind that event's id. With ``after``: those since, oldest first."""
        path = await self._path(cluster, "/events")
        answer = await self._client.send(protocol.get(path, limit=limit, before=before, after=after))
        return [decode(Event, row) for row in answer["events"]]

    async def follow_events(self, cluster: str, *, after: int | None = None) -> AsyncGenerator[Event, None]:
        """Events as they happen, oldest first, until the cluster is gone: all of them, or those since ``after``.

        A broken connection is mended without losing or repeating any.
        """
        last = after
        connection = protocol.Reconnection()
        path = await self._path(cluster, "/events")
        while True:
            try:
                async with aclosing(self._client.stream(protocol.get(path, follow=True, after=last))) as rows:
                    async for row in rows:
                        connection.good()
                        if row.kind == "gone":
                            return
                        if row.kind == "event":
                            event = decode(Event, row.data)
                            last = event.id
                            yield event
            except protocol.NotFound:
                if connection.ever_good:
                    return
                raise
            except protocol.Unavailable as error:
                connection.bad(error)
            await self._client.sleep(connection.pause)

    async def why(self, cluster: str) -> Explanation:
        """Why it is in its state, with the evidence."""
        return decode(Explanation, await self._client.send(protocol.get(await self._path(cluster, "/why"))))

    async def watch(self, cluster: str, *, seconds: float | None = None) -> AsyncGenerator[AsyncCluster, None]:
        """The cluster now, and again whenever it changes, until it is gone or ``seconds`` have passed."""
        path = await self._path(cluster, "/watch")
        clock, connection = protocol.Deadline(seconds), protocol.Reconnection()
        while not clock.passed:
            try:
                async with aclosing(self._client.stream(protocol.get(path, seconds=clock.stream_seconds))) as rows:
                    async for row in rows:
                        connection.good()
                        if row.kind == "gone":
                            return
                        if row.kind == "cluster":
                            yield self._cluster(row.data)
                        if clock.passed:
                            return
            except protocol.NotFound:
                if connection.ever_good:
                    return
                raise
            except protocol.Unavailable as error:
                connection.bad(error)
            await self._client.sleep(clock.at_most(connection.pause))

    async def logs(self, cluster: str, *, instance: str | None = None) -> Sequence[LogFile]:
        """What was kept of the logs of its nodes, of all its runs or of one. Name a cluster that is gone by its id."""
        answer = await self._client.send(protocol.get(await self._path(cluster, "/logs"), instance=instance))
        return [decode(LogFile, row) for row in answer["files"]]

    async def read_log(
        self,
        cluster: str,
        instance: str,
        name: str,
        *,
        offset: int = 0,
        tail: int | None = None,
        grep: str | None = None,
    ) -> AsyncGenerator[str, None]:
        """The text of one log file, piece by piece; see ``jobs.read_log``."""
        path = await self._path(cluster, f"/logs/{protocol.segment(instance)}/{protocol.segments(name)}")
        async with aclosing(text_of(self._client, path, offset=offset, tail=tail, grep=grep)) as pieces:
            async for piece in pieces:
                yield piece

    def _cluster(self, document: Mapping[str, Any]) -> AsyncCluster:
        return AsyncCluster(self._client, decode(ClusterInfo, document))

    async def _path(self, cluster: str, rest: str = "") -> str:
        return await self._client.in_workspace(f"/clusters/{protocol.segment(cluster)}{rest}")
