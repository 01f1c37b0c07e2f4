"""Submit, read, cancel and remove jobs. The rules are those of the EMR contract, sections 7.2, 7.3 and 8."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from heliostat.domain.engine import Finding, Verdict
from heliostat.domain.errors import Conflict, IdempotencyMismatch, InvalidSpec, NotFound, NotReady
from heliostat.domain.ids import ClusterId, JobId, WorkspaceId, new_cluster_id, new_job_id
from heliostat.domain.installation import Installation
from heliostat.domain.job_lifecycle import cluster_state
from heliostat.domain.job_states import JobClusterState, JobGoal, JobStatus
from heliostat.domain.job_validation import check_job
from heliostat.domain.jobs import PACKAGE, Code, EntrypointResources, Job, JobSpec, Prepared, Retries, Usage
from heliostat.domain.records import Cluster, Event, Instance, Role
from heliostat.domain.secrets import JobSecret, environment, missing
from heliostat.domain.spec import MASK, ClusterSpec, masked
from heliostat.domain.states import State, Wanted
from heliostat.domain.validation import check
from heliostat.store import JobFilter, Store, Transaction

from .caller import Caller, authorise
from .cluster_steps import check_possible
from .job_usage import usage_now
from .seams import Capabilities, Clock, CodeSources, WakeJob
from .why import Explanation
from .why_job import explain_job

CLIENT_TOKEN_MEMORY = timedelta(hours=24)


@dataclass(frozen=True)
class JobWish:
    """What a caller asks for. Exactly one of ``cluster`` and ``cluster_spec`` is given."""

    entrypoint: str
    name: str | None = None
    """None = the job's id."""
    cluster: ClusterId | None = None
    """Run on this one."""
    cluster_spec: ClusterSpec | None = None
    """Make one like this for the job. Its name is not looked at."""
    runtime_env: Mapping[str, Any] = field(default_factory=dict, repr=False)  # JSON
    code: Code = Code()
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    resources: EntrypointResources = EntrypointResources()
    deadline: timedelta | None = None
    retries: Retries = Retries()
    shutdown_after_finish: bool = True
    ttl: timedelta = timedelta(0)
    extras: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[JobSecret, ...] = ()
    """Those of the workspace whose values it gets; all must be there."""


@dataclass(frozen=True)
class JobView:
    """A job as a reader sees it, with what it runs on while that exists."""

    job: Job
    """Masked for those who may not run code, as are the specs of the other two."""
    cluster: Cluster | None
    instance: Instance | None
    """The cluster's present run, if it is the one of the job's last attempt or of its temporary cluster."""
    usage: Usage
    """Up to now."""
    findings: tuple[Finding, ...] = ()
    """What the engine makes of the temporary cluster's fields."""


_Read = tuple[Job, Cluster | None, Instance | None, Usage]
"""A job, what it runs on, and what it has taken."""


class JobService:
    """The use cases on jobs. Every method may raise NotFound (workspace, job) and Forbidden."""

    def __init__(
        self,
        store: Store,
        installation: Installation,
        capabilities: Capabilities,
        sources: CodeSources,
        clock: Clock,
        wake: WakeJob,
    ) -> None:
        self._store = store
        self._installation = installation
        self._capabilities = capabilities
        self._sources = sources
        self._clock = clock
        self._wake = wake

    async def submit(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        wish: JobWish,
        *,
        accept_starting: bool = False,
        client_token: str | None = None,
    ) -> Job:
        """Store a job; the control loop runs it.

        An existing cluster must be Running; with ``accept_starting`` also Starting, and the job waits for it. A
        ``client_token`` seen in the last 24 hours returns the job that it made then. Raises InvalidSpec, NotFound (the
        cluster, named in the path ``cluster``), Conflict (its state), IdempotencyMismatch, NotReady (the release of the
        temporary cluster cannot run here).
        """
        id = new_job_id()
        made_for = new_cluster_id()
        wish, mistake = self._with_sources(wish)
        problem = await self._release_problem(wish.cluster_spec)

        def work(tx: Transaction) -> tuple[Job, bool]:
            now = self._clock.now()
            authorise(tx, caller, workspace, Role.EDITOR, "submit jobs")
            if client_token is not None:
                made = tx.client_tokens.remember(
                    caller.principal.id, client_token, "submit", f"{workspace}/{id}", now, CLIENT_TOKEN_MEMORY
                )
                if made is not None:
                    return self._made_before(tx, workspace, made, wish), False
            if mistake is not None:
                raise mistake
            spec, cluster_state = self._spec(tx, workspace, id, wish, accept_starting)
            check_job(spec)
            _check_secrets(tx, workspace, spec.secrets)
            self._claim_package(tx, workspace, spec.code, now)
            if problem is not None:
                raise NotReady(problem)
            principal = caller.principal
            job = Job(
                id=id, workspace=workspace, spec=spec, status=JobStatus.SUBMITTED, message="accepted", goal=JobGoal.RUN,
                cluster=wish.cluster or made_for, cluster_state=cluster_state, creator=principal.id, creator_name=principal.name,
                submitted_at=now,
            )  # fmt: skip
            if wish.cluster is None:
                self._add_cluster(tx, job, made_for, now)
            tx.jobs.add(job)
            where = f"on cluster {wish.cluster}" if wish.cluster else "on a cluster of its own"
            _note(tx, job, principal.name, now, "Submitted", f"submitted to run {where}")
            return job, True

        job, fresh = await self._store.write(work)
        if fresh:
            self._wake(job.id)
        return job

    async def get(self, caller: Caller, workspace: WorkspaceId, job: JobId) -> JobView:
        def work(tx: Transaction) -> _Read:
            authorise(tx, caller, workspace, Role.VIEWER, "see jobs")
            found = tx.jobs.get(workspace, job)
            if found is None:
                raise NotFound("job", job)
            return self._read(tx, found, {})

        view = self._view(caller, *await self._store.read(work))
        findings = self._capabilities.support(view.job.spec.cluster_spec) if view.job.spec.temporary else ()
        return replace(view, findings=tuple(findings))

    async def list(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        which: JobFilter = JobFilter(),
        *,
        limit: int,
        offset: int = 0,
        before: JobId | None = None,
    ) -> list[JobView]:
        """Newest first; ``before`` continues after that job. ``findings`` are left out."""

        def work(tx: Transaction) -> list[_Read]:
            authorise(tx, caller, workspace, Role.VIEWER, "list jobs")
            rows = tx.jobs.page(workspace, which, limit=limit, offset=offset, before=before)
            known: dict[ClusterId, tuple[Cluster | None, Instance | None]] = {}
            return [self._read(tx, row, known) for row in rows]

        return [self._view(caller, *row) for row in await self._store.read(work)]

    async def count(self, caller: Caller, workspace: WorkspaceId, which: JobFilter = JobFilter()) -> int:
        """How many jobs of the workspace a filter finds."""

        def work(tx: Transaction) -> int:
            authorise(tx, caller, workspace, Role.VIEWER, "list jobs")
            return tx.jobs.count(workspace, which)

        return await self._store.read(work)

    async def cancel(self, caller: Caller, workspace: WorkspaceId, job: JobId) -> bool:
        """Set off the end of a job; False when it has ended already and nothing was set off.

        A job that has ended and whose temporary cluster was to stay has that cluster removed.
        """

        def work(tx: Transaction) -> bool:
            now = self._clock.now()
            record = self._locked(tx, caller, workspace, job, "cancel jobs")
            name = caller.principal.name
            if record.status.final:
                if record.settled or not _keeps_cluster(record):
                    return False
                tx.jobs.save(replace(record, goal=JobGoal.CANCEL))
                _note(tx, record, name, now, "ClusterReleaseRequested", "its temporary cluster shall go")
                return True
            if record.goal is JobGoal.TIMEOUT:
                return True
            if record.goal is not JobGoal.CANCEL:
                message = f"cancelled by {name}; it is being stopped"
                tx.jobs.save(replace(record, goal=JobGoal.CANCEL, status=JobStatus.CANCELLING, message=message))
                _note(tx, record, name, now, "CancelRequested", "cancel requested")
            return True

        begun = await self._store.write(work)
        if begun:
            self._wake(job)
        return begun

    async def delete(self, caller: Caller, workspace: WorkspaceId, job: JobId) -> None:
        """Forget a job that has ended, its logs and those of its temporary cluster. Raises Conflict while it is not over."""

        def work(tx: Transaction) -> None:
            record = self._locked(tx, caller, workspace, job, "delete jobs")
            if not record.status.final:
                raise Conflict(f"job {job} is {record.status}; cancel it first")
            if not record.settled and _keeps_cluster(record):
                raise Conflict(f"job {job} has ended and keeps its cluster; cancel it first, which removes that")
            if not record.settled:
                raise Conflict(
                    f"job {job} has ended, but its cluster or its logs are still being seen to; try again soon"
                )
            tx.jobs.remove(job)
            tx.secrets.forget_unused()
            tx.log_files.expire(job)
            if record.spec.temporary:
                for run in {row.owner for row in tx.log_files.of_runs(record.cluster)}:
                    tx.log_files.expire(run)
            _note(
                tx,
                record,
                caller.principal.name,
                self._clock.now(),
                "JobDeleted",
                f"job {record.spec.name} was deleted",
            )

        await self._store.write(work)

    async def events(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        job: JobId,
        *,
        limit: int = 100,
        before: int | None = None,
        after: int | None = None,
    ) -> Sequence[Event]:
        """Newest first; with ``after`` those that came since, oldest first."""

        def work(tx: Transaction) -> Sequence[Event]:
            authorise(tx, caller, workspace, Role.VIEWER, "see events")
            if tx.jobs.get(workspace, job) is None:
                raise NotFound("job", job)
            return tx.events.of_job(job, limit=limit, before=before, after=after)

        return await self._store.read(work)

    async def why(self, caller: Caller, workspace: WorkspaceId, job: JobId) -> Explanation:
        """Why the job is in its state, with evidence."""
        view = await self.get(caller, workspace, job)
        events = await self.events(caller, workspace, job, limit=50)
        return explain_job(view.job, view.cluster, view.instance, events, self._clock.now())

    # --- steps inside a transaction ---------------------------------------------------------------------------------

    def _spec(
        self, tx: Transaction, workspace: WorkspaceId, id: JobId, wish: JobWish, accept_starting: bool
    ) -> tuple[JobSpec, JobClusterState]:
        """What is stored, and how far its cluster is (EMR contract, section 7.3)."""
        cluster_state = JobClusterState.SUBMITTED
        if wish.cluster is not None:
            if wish.cluster_spec is not None:
                raise InvalidSpec("cluster_spec", "cannot be given together with an existing cluster")
            record = _usable(tx, workspace, wish.cluster, accept_starting)
            cluster_spec = record.spec
            cluster_state = JobClusterState.RUNNING if record.state is State.RUNNING else JobClusterState.PENDING
        elif wish.cluster_spec is None:
            raise InvalidSpec("cluster", "name a cluster, or define one for the job")
        else:
            cluster_spec = self._checked(tx, workspace, replace(wish.cluster_spec, name=id))
        spec = JobSpec(
            name=wish.name if wish.name is not None else id, entrypoint=wish.entrypoint, cluster_spec=cluster_spec,
            cluster=wish.cluster, runtime_env=wish.runtime_env, code=wish.code, metadata=wish.metadata, tags=wish.tags,
            resources=wish.resources, deadline=wish.deadline, retries=wish.retries,
            shutdown_after_finish=wish.shutdown_after_finish, ttl=wish.ttl, extras=wish.extras,
            secrets=wish.secrets,
        )  # fmt: skip
        return spec, cluster_state

    def _checked(self, tx: Transaction, workspace: WorkspaceId, spec: ClusterSpec) -> ClusterSpec:
        """A definition that can be run. Raises InvalidSpec with paths below ``cluster_spec``."""
        release = self._installation.catalogue.find(spec.release)
        if release is not None:
            spec = replace(spec, release=release.display)
        try:
            check(spec, self._installation, {queue.name for queue in tx.queues.list(workspace)})
            for finding in self._capabilities.support(spec):
                if finding.verdict is Verdict.REFUSED:
                    raise InvalidSpec(finding.path, finding.message)
        except InvalidSpec as error:
            error.path = f"cluster_spec.{error.path}"
            raise
        return spec

    def _add_cluster(self, tx: Transaction, job: Job, id: ClusterId, now: datetime) -> None:
        """The temporary cluster, as a definition only: it is started when the job's code is at hand."""
        check_possible(tx, job.workspace, job.spec.cluster_spec, self._installation.gpus)
        tx.clusters.add(
            Cluster(
                id=id,
                workspace=job.workspace,
                spec=job.spec.cluster_spec,
                generation=1,
                wanted=Wanted.STOPPED,
                state=State.STOPPED,
                message="ok",
                modified=False,
                instance=None,
                creator=job.creator,
                creator_name=job.creator_name,
                modifier=job.creator,
                modifier_name=job.creator_name,
                created_at=now,
                modified_at=now,
                job=job.id,
            )
        )

    def _claim_package(self, tx: Transaction, workspace: WorkspaceId, code: Code, now: datetime) -> None:
        if code.working_dir is None or not code.working_dir.startswith(PACKAGE):
            return
        if not tx.packages.used(workspace, code.working_dir.removeprefix(PACKAGE), now):
            raise InvalidSpec(
                "working_dir", "this package was not uploaded to this workspace, or is gone; upload it again"
            )

    def _with_sources(self, wish: JobWish) -> tuple[JobWish, InvalidSpec | None]:
        """The wish with the working directory in its place, and what is wrong with where its code comes from.

        That is told to those who may submit jobs: strangers could learn from it which folders the operator allows.
        """
        try:
            wish = _with_code(wish)
            self._check_sources(wish.code)
        except InvalidSpec as error:
            return wish, error
        return wish, None

    def _check_sources(self, code: Code) -> None:
        """Raises InvalidSpec for a URL that could never be fetched here."""
        if code.working_dir is not None and not code.working_dir.startswith(PACKAGE):
            self._sources.check(code.working_dir, "working_dir")
        for index, url in enumerate(code.files):
            self._sources.check(url, f"files[{index}]")
        if code.requirements is not None:
            self._sources.check(code.requirements, "requirements")

    async def _release_problem(self, spec: ClusterSpec | None) -> str | None:
        release = None if spec is None else self._installation.catalogue.find(spec.release)
        problem = None if release is None else await self._capabilities.release_problem(release)
        return None if problem is None or release is None else f"{release.display} cannot be started here: {problem}"

    def _locked(self, tx: Transaction, caller: Caller, workspace: WorkspaceId, job: JobId, action: str) -> Job:
        authorise(tx, caller, workspace, Role.EDITOR, action)
        record = tx.jobs.lock(job)
        if record is None or record.workspace != workspace:
            raise NotFound("job", job)
        return record

    def _made_before(self, tx: Transaction, workspace: WorkspaceId, made: str, wish: JobWish) -> Job:
        """The job that a repeated submit made the first time; the same token with another entry point is a mistake."""
        place, _, id = made.partition("/")
        found = tx.jobs.get(workspace, JobId(id)) if place == workspace else None
        if found is None or found.spec.entrypoint != wish.entrypoint:
            raise IdempotencyMismatch("this client token has submitted something else; use a new one")
        return found

    def _read(self, tx: Transaction, job: Job, known: dict[ClusterId, tuple[Cluster | None, Instance | None]]) -> _Read:
        cluster, instance = _cluster_of(tx, job, known)
        return job, cluster, instance, usage_now(tx, job, instance, self._clock.now(), self._installation.gpus)

    def _view(
        self, caller: Caller, job: Job, cluster: Cluster | None, instance: Instance | None, usage: Usage
    ) -> JobView:
        if job.settled and not job.spec.temporary:  # nobody looks after it any more, but its cluster goes on changing
            now = cluster_state(job, cluster)
            job = job if now is job.cluster_state else replace(job, cluster_state=now)
        if not caller.may(job.workspace, Role.EDITOR):
            job = replace(job, spec=masked_job(job.spec), prepared=job.prepared and _masked_code(job.prepared))
            cluster = cluster and replace(cluster, spec=masked(cluster.spec))
            instance = instance and replace(instance, spec=masked(instance.spec))
        return JobView(job, cluster, instance, usage)


def masked_job(spec: JobSpec) -> JobSpec:
    """The spec for those who may not run code: values that may be secrets are hidden, names stay."""
    runtime_env: dict[str, Any] = dict.fromkeys(spec.runtime_env, MASK)  # JSON
    if "env_vars" in runtime_env:
        runtime_env["env_vars"] = dict.fromkeys(spec.runtime_env["env_vars"], MASK)
    code = spec.code
    return replace(
        spec,
        cluster_spec=masked(spec.cluster_spec),
        runtime_env=runtime_env,
        code=Code(code.working_dir and MASK, tuple(MASK for _ in code.files), code.requirements and MASK),
        extras={},
    )


def _masked_code(prepared: Prepared) -> Prepared:
    return replace(prepared, requirements=tuple(MASK for _ in prepared.requirements))


def _with_code(wish: JobWish) -> JobWish:
    """The wish with the working directory in one place, wherever the caller has put it."""
    written = wish.runtime_env.get("working_dir")
    if written is None:
        return wish
    if wish.code.working_dir is not None:
        raise InvalidSpec("runtime_env.working_dir", "is there twice: also as the job's working directory")
    if not isinstance(written, str) or "://" not in written or written.startswith("gcs://"):
        return wish
    rest = {key: value for key, value in wish.runtime_env.items() if key != "working_dir"}
    return replace(wish, runtime_env=rest, code=replace(wish.code, working_dir=written))


def _check_secrets(tx: Transaction, workspace: WorkspaceId, wanted: Sequence[JobSecret]) -> None:
    """Raises InvalidSpec for one that is not there, and when they are more than a job can be given."""
    if not wanted:
        return
    known = tx.secrets.values(workspace, [secret.name for secret in wanted])
    for index, secret in enumerate(wanted):
        if secret.name not in known:
            raise missing(index, secret.name)
    environment(wanted, [known[secret.name] for secret in wanted])


def _keeps_cluster(job: Job) -> bool:
    """Its temporary cluster stays after it until a cancel, which has not come."""
    return job.spec.temporary and not job.spec.shutdown_after_finish and job.goal is not JobGoal.CANCEL


def _usable(tx: Transaction, workspace: WorkspaceId, cluster: ClusterId, accept_starting: bool) -> Cluster:
    """An existing cluster that takes jobs now."""
    record = tx.clusters.get(workspace, cluster)
    if record is None:
        error = NotFound("cluster", cluster)
        error.path = "cluster"
        raise error
    if record.job is not None:
        raise Conflict(f"cluster {cluster} was made for job {record.job} and goes with it; choose another cluster")
    good: Collection[State] = (State.RUNNING, State.STARTING) if accept_starting else (State.RUNNING,)
    if record.state not in good or record.wanted is not Wanted.RUNNING:
        first = "wait until it runs" if record.state is State.STARTING else "start it first"
        raise Conflict(f"cluster {cluster} is {record.state}; jobs can be submitted to a running cluster only: {first}")
    return record


def _cluster_of(
    tx: Transaction, job: Job, known: dict[ClusterId, tuple[Cluster | None, Instance | None]]
) -> tuple[Cluster | None, Instance | None]:
    """What a job runs on, while it has to do with it; ``known`` saves looking twice."""
    if job.settled and job.spec.temporary:
        return None, None
    if job.cluster not in known:
        cluster = tx.clusters.find_any(job.cluster)
        instance = tx.instances.get(cluster.instance) if cluster is not None and cluster.instance is not None else None
        known[job.cluster] = (cluster, instance)
    cluster, instance = known[job.cluster]
    own = job.spec.temporary or not job.attempts or (instance is not None and job.attempts[-1].instance == instance.id)
    return (cluster, instance) if own else (cluster, None)


def _note(tx: Transaction, job: Job, actor: str, now: datetime, reason: str, message: str) -> None:
    tx.events.add(Event(job.cluster, job.workspace, now, actor, reason, message, job=job.id))
