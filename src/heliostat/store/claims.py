"""Claims on queues in the database.

Every change keeps three things in step, in one transaction: the claim, the sum of what is held in its queue's row, and
the ledger of usage. Rows are locked in one order by everybody: queues by name, then claims, then the workspace's events.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, insert, select, update

from ..domain.ids import ClusterId, InstanceId, PrincipalId, WorkspaceId
from ..domain.quota import Charge, Claim, Phase
from .ledger import Ledger
from .schema import claims, queues
from .statements import AnySelect, Values, batches

_CU_BYTES = (4 << 30) // 1000
"""Of memory that count as much as a thousandth of a core."""
_C = claims.c
_Q = queues.c
_OF_INSTANCE = select(claims).where(_C.instance == bindparam("run")).order_by(_C.group)
_OF_INSTANCES = select(claims).where(_C.instance.in_(bindparam("runs", expanding=True))).order_by(_C.instance, _C.group)
_LACKING_INSTANCES = (
    select(_C.instance).where(_C.workspace == bindparam("place"), _C.wanted > _C.held).scalar_subquery()
)
_LACKING = select(claims).where(_C.instance.in_(_LACKING_INSTANCES)).order_by(_C.instance, _C.group)
_LACKING_WORKSPACES = select(_C.workspace).where(_C.wanted > _C.held).distinct()
_HOLDERS = select(claims).where(_C.workspace == bindparam("place"), _C.held > 0)
_AMOUNTS = {
    "CPU": _C.node_cpu,
    "memory": _C.node_memory,
    "GPU": _C.node_gpu,
    "CU": case((_C.node_cpu * _CU_BYTES >= _C.node_memory, _C.node_cpu * _CU_BYTES), else_=_C.node_memory),
}
_UNMETERED = select(claims).where(_C.held > 0, _C.metered_until < bindparam("before", type_=_C.metered_until.type))
_HOLD = (
    update(queues)
    .where(_Q.workspace == bindparam("place"), _Q.name == bindparam("queue"))
    .values(
        held_cpu=_Q.held_cpu + bindparam("cpu"),
        held_memory=_Q.held_memory + bindparam("bytes"),
        held_gpu=_Q.held_gpu + bindparam("gpus"),
    )
)
_SAVE = (
    update(claims)
    .where(_C.instance == bindparam("run"), _C.group == bindparam("part"))
    .values({
        name: bindparam(f"new_{name}", type_=_C[name].type)
        for name in ("wanted", "held", "asked_at", "phase", "metered_until")
    })
)  # fmt: skip
_PHASES = {phase.value: phase for phase in Phase}
_INSERT = insert(claims)
_DELETE = delete(claims).where(_C.instance == bindparam("run"), _C.group == bindparam("part"))
_ANY_LACKING = select(_C.instance).where(_C.workspace == bindparam("place"), _C.wanted > _C.held).limit(1)


class Claims:
    """The repository of claims."""

    def __init__(self, connection: Connection, ledger: Ledger) -> None:
        self._connection = connection
        self._ledger = ledger

    def of_instance(self, instance: InstanceId) -> list[Claim]:
        """The head's first, then by group."""
        return self._many(_OF_INSTANCE, {"run": instance})

    def of_instances(self, instances: Collection[InstanceId]) -> list[Claim]:
        """Of all these runs, by run."""
        found: list[Claim] = []
        for batch in batches(sorted(instances), 500):
            found += self._many(_OF_INSTANCES, {"runs": batch})
        return found

    def lacking(self, workspace: WorkspaceId) -> list[Claim]:
        """All claims of every run of the workspace that lacks something, by run."""
        return self._many(_LACKING, {"place": workspace})

    def anyone_lacks(self, workspace: WorkspaceId) -> bool:
        """Whether any run of the workspace lacks something."""
        return self._connection.execute(_ANY_LACKING, {"place": workspace}).first() is not None

    def lacking_workspaces(self) -> list[WorkspaceId]:
        """Where something waits."""
        return [WorkspaceId(id) for id in self._connection.execute(_LACKING_WORKSPACES).scalars()]

    def holders(self, workspace: WorkspaceId, queue: str | None, *, limit: int, by: str = "CU") -> list[Claim]:
        """Who holds most of a queue (None: of the workspace) of one resource: ``CPU``, ``memory``, ``GPU`` or ``CU``."""
        query = _HOLDERS if queue is None else _HOLDERS.where(_C.queue == queue)
        query = query.order_by((_AMOUNTS[by] * _C.held).desc(), _C.instance, _C.group).limit(limit)
        return self._many(query, {"place": workspace})

    def any_in(self, workspace: WorkspaceId, queue: str) -> bool:
        """Whether anything holds or wants anything of a queue."""
        query = select(_C.instance).where(_C.workspace == workspace, _C.queue == queue).limit(1)
        return self._connection.execute(query).first() is not None

    def unmetered(self, before: datetime, *, limit: int) -> list[Claim]:
        """Those that hold something and were not metered since, longest first."""
        return self._many(_UNMETERED.order_by(_C.metered_until).limit(limit), {"before": before})

    def change(self, changes: Iterable[tuple[Claim | None, Claim | None]], now: datetime) -> None:
        """Store claims: pairs of what was read and what it shall be; None = was not there, or shall go.

        The queues of what is held more or less are locked first; the caller has locked whatever it decided upon.
        """
        now -= timedelta(microseconds=now.microsecond % 1000)  # what is metered are whole milliseconds: nothing is lost
        pairs = [(before, after) for before, after in changes if before is not None or after is not None]
        for (workspace, queue), charge in sorted(_differences(pairs).items()):
            amounts = {"cpu": charge.milli_cpu, "bytes": charge.memory, "gpus": charge.gpu}
            self._connection.execute(_HOLD, {"place": workspace, "queue": queue, **amounts})
        steps: list[tuple[Any, Values]] = []  # statements of whatever kind
        for before, wish in sorted(pairs, key=lambda pair: _key(pair[0] or pair[1])):
            if before is not None:
                self._ledger.add(before, now)
            metered = max(now, before.metered_until) if before is not None else now
            if wish is None:
                steps.append((_DELETE, _place(before)))
            elif before is None:
                steps.append((_INSERT, _values(replace(wish, metered_until=metered))))
            else:
                steps.append((_SAVE, _changes(wish, metered)))
        for statement, rows in groupby(steps, key=itemgetter(0)):
            self._perform(statement, [values for _, values in rows])

    def _perform(self, statement: Any, rows: list[Values]) -> None:  # likewise
        values = rows if len(rows) > 1 else rows[0]
        result = self._connection.execute(statement, values, execution_options={"preserve_rowcount": True})
        if result.rowcount != len(rows):
            raise RuntimeError("a claim is not what it was taken for; nothing is stored")

    def _many(self, query: AnySelect, values: Values) -> list[Claim]:
        return [_claim(*row) for row in self._connection.execute(query, values)]


def _differences(
    pairs: Iterable[tuple[Claim | None, Claim | None]],
) -> Mapping[tuple[WorkspaceId, str], Charge]:
    """By how much what is held of each queue grows."""
    found: dict[tuple[WorkspaceId, str], Charge] = {}
    for before, after in pairs:
        for claim, sign in ((before, -1), (after, 1)):
            if claim is not None:
                place = (claim.workspace, claim.queue)
                found[place] = found.get(place, Charge()) + claim.node * (sign * claim.held)
    return {place: charge for place, charge in found.items() if charge != Charge()}


def _key(claim: Claim | None) -> tuple[str, str]:
    return ("", "") if claim is None else (claim.instance, claim.group)


def _values(claim: Claim) -> Values:
    return {
        "instance": claim.instance,
        "group": claim.group,
        "workspace": claim.workspace,
        "cluster": claim.cluster,
        "queue": claim.queue,
        "principal": claim.principal,
        "node_cpu": claim.node.milli_cpu,
        "node_memory": claim.node.memory,
        "node_gpu": claim.node.gpu,
        "wanted": claim.wanted,
        "held": claim.held,
        "priority": claim.priority,
        "asked_at": claim.asked_at,
        "phase": claim.phase,
        "metered_until": claim.metered_until,
    }


def _place(claim: Claim | None) -> Values:
    return {} if claim is None else {"run": claim.instance, "part": claim.group}


def _changes(claim: Claim, metered_until: datetime) -> Values:
    return {
        **_place(claim),
        "new_wanted": claim.wanted,
        "new_held": claim.held,
        "new_asked_at": claim.asked_at,
        "new_phase": claim.phase,
        "new_metered_until": metered_until,
    }


def _claim(
    instance: InstanceId, group: str, workspace: WorkspaceId, cluster: ClusterId, queue: str, principal: PrincipalId,
    cpu: int, memory: int, gpu: int, wanted: int, held: int, priority: int, asked_at: datetime, phase: str,
    metered_until: datetime,
) -> Claim:  # fmt: skip
    """From the columns, in their order."""
    return Claim(
        instance, group, workspace, cluster, queue, principal, Charge(cpu, memory, gpu), wanted, held, priority, asked_at,
        _PHASES[phase], metered_until,
    )  # fmt: skip
