"""``client.clusters``: the calls on clusters by name or id.

Derived from ``aio/clusters.py`` by ``python -m heliostat.client.derive``: change that one.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Unpack

from .. import protocol
from ..decode import decode
from ..models import ClusterInfo, Event, Explanation, LogFile, Node, Plan
from ..specs import CreateFields, Document, UpdateFields, change, creation
from .cluster import Cluster
from .logs import text_of

if TYPE_CHECKING:
    from .client import Client


class Clusters:
    """Clusters of the client's workspace. ``cluster`` is an id or a name everywhere.

    Any call may raise what :mod:`heliostat.client.errors` lists.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self, name: str, *, start: bool = True, idempotency_key: str | None = None, **fields: Unpack[CreateFields]
    ) -> Cluster:
        """Make a cluster and, unless told otherwise, start it; ``(...).wait()`` waits until it runs.

        ``workers=2, cpu=1, memory="1Gi"`` is a head and two workers of that shape each.
        """
        return self.create_from(creation(name, fields), start=start, idempotency_key=idempotency_key)

    def create_from(self, definition: Document, *, start: bool = True, idempotency_key: str | None = None) -> Cluster:
        """The same from a whole definition in JSON, in the form of ``cluster.spec``."""
        path = self._client.in_workspace("/clusters")
        body = {**definition, "start": start}
        return self._cluster(self._client.send(protocol.post(path, body, key=idempotency_key or protocol.new_key())))

    def get(self, cluster: str) -> Cluster:
        return self._cluster(self._client.send(protocol.get(self._path(cluster))))

    def list(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        limit: int | None = None,
        temporary: bool = False,
    ) -> Generator[Cluster, None, None]:
        """Newest first, page by page; at most ``limit``. ``name`` is a part of the name.

        Clusters that were made for a job are there only with ``temporary``.

        Addresses, findings and what may hold secrets (environment variables) are left out; ``refresh()`` tells them.
        """
        path = self._client.in_workspace("/clusters")
        left, token = limit, None
        while left is None or left > 0:
            size = 100 if left is None else min(left, 100)
            query = {"state": state, "name": name, "limit": size, "page_token": token, "temporary": temporary or None}
            page = self._client.send(protocol.get(path, **query))
            for row in page["clusters"]:
                yield self._cluster(row)
            left = None if left is None else left - len(page["clusters"])
            token = page.get("next_page_token")
            if not token:
                return

    def update(
        self, cluster: str, *, expected_generation: int | None = None, **fields: Unpack[UpdateFields]
    ) -> Cluster:
        """Change the definition; what is not named stays. What a running cluster can have without a restart it gets at
        once; ``modified`` tells whether it needs one for the rest. Conflict when it has not the expected generation."""
        return self.patch(cluster, change(fields), expected_generation=expected_generation)

    def patch(self, cluster: str, patch: Document, *, expected_generation: int | None = None) -> Cluster:
        """The same with a JSON merge patch over the definition; ``workers`` is replaced as a whole."""
        request = protocol.patch(self._path(cluster), dict(patch), expected_generation=expected_generation)
        return self._cluster(self._client.send(request))

    def apply(
        self, definition: Document, *, cluster: str | None = None, start: bool = True,
        expected_generation: int | None = None,
    ) -> Cluster:  # fmt: skip
        """Have the cluster be exactly what a definition (in the form of ``cluster.spec``) says; what it leaves out has its
        default, but the release stays. One that does not exist is made and, unless told otherwise, started."""
        path = self._path(cluster or definition.get("name") or "")
        query = {"start": start, "expected_generation": expected_generation}
        return self._cluster(self._client.send(protocol.put(path, dict(definition), **query)))

    def plan(
        self,
        definition: Document | None = None,
        *,
        cluster: str | None = None,
        patch: Document | None = None,
        expected_generation: int | None = None,
    ) -> Plan:
        """What ``apply`` of a definition, or ``patch`` of a cluster, would do. Nothing is changed."""
        given = definition or {}
        path = self._path(cluster or given.get("name") or "", "/plan")
        body = {"definition": definition and dict(definition), "patch": None if patch is None else dict(patch)}
        request = protocol.post(path, body, repeatable=True, expected_generation=expected_generation)
        return decode(Plan, self._client.send(request))

    def restart(
        self,
        cluster: str,
        *,
        rolling: bool = False,
        instance: str | None = None,
        idempotency_key: str | None = None,
    ) -> Cluster:
        """End the present run and begin one of what is stored. Does not wait.

        ``rolling``: the run stays, and its nodes are replaced one after the other. ``instance`` guards a late call.
        """
        key = idempotency_key or protocol.new_key()
        body = {"rolling": rolling, "instance": instance}
        return self._cluster(self._client.send(protocol.post(self._path(cluster, "/restart"), body, key=key)))

    def start(self, cluster: str, *, idempotency_key: str | None = None) -> Cluster:
        """Start a stopped or failed cluster: a new run with its own id, token and addresses. Does not wait."""
        key = idempotency_key or protocol.new_key()
        return self._cluster(self._client.send(protocol.post(self._path(cluster, "/start"), key=key)))

    def stop(self, cluster: str, *, instance: str | None = None) -> Cluster:
        """Stop it. ``instance`` guards a late call: a run with another id is left alone (Conflict). Does not wait."""
        body = {"instance": instance} if instance else None
        request = protocol.post(self._path(cluster, "/stop"), body, repeatable=True)
        return self._cluster(self._client.send(request))

    def delete(self, cluster: str, *, stop: bool = False) -> None:
        """Delete a stopped or failed cluster; with ``stop`` also one that is up. Does not wait."""
        self._client.send(protocol.delete(self._path(cluster), stop=stop or None))

    def nodes(self, cluster: str) -> Sequence[Node]:
        """The nodes of the present run, head first."""
        answer = self._client.send(protocol.get(self._path(cluster, "/nodes")))
        return [decode(Node, row) for row in answer["nodes"]]

    def events(
        self, cluster: str, *, limit: int = 100, before: int | None = None, after: int | None = None
    ) -> Sequence[Event]:
        """Newest first; ``before`` continues behind that event's id. With ``after``: those since, oldest first."""
        path = self._path(cluster, "/events")
        answer = self._client.send(protocol.get(path, limit=limit, before=before, after=after))
        return [decode(Event, row) for row in answer["events"]]

    def follow_events(self, cluster: str, *, after: int | None = None) -> Generator[Event, None, None]:
        """Events as they happen, oldest first, until the cluster is gone: all of them, or those since ``after``.

        A broken connection is mended without losing or repeating any.
        """
        last = after
        connection = protocol.Reconnection()
        path = self._path(cluster, "/events")
        while True:
            try:
                with closing(self._client.stream(protocol.get(path, follow=True, after=last))) as rows:
                    for row in rows:
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
            self._client.sleep(connection.pause)

    def why(self, cluster: str) -> Explanation:
        """Why it is in its state, with the evidence."""
        return decode(Explanation, self._client.send(protocol.get(self._path(cluster, "/why"))))

    def watch(self, cluster: str, *, seconds: float | None = None) -> Generator[Cluster, None, None]:
        """The cluster now, and again whenever it changes, until it is gone or ``seconds`` have passed."""
        path = self._path(cluster, "/watch")
        clock, connection = protocol.Deadline(seconds), protocol.Reconnection()
        while not clock.passed:
            try:
                with closing(self._client.stream(protocol.get(path, seconds=clock.stream_seconds))) as rows:
                    for row in rows:
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
            self._client.sleep(clock.at_most(connection.pause))

    def logs(self, cluster: str, *, instance: str | None = None) -> Sequence[LogFile]:
        """What was kept of the logs of its nodes, of all its runs or of one. Name a cluster that is gone by its id."""
        answer = self._client.send(protocol.get(self._path(cluster, "/logs"), instance=instance))
        return [decode(LogFile, row) for row in answer["files"]]

    def read_log(
        self,
        cluster: str,
        instance: str,
        name: str,
        *,
        offset: int = 0,
        tail: int | None = None,
        grep: str | None = None,
    ) -> Generator[str, None, None]:
        """The text of one log file, piece by piece; see ``jobs.read_log``."""
        path = self._path(cluster, f"/logs/{protocol.segment(instance)}/{protocol.segments(name)}")
        with closing(text_of(self._client, path, offset=offset, tail=tail, grep=grep)) as pieces:
            yield from pieces

    def _cluster(self, document: Mapping[str, Any]) -> Cluster:
        return Cluster(self._client, decode(ClusterInfo, document))

    def _path(self, cluster: str, rest: str = "") -> str:
        return self._client.in_workspace(f"/clusters/{protocol.segment(cluster)}{rest}")
