"""What all use cases on clusters share: their tools, and the checks inside a transaction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from heliostat.domain.engine import Finding, Verdict
from heliostat.domain.errors import Conflict, InvalidSpec, NotFound
from heliostat.domain.ids import ClusterId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.records import Cluster
from heliostat.domain.spec import ClusterSpec
from heliostat.domain.states import State, Wanted
from heliostat.domain.validation import check
from heliostat.store import Store, Transaction

from .caller import Caller
from .cluster_steps import begin, check_possible, note
from .seams import Capabilities, Clock, Wake

CLIENT_TOKEN_MEMORY = timedelta(hours=24)


class ClusterBase:
    """Tools and checks; the use cases are in the classes below it."""

    def __init__(
        self, store: Store, installation: Installation, capabilities: Capabilities, clock: Clock, wake: Wake
    ) -> None:
        self._store = store
        self._installation = installation
        self._capabilities = capabilities
        self._clock = clock
        self._wake = wake

    def _resolved(self, spec: ClusterSpec) -> ClusterSpec:
        """The spec with its release in the catalogue's own spelling (an unknown one is left for the check)."""
        release = self._installation.catalogue.find(spec.release)
        return spec if release is None or release.display == spec.release else replace(spec, release=release.display)

    def _findings(self, spec: ClusterSpec) -> list[Finding]:
        """What of the spec is not honoured literally: by the engine, or by anybody."""
        elsewhere = [Finding(path, Verdict.IGNORED, why) for path, why in spec.unhonoured.items()]
        return [*self._capabilities.support(spec), *elsewhere]

    def _check(self, tx: Transaction, workspace: WorkspaceId, spec: ClusterSpec) -> None:
        check(spec, self._installation, {queue.name for queue in tx.queues.list(workspace)})
        for finding in self._findings(spec):
            if finding.verdict is Verdict.REFUSED:
                raise InvalidSpec(finding.path, finding.message)

    async def _start_problem(self, spec: ClusterSpec) -> str | None:
        """Why this machine cannot run the spec's release. Told only to those who may start clusters."""
        release = self._installation.catalogue.find(spec.release)
        problem = None if release is None else await self._capabilities.release_problem(release)
        return None if problem is None else f"{spec.release} cannot be started here: {problem}"

    def _locked(
        self, tx: Transaction, workspace: WorkspaceId, cluster: ClusterId, *, deletable: bool = False
    ) -> Cluster:
        record = tx.clusters.lock(cluster)
        if record is None or record.workspace != workspace or record.deleted_at:
            raise NotFound("cluster", cluster)
        if record.wanted is Wanted.DELETED and not deletable:
            raise Conflict(f"cluster {cluster} is being deleted")
        return record

    def _begin(self, tx: Transaction, record: Cluster, caller: Caller, now: datetime) -> Cluster:
        if record.state not in (State.STOPPED, State.ERROR):
            raise Conflict(f"cluster {record.id} is {record.state}; only a stopped or failed one can be started")
        self._check(tx, record.workspace, record.spec)
        check_possible(tx, record.workspace, record.spec, self._installation.gpus)
        return begin(tx, record, caller.principal.name, now, self._installation.gpus)

    def _report_findings(
        self, tx: Transaction, record: Cluster, caller: Caller, now: datetime, known: Collection[Finding] = ()
    ) -> None:
        for finding in self._findings(record.spec):
            if finding in known:
                continue
            reason = "FieldMapped" if finding.verdict is Verdict.MAPPED else "FieldIgnored"
            self._event(tx, record, caller, now, reason, f"{finding.path}: {finding.message}", warning=True)

    def _event(
        self, tx: Transaction, record: Cluster, caller: Caller, now: datetime, reason: str, message: str,
        warning: bool = False,
    ) -> None:  # fmt: skip
        note(tx, record, caller.principal.name, now, reason, message, warning)
