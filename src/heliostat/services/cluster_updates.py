"""Change a cluster, say beforehand what a change would do, and restart it as a whole or node by node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from heliostat.domain.claiming import is_waiting
from heliostat.domain.engine import Verdict
from heliostat.domain.errors import Conflict, IdempotencyMismatch, NotFound, NotReady, QuotaExceeded
from heliostat.domain.ids import ClusterId, InstanceId, WorkspaceId
from heliostat.domain.operations import Kind
from heliostat.domain.records import Cluster, Role
from heliostat.domain.spec import ClusterSpec
from heliostat.domain.states import State, Wanted
from heliostat.domain.updates import Effect, Reach, beyond_renewal, changes, edits, is_modified
from heliostat.domain.validation import errors
from heliostat.store import Transaction

from .caller import Caller, authorise
from .cluster_base import CLIENT_TOKEN_MEMORY, ClusterBase
from .cluster_changes import Preview, Refusal, brought_up, present_run, renew, still_held, store_change, taken_whole
from .cluster_steps import begin, check_possible
from .operations import Track, check_idle, open_operation

Change = Callable[[ClusterSpec | None], ClusterSpec]
"""From what is stored (None: nothing) to what shall be."""


class ClusterUpdates(ClusterBase):
    """The use cases that change a cluster that is there."""

    async def update(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        cluster: ClusterId,
        change: Callable[[ClusterSpec], ClusterSpec],
        *,
        expected_generation: int | None = None,
        track: Track | None = None,
    ) -> Cluster:
        """Replace the stored spec by ``change`` of it, in any state. The present run gets at once what it can have without
        a restart; ``modified`` tells whether one is needed for the rest. With ``track`` that is an operation, for which the
        cluster must run and be at rest (Conflict).

        ``change`` must be pure: it may run more than once. Raises what it raises, InvalidSpec, AlreadyExists, and Conflict
        when the cluster has another generation than the expected one.
        """

        def work(tx: Transaction) -> Cluster:
            now = self._clock.now()
            authorise(tx, caller, workspace, Role.EDITOR, "change clusters")
            before = self._locked(tx, workspace, cluster)
            _expect(before, expected_generation)
            if track is not None:
                check_idle(tx, before)
            spec = self._resolved(change(before.spec))
            if spec == before.spec:
                if track is not None:
                    open_operation(tx, track, Kind.UPDATE, before, caller, now, ended=True)
                return before
            self._check(tx, workspace, spec)
            for refusal in still_held(tx, present_run(tx, before), spec, self._installation.gpus):
                raise Conflict(f"{refusal.path}: {refusal.message}")
            changed = replace(
                before, spec=spec, generation=before.generation + 1, modified_at=now,
                modifier=caller.principal.id, modifier_name=caller.principal.name,
            )  # fmt: skip
            after = store_change(tx, before, changed, caller.principal.name, now, self._installation.gpus)
            self._report_findings(tx, after, caller, now, known=self._findings(before.spec))
            if track is not None:
                open_operation(tx, track, Kind.UPDATE, after, caller, now)
            return after

        record = await self._store.write(work)
        self._wake(record.id)
        return record

    async def preview(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        cluster: ClusterId | None,
        change: Change,
        *,
        expected_generation: int | None = None,
    ) -> Preview:
        """What a change would do, field by field, and everything that it would be refused for. Nothing is stored.

        None as ``cluster``: it would be made. Raises what ``change`` raises, and Conflict as :meth:`update` does.
        """

        def work(tx: Transaction) -> Preview:
            authorise(tx, caller, workspace, Role.EDITOR, "plan changes of clusters")
            if cluster is None:
                record = None
            else:
                record = tx.clusters.get(workspace, cluster)
                if record is None or record.deleted_at:
                    raise NotFound("cluster", cluster)
                if record.wanted is Wanted.DELETED:
                    raise Conflict(f"cluster {cluster} is being deleted")
                _expect(record, expected_generation)
            spec = self._resolved(change(None if record is None else record.spec))
            live = None if record is None else present_run(tx, record)
            refusals = (
                *self._refusals(tx, workspace, record, spec),
                *still_held(tx, live, spec, self._installation.gpus),
            )
            findings = tuple(row for row in self._findings(spec) if row.verdict is not Verdict.REFUSED)
            if record is None:
                refusals += tuple(self._impossible(tx, workspace, spec)) if not refusals else ()
                return Preview("create", None, spec, refusals=refusals, findings=findings)
            seen = Preview("change" if spec != record.spec else "nothing", record, spec, findings=findings)
            seen = replace(seen, refusals=refusals if seen.action == "change" else ())
            rows = edits(record.spec, spec, None if live is None else live.spec)
            if live is None:
                return replace(seen, changes=rows)
            if live.running_at is None and is_waiting(tx.claims.of_instance(live.id)):
                return replace(seen, changes=taken_whole(rows))
            given = brought_up(live, spec, record.generation + 1)
            return replace(
                seen,
                changes=rows,
                pending=tuple(row for row in changes(live.spec, record.spec) if row.effect is Effect.RESTART),
                restart=is_modified(given, spec),
                beyond_rolling=beyond_renewal(given.spec, spec, self._reach(live.spec, spec)),
            )

        return await self._store.read(work)

    async def restart(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        cluster: ClusterId,
        *,
        rolling: bool = False,
        instance: InstanceId | None = None,
        client_token: str | None = None,
        track: Track | None = None,
    ) -> Cluster:
        """End the present run and begin one of what is stored, as one wish; a cluster that is down is started, unless it is
        for an operation (``track``), for which the cluster must run and be at rest.

        ``rolling``: the run stays, and its nodes are replaced one after the other. ``instance`` guards a late call: another
        run than that is left alone (Conflict). Repeating a call with its ``client_token`` restarts nothing twice. Raises
        Conflict, IdempotencyMismatch, QuotaExceeded, and NotReady when the stored release cannot run here. A rolling one is
        no operation: it has no end that could be told from outside.
        """
        if rolling and track is not None:
            raise ValueError("a rolling restart cannot be tracked")
        record = await self._store.read(lambda tx: self._seen(tx, caller, workspace, cluster))
        problem = await self._start_problem(record.spec)

        def work(tx: Transaction) -> Cluster:
            now = self._clock.now()
            authorise(tx, caller, workspace, Role.EDITOR, "restart clusters")
            record = self._locked(tx, workspace, cluster)
            if client_token is not None:
                target = tx.client_tokens.remember(
                    caller.principal.id, client_token, "restart", cluster, now, CLIENT_TOKEN_MEMORY
                )
                if target == cluster:
                    return record
                if target is not None:
                    raise IdempotencyMismatch("this client token has restarted another cluster; use a new one")
            if instance is not None and instance != record.instance:
                present = f"the present one is {record.instance}" if record.instance else "none is running"
                raise Conflict(f"instance {instance} is not the present run of cluster {cluster}; {present}")
            if record.state is State.STOPPING:
                raise Conflict(f"cluster {cluster} is being stopped; start it when it has stopped")
            if track is not None:
                check_idle(tx, record)
            if problem is not None:
                raise NotReady(problem)
            self._check(tx, workspace, record.spec)
            actor, gpus = caller.principal.name, self._installation.gpus
            if rolling:
                live = present_run(tx, record)
                reach = Reach() if live is None else self._reach(live.spec, record.spec)
                return renew(tx, record, actor, now, gpus, reach)
            check_possible(tx, workspace, record.spec, gpus)
            after = begin(tx, record, actor, now, gpus)
            if track is not None:
                open_operation(tx, track, Kind.REBOOT, after, caller, now)
            return after

        record = await self._store.write(work)
        self._wake(cluster)
        return record

    def _seen(self, tx: Transaction, caller: Caller, workspace: WorkspaceId, cluster: ClusterId) -> Cluster:
        authorise(tx, caller, workspace, Role.VIEWER, "see clusters")
        record = tx.clusters.get(workspace, cluster)
        if record is None:
            raise NotFound("cluster", cluster)
        return record

    def _reach(self, running: ClusterSpec, stored: ClusterSpec) -> Reach:
        """What a rolling restart of what runs can bring."""
        catalogue = self._installation.catalogue
        old, new = catalogue.find(running.release), catalogue.find(stored.release)
        if old is None or new is None:
            return Reach(same_runtime=False, renews_head=False)
        return Reach((old.ray, old.python) == (new.ray, new.python), self._capabilities.renews_head(old))

    def _impossible(self, tx: Transaction, workspace: WorkspaceId, spec: ClusterSpec) -> list[Refusal]:
        """Why the spec could never be started."""
        try:
            check_possible(tx, workspace, spec, self._installation.gpus)
        except QuotaExceeded as error:
            return [Refusal("workers", error.message)]
        return []

    def _refusals(
        self, tx: Transaction, workspace: WorkspaceId, record: Cluster | None, spec: ClusterSpec
    ) -> list[Refusal]:
        """Everything for which the spec cannot be stored."""
        rows = tx.queues.list(workspace)
        found = [
            Refusal(error.path or "", error.message)
            for error in errors(spec, self._installation, {queue.name for queue in rows})
        ]
        found += [Refusal(row.path, row.message) for row in self._findings(spec) if row.verdict is Verdict.REFUSED]
        namesake = tx.clusters.by_name(workspace, spec.name)
        if namesake is not None and (record is None or namesake.id != record.id):
            found.append(Refusal("name", f"another cluster is named {spec.name!r}"))
        return found


def _expect(record: Cluster, generation: int | None) -> None:
    if generation is not None and record.generation != generation:
        raise Conflict(
            f"cluster {record.id} has generation {record.generation}, not {generation}: "
            "another change came between; look at it again"
        )
