"""Create, read, start, stop and delete clusters. The rules are those of the EMR contract, sections 7.1 and 8."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from heliostat.domain.errors import Conflict, IdempotencyMismatch, NotFound, NotReady
from heliostat.domain.ids import ClusterId, InstanceId, WorkspaceId, new_cluster_id
from heliostat.domain.operations import Kind
from heliostat.domain.records import Cluster, Event, Instance, Role
from heliostat.domain.spec import ClusterSpec
from heliostat.domain.states import State, Wanted
from heliostat.store import Transaction

from .caller import Caller, authorise
from .cluster_base import CLIENT_TOKEN_MEMORY
from .cluster_steps import remove, stop
from .cluster_updates import ClusterUpdates
from .cluster_views import ClusterView
from .operations import Track, open_operation
from .why import Explanation, explain


class ClusterService(ClusterUpdates):
    """The use cases on clusters. Every method may raise NotFound (workspace, cluster) and Forbidden."""

    async def create(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        spec: ClusterSpec,
        *,
        start: bool = False,
        client_token: str | None = None,
        track: Track | None = None,
    ) -> Cluster:
        """Store a new cluster, and start it if asked. With ``track`` that is an operation: until it runs, if it is started.

        A ``client_token`` seen in the last 24 hours returns the cluster that it made then, and opens no operation. Raises
        InvalidSpec, AlreadyExists (the name), IdempotencyMismatch, NotReady (with ``start``: its release cannot run here).
        """
        spec = self._resolved(spec)
        problem = await self._start_problem(spec) if start else None
        cluster = new_cluster_id()

        def work(tx: Transaction) -> tuple[Cluster, bool]:
            now = self._clock.now()
            authorise(tx, caller, workspace, Role.EDITOR, "create clusters")
            if client_token is not None:
                made = tx.client_tokens.remember(
                    caller.principal.id, client_token, "create", f"{workspace}/{cluster}", now, CLIENT_TOKEN_MEMORY
                )
                if made is not None:
                    return self._made_before(tx, workspace, made, spec), False
            self._check(tx, workspace, spec)
            if problem is not None:
                raise NotReady(problem)
            principal = caller.principal
            record = Cluster(
                id=cluster, workspace=workspace, spec=spec, generation=1, wanted=Wanted.STOPPED, state=State.STOPPED,
                message="ok", modified=False, instance=None, creator=principal.id, creator_name=principal.name,
                modifier=principal.id, modifier_name=principal.name, created_at=now, modified_at=now,
            )  # fmt: skip
            tx.clusters.add(record)
            self._event(tx, record, caller, now, "Created", f"created with {spec.node_count} nodes of {spec.release}")
            self._report_findings(tx, record, caller, now)
            record = self._begin(tx, record, caller, now) if start else record
            if track is not None:
                open_operation(tx, track, Kind.CREATE, record, caller, now, ended=not start)
            return record, True

        record, fresh = await self._store.write(work)
        if fresh and start:
            self._wake(record.id)
        return record

    async def get(self, caller: Caller, workspace: WorkspaceId, cluster: ClusterId) -> ClusterView:
        def work(tx: Transaction) -> tuple[Cluster, Instance | None]:
            authorise(tx, caller, workspace, Role.VIEWER, "see clusters")
            found = tx.clusters.get_with_instance(workspace, cluster)
            if found is None:
                raise NotFound("cluster", cluster)
            return found

        record, instance = await self._store.read(work)
        return ClusterView(record, instance, tuple(self._findings(record.spec)))

    async def resolve(self, caller: Caller, workspace: WorkspaceId, name_or_id: str) -> ClusterId:
        """The id of the cluster with this id or, failing that, this name."""

        def work(tx: Transaction) -> ClusterId:
            authorise(tx, caller, workspace, Role.VIEWER, "see clusters")
            found = tx.clusters.get(workspace, ClusterId(name_or_id)) or tx.clusters.by_name(workspace, name_or_id)
            if found is None:
                raise NotFound("cluster", name_or_id)
            return found.id

        return await self._store.read(work)

    async def list(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        *,
        limit: int,
        offset: int = 0,
        before: ClusterId | None = None,
        states: Collection[State] | None = None,
        name_contains: str | None = None,
        temporary: bool = False,
    ) -> list[ClusterView]:
        """Newest first; ``before`` continues after that cluster. ``findings`` are left out.

        Clusters that were made for a job are there only if asked for with ``temporary``.
        """

        def work(tx: Transaction) -> list[tuple[Cluster, Instance | None]]:
            authorise(tx, caller, workspace, Role.VIEWER, "list clusters")
            return tx.clusters.page_with_instances(
                workspace,
                limit=limit,
                offset=offset,
                before=before,
                states=states,
                name_contains=name_contains,
                temporary=temporary,
            )

        return [ClusterView(record, instance) for record, instance in await self._store.read(work)]

    async def start(
        self, caller: Caller, workspace: WorkspaceId, cluster: ClusterId, *, client_token: str | None = None
    ) -> Cluster:
        """Make a new instance. Repeating a call with its ``client_token`` starts nothing twice.

        Raises Conflict when it is up or on its way, IdempotencyMismatch when the token started another cluster,
        NotReady when its release cannot run here.
        """
        view = await self.get(caller, workspace, cluster)
        problem = await self._start_problem(view.cluster.spec)

        def work(tx: Transaction) -> Cluster:
            now = self._clock.now()
            authorise(tx, caller, workspace, Role.EDITOR, "start clusters")
            record = self._locked(tx, workspace, cluster)
            if client_token is not None:
                target = tx.client_tokens.remember(
                    caller.principal.id, client_token, "start", cluster, now, CLIENT_TOKEN_MEMORY
                )
                if target == cluster:
                    return record
                if target is not None:
                    raise IdempotencyMismatch("this client token has started another cluster; use a new one")
            begun = self._begin(tx, record, caller, now)
            if problem is not None:
                raise NotReady(problem)
            return begun

        record = await self._store.write(work)
        self._wake(cluster)
        return record

    async def stop(
        self, caller: Caller, workspace: WorkspaceId, cluster: ClusterId, *, instance: InstanceId | None = None
    ) -> Cluster:
        """Remove the present instance. ``instance`` guards a late call: another run than that is not stopped (Conflict)."""

        def work(tx: Transaction) -> Cluster:
            now = self._clock.now()
            authorise(tx, caller, workspace, Role.EDITOR, "stop clusters")
            record = self._locked(tx, workspace, cluster)
            if instance is not None and instance != record.instance:
                present = f"the present one is {record.instance}" if record.instance else "none is running"
                raise Conflict(f"instance {instance} is not the present run of cluster {cluster}; {present}")
            if record.state in (State.STOPPED, State.STOPPING):
                return record
            return stop(tx, record, caller.principal.name, now, "StopRequested", "stop requested")

        record = await self._store.write(work)
        self._wake(cluster)
        return record

    async def delete(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        cluster: ClusterId,
        *,
        stop_first: bool = False,
        track: Track | None = None,
    ) -> None:
        """Remove a stopped or failed cluster; with ``stop_first`` also one that is up. Raises Conflict otherwise.

        Repeating it while the deletion is under way changes nothing; with ``track``, for an operation, it is a Conflict.
        """

        def work(tx: Transaction) -> None:
            now = self._clock.now()
            authorise(tx, caller, workspace, Role.EDITOR, "delete clusters")
            record = self._locked(tx, workspace, cluster, deletable=True)
            if record.wanted is Wanted.DELETED:
                if track is not None:
                    raise Conflict(f"cluster {cluster} is being deleted")
                return
            if record.state not in (State.STOPPED, State.ERROR) and not stop_first:
                raise Conflict(f"cluster {cluster} is {record.state}; stop it first")
            remove(tx, record, caller.principal.name, now)
            if track is not None:
                open_operation(tx, track, Kind.DELETE, record, caller, now)

        await self._store.write(work)
        self._wake(cluster)

    async def events(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        cluster: ClusterId,
        *,
        limit: int = 100,
        before: int | None = None,
        after: int | None = None,
    ) -> Sequence[Event]:
        """Newest first; with ``after`` those that came since, oldest first."""

        def work(tx: Transaction) -> Sequence[Event]:
            authorise(tx, caller, workspace, Role.VIEWER, "see events")
            if tx.clusters.get(workspace, cluster) is None:
                raise NotFound("cluster", cluster)
            return tx.events.page(cluster, limit=limit, before=before, after=after)

        return await self._store.read(work)

    async def why(self, caller: Caller, workspace: WorkspaceId, cluster: ClusterId) -> Explanation:
        """Why the cluster is in its state, with evidence."""
        view = await self.get(caller, workspace, cluster)
        events = await self.events(caller, workspace, cluster, limit=50)
        return explain(view.cluster, view.instance, view.findings, events, self._clock.now())

    def _made_before(self, tx: Transaction, workspace: WorkspaceId, made: str, spec: ClusterSpec) -> Cluster:
        """The cluster that a repeated create made the first time; the same token with another name is a mistake."""
        place, _, cluster = made.partition("/")
        found = tx.clusters.get(workspace, ClusterId(cluster)) if place == workspace else None
        if found is None or found.spec.name != spec.name:
            raise IdempotencyMismatch("this client token has created something else; use a new one")
        return found
