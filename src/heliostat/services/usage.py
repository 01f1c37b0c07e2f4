"""What was used of a workspace's queues: the ledger, summed up and with names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from heliostat.domain.errors import InvalidRequest
from heliostat.domain.ids import ClusterId, PrincipalId, WorkspaceId
from heliostat.domain.quota import Phase
from heliostat.domain.records import Role
from heliostat.store import Store, Transaction
from heliostat.store.ledger import GROUPINGS, UsageRow

from .caller import Caller, authorise
from .seams import Clock

DEFAULT_SPAN = timedelta(days=7)
LONGEST_SPAN = timedelta(days=400)
LONGEST_SPAN_BY_HOUR = timedelta(days=31)
_HOUR = timedelta(hours=1)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Hours:
    """Hours of wall-clock time: 2 cores for half an hour are one CPU-hour."""

    node: float = 0.0
    cpu: float = 0.0
    memory_gib: float = 0.0
    gpu: float = 0.0
    cu: float = 0.0
    """Of compute units: per node, a unit is one core or 4 GiB, whichever is more of it (EMR contract, section 8)."""

    def __add__(self, other: Hours) -> Hours:
        return Hours(
            self.node + other.node, self.cpu + other.cpu, self.memory_gib + other.memory_gib, self.gpu + other.gpu,
            self.cu + other.cu,
        )  # fmt: skip


@dataclass(frozen=True)
class UsageLine:
    """Usage of one queue, cluster, principal or hour, or of what combination was asked for."""

    keys: Mapping[str, str] = field(default_factory=dict)
    """By grouping: queue's name, cluster's or principal's id, hour in ISO 8601."""
    names: Mapping[str, str] = field(default_factory=dict)
    """By grouping: name of the cluster or principal, while it is known."""
    phases: Mapping[Phase, Hours] = field(default_factory=dict)

    @property
    def total(self) -> Hours:
        return sum(self.phases.values(), Hours())


@dataclass(frozen=True)
class UsageReport:
    since: datetime
    """Beginning of the first hour that is counted; hours are counted as wholes."""
    until: datetime
    """End of the last one."""
    by: tuple[str, ...]
    lines: tuple[UsageLine, ...]
    total: UsageLine


class UsageService:
    """Raises NotFound (workspace), Forbidden, InvalidRequest."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def usage(
        self,
        caller: Caller,
        workspace: WorkspaceId,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: Sequence[str] = (),
        queue: str | None = None,
        cluster: ClusterId | None = None,
    ) -> UsageReport:
        """Usage of the whole hours from ``since`` (7 days before ``until``) to ``until`` (now), by ``by`` in this order.

        Queues and clusters that are gone still count: ``queue`` and ``cluster`` need not exist any more.
        """
        until = self._clock.now() if until is None else _instant(until, "until")
        since = until - DEFAULT_SPAN if since is None else _instant(since, "since")
        _check(since, until, by)
        since = since.replace(minute=0, second=0, microsecond=0)
        until = -((_EARLIEST - until) // _HOUR) * _HOUR + _EARLIEST

        def work(tx: Transaction) -> UsageReport:
            authorise(tx, caller, workspace, Role.VIEWER, "see usage")
            rows = tx.ledger.sums(workspace, since=since, until=until, by=by, queue=queue, cluster=cluster)
            lines = _lines(tx, rows, by)
            return UsageReport(since, until, tuple(by), lines, _sum(lines))

        return await self._store.read(work)


def _instant(given: datetime, path: str) -> datetime:
    if given.tzinfo is None:
        raise InvalidRequest("must name its time zone, for example 2026-01-02T03:04:05Z", path=path)
    if not _EARLIEST <= given <= _LATEST:
        raise InvalidRequest("must lie between the years 2000 and 9000", path=path)
    return given.astimezone(UTC)


def _check(since: datetime, until: datetime, by: Sequence[str]) -> None:
    for index, name in enumerate(by):
        if name not in GROUPINGS:
            raise InvalidRequest(f"must be one of {', '.join(GROUPINGS)}, given {name!r}", path=f"by[{index}]")
        if name in by[:index]:
            raise InvalidRequest(f"{name} is there twice", path=f"by[{index}]")
    if since > until:
        raise InvalidRequest("must not be later than until", path="since")
    longest = LONGEST_SPAN_BY_HOUR if "hour" in by else LONGEST_SPAN
    if until - since > longest:
        by_hour = " by hour" if "hour" in by else ""
        raise InvalidRequest(f"a report{by_hour} covers at most {longest.days} days", path="since")


def _lines(tx: Transaction, rows: Iterable[UsageRow], by: Sequence[str]) -> tuple[UsageLine, ...]:
    phases: dict[tuple[str, ...], dict[Phase, Hours]] = {}
    for row in rows:
        hours = Hours(row.node_hours, row.cpu_hours, row.memory_gib_hours, row.gpu_hours, row.cu_hours)
        phases.setdefault(row.keys, {})[row.phase] = hours
    found = []
    names: dict[tuple[str, str], str | None] = {}
    for values, known in phases.items():
        keys = dict(zip(by, values, strict=True))
        for key in keys.items():
            if key not in names:
                names[key] = _name(tx, *key)
        shown = {kind: name for kind, id in keys.items() if (name := names[kind, id]) is not None}
        found.append(UsageLine(keys, shown, known))
    return tuple(found)


def _name(tx: Transaction, kind: str, id: str) -> str | None:
    if kind == "cluster":
        cluster = tx.clusters.find_any(ClusterId(id))
        return None if cluster is None else cluster.spec.name
    if kind == "principal":
        principal = tx.principals.get(PrincipalId(id))
        return None if principal is None else principal.name
    return None


def _sum(lines: Iterable[UsageLine]) -> UsageLine:
    phases: dict[Phase, Hours] = {}
    for line in lines:
        for phase, hours in line.phases.items():
            phases[phase] = phases.get(phase, Hours()) + hours
    return UsageLine(phases=phases)
