"""Clusters in the database.

Reading goes in two steps. The first asks only for ids and revisions; what is in the cache under them is taken from
there, decoded already. The second fetches the rest in full. So a list of a hundred unchanged clusters costs one small
query and two hundred dictionary lookups.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, Integer, and_, bindparam, delete, exists, or_, select, union, update
from sqlalchemy import func as sql
from sqlalchemy.sql import ColumnElement

from ..domain.errors import AlreadyExists, InvalidRequest, NotFound
from ..domain.ids import ClusterId, WorkspaceId
from ..domain.records import Cluster, Instance
from ..domain.states import State, Wanted
from .codec import decode_spec, encode_spec
from .instances import Instances
from .schema import clusters, instances
from .shared import Shared, new_revision
from .statements import AnyRow, AnySelect, Values, batches, changed, contains, insert_new

_C = clusters.c
_IDENTITY = select(_C.id, _C.revision)
_WITH_INSTANCE = select(_C.id, _C.revision, instances.c.id, instances.c.revision).select_from(
    clusters.outerjoin(instances, instances.c.id == _C.instance)
)
_UNDELETED = _C.deleted_at.is_(None)
_OWN = _C.job.is_(None)
_BY_ID = _C.id == bindparam("cluster")
_IN_WORKSPACE = _C.workspace == bindparam("workspace")

# Statements that are made once are five times as cheap to execute as ones that are put together for each call.
_GET = _IDENTITY.where(_BY_ID, _IN_WORKSPACE, _UNDELETED)
_GET_WITH_INSTANCE = _WITH_INSTANCE.where(_BY_ID, _IN_WORKSPACE, _UNDELETED)
_FIND = _IDENTITY.where(_BY_ID, _UNDELETED)
_FIND_ANY = _IDENTITY.where(_BY_ID)
_LOCK = _FIND_ANY.with_for_update()
_BY_NAME = _IDENTITY.where(_IN_WORKSPACE, _C.name == bindparam("name"), _UNDELETED)
_NEWEST_FIRST = (_C.created_at.desc(), _C.id.desc())
_LIMITED = bindparam("limit", type_=Integer)
_FIRST_PAGE = _IDENTITY.where(_IN_WORKSPACE, _UNDELETED, _OWN).order_by(*_NEWEST_FIRST).limit(_LIMITED)
_FIRST_PAGE_WITH_INSTANCES = (
    _WITH_INSTANCE.where(_IN_WORKSPACE, _UNDELETED, _OWN).order_by(*_NEWEST_FIRST).limit(_LIMITED)
)
_RUNNING = _WITH_INSTANCE.where(
    _C.wanted == Wanted.RUNNING, _C.state == State.RUNNING, _UNDELETED, instances.c.id.is_not(None)
).order_by(_C.id)
_LOAD = select(clusters).where(_C.id.in_(bindparam("ids", expanding=True)))
_OTHER = clusters.alias()
_TAKEN = exists().where(
    _OTHER.c.workspace == bindparam("new_workspace"),
    _OTHER.c.name == bindparam("new_name"),
    _OTHER.c.id != bindparam("cluster"),
    _OTHER.c.deleted_at.is_(None),
)
_SAVE = update(clusters).where(_BY_ID)
_SAVE_UNLESS_TAKEN = _SAVE.where(~_TAKEN)
_ACTIVE = union(
    select(_C.id).where(or_(_C.wanted != Wanted.STOPPED, _C.state != State.STOPPED)),
    select(instances.c.cluster).where(instances.c.ended_at.is_(None)),
)
_UNSETTLED = select(_C.id).where(or_(_C.state.in_([State.STARTING, State.STOPPING]), _C.wanted == Wanted.DELETED))


class Clusters:
    """The repository of clusters. Unless said otherwise, deleted ones do not exist."""

    def __init__(self, connection: Connection, shared: Shared, instances: Instances) -> None:
        self._connection = connection
        self._shared = shared
        self._instances = instances

    def add(self, cluster: Cluster) -> None:
        """Raises AlreadyExists when an undeleted cluster of the workspace has the name."""
        if not insert_new(self._connection, clusters, {"id": cluster.id, **self._values(cluster)}):
            raise AlreadyExists("cluster", cluster.spec.name)

    def get(self, workspace: WorkspaceId, id: ClusterId) -> Cluster | None:
        return self._one(_GET, {"cluster": id, "workspace": workspace})

    def find(self, id: ClusterId) -> Cluster | None:
        """In any workspace."""
        return self._one(_FIND, {"cluster": id})

    def find_any(self, id: ClusterId) -> Cluster | None:
        """In any workspace, also a deleted one."""
        return self._one(_FIND_ANY, {"cluster": id})

    def by_name(self, workspace: WorkspaceId, name: str) -> Cluster | None:
        return self._one(_BY_NAME, {"workspace": workspace, "name": name})

    def lock(self, id: ClusterId) -> Cluster | None:
        """Also a deleted one; kept from other writers until this transaction ends. Lock before you save."""
        return self._one(_LOCK, {"cluster": id})

    def save(self, cluster: Cluster) -> None:
        """Replaces all fields but the id. Raises AlreadyExists when the name is taken, NotFound when it was purged."""
        values = {"cluster": cluster.id, **self._values(cluster)}
        if cluster.deleted_at is None:
            values |= {"new_workspace": cluster.workspace, "new_name": cluster.spec.name}
            statement = _SAVE_UNLESS_TAKEN
        else:
            statement = _SAVE
        if changed(self._connection, statement, values):
            return
        if self._connection.execute(_FIND_ANY, {"cluster": cluster.id}).first() is None:
            raise NotFound("cluster", cluster.id)
        raise AlreadyExists("cluster", cluster.spec.name)

    def page(
        self,
        workspace: WorkspaceId,
        *,
        limit: int,
        offset: int = 0,
        before: ClusterId | None = None,
        states: Collection[State] | None = None,
        name_contains: str | None = None,
        temporary: bool = False,
    ) -> list[Cluster]:
        """Newest first. ``before`` continues after that cluster of an earlier page; InvalidRequest if it was purged.

        Those that were made for a job are only there if asked for.
        """
        if offset or before is not None or states is not None or name_contains or temporary:
            query = _IDENTITY.where(*self._filter(workspace, states, name_contains, temporary))
            return self._many(self._connection.execute(self._paged(query, limit, offset, before)).all())
        return self._many(self._connection.execute(_FIRST_PAGE, {"workspace": workspace, "limit": limit}).all())

    def page_with_instances(
        self,
        workspace: WorkspaceId,
        *,
        limit: int,
        offset: int = 0,
        before: ClusterId | None = None,
        states: Collection[State] | None = None,
        name_contains: str | None = None,
        temporary: bool = False,
    ) -> list[tuple[Cluster, Instance | None]]:
        """As :meth:`page`, each with its present run."""
        if offset or before is not None or states is not None or name_contains or temporary:
            query = _WITH_INSTANCE.where(*self._filter(workspace, states, name_contains, temporary))
            return self._pairs(self._connection.execute(self._paged(query, limit, offset, before)).all())
        values = {"workspace": workspace, "limit": limit}
        return self._pairs(self._connection.execute(_FIRST_PAGE_WITH_INSTANCES, values).all())

    def running(self, workspaces: Collection[WorkspaceId] | None) -> list[tuple[Cluster, Instance]]:
        """All that run, those made for jobs among them, each with its run, by id. None = of all workspaces."""
        query = _RUNNING if workspaces is None else _RUNNING.where(_C.workspace.in_(workspaces))
        pairs = self._pairs(self._connection.execute(query).all())
        return [(cluster, instance) for cluster, instance in pairs if instance is not None]

    def get_with_instance(self, workspace: WorkspaceId, id: ClusterId) -> tuple[Cluster, Instance | None] | None:
        """As :meth:`get`, with its present run."""
        rows = self._connection.execute(_GET_WITH_INSTANCE, {"cluster": id, "workspace": workspace}).all()
        return self._pairs(rows)[0] if rows else None

    def count(
        self,
        workspace: WorkspaceId,
        *,
        states: Collection[State] | None = None,
        name_contains: str | None = None,
        temporary: bool = False,
    ) -> int:
        conditions = self._filter(workspace, states, name_contains, temporary)
        query = select(sql.count()).select_from(clusters).where(*conditions)
        return self._connection.execute(query).scalar_one()

    def active(self) -> list[ClusterId]:
        """What the control loop must look after: wanted running or deleted, not at rest, or with a run not ended."""
        return [ClusterId(id) for id in self._connection.execute(_ACTIVE).scalars()]

    def unsettled(self) -> list[ClusterId]:
        """Those of them on their way from one state to another."""
        return [ClusterId(id) for id in self._connection.execute(_UNSETTLED).scalars()]

    def purge(self, id: ClusterId) -> None:
        """Removes a cluster and its instances for good. Its events stay."""
        self._connection.execute(delete(clusters).where(_C.id == id))

    def _filter(
        self, workspace: WorkspaceId, states: Collection[State] | None, name_contains: str | None, temporary: bool
    ) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = [_C.workspace == workspace, _UNDELETED]
        if not temporary:
            conditions.append(_OWN)
        if states is not None:
            conditions.append(_C.state.in_(states))
        if name_contains:
            conditions.append(contains(_C.name, name_contains))
        return conditions

    def _paged(self, query: AnySelect, limit: int, offset: int, before: ClusterId | None) -> AnySelect:
        if before is not None:
            last = self._connection.execute(select(_C.created_at).where(_C.id == before)).first()
            if last is None:
                raise InvalidRequest(
                    "continues after a cluster that is gone; begin again at the first page", path="before"
                )
            query = query.where(
                or_(_C.created_at < last.created_at, and_(_C.created_at == last.created_at, _C.id < before))
            )
        query = query.order_by(*_NEWEST_FIRST).limit(limit)
        return query.offset(offset) if offset else query

    def _one(self, query: AnySelect, values: Values) -> Cluster | None:
        row = self._connection.execute(query, values).first()
        return None if row is None else self._many([row])[0]

    def _many(self, rows: Iterable[AnyRow]) -> list[Cluster]:
        cached = self._shared.clusters.get
        found: dict[ClusterId, Cluster | None] = {}
        missing: list[ClusterId] = []
        for id, revision, *_ in rows:
            known = cached(id)
            if known is not None and known[0] == revision:
                found[id] = known[1]
            else:
                found[id] = None
                missing.append(id)
        found.update(self._load(missing))
        return [cluster for cluster in found.values() if cluster is not None]

    def _pairs(self, rows: Iterable[AnyRow]) -> list[tuple[Cluster, Instance | None]]:
        rows = list(rows)
        present = self._instances.of_rows([(row[2], row[3]) for row in rows if row[2] is not None])
        return [(cluster, present.get(row[2])) for row, cluster in zip(rows, self._many(rows), strict=True)]

    def _load(self, ids: Iterable[ClusterId]) -> dict[ClusterId, Cluster]:
        loaded = {}
        for batch in batches(ids, 500):
            for row in self._connection.execute(_LOAD, {"ids": batch}):
                cluster = self._cluster(row)
                loaded[cluster.id] = cluster
                self._shared.clusters.put(cluster.id, (row.revision, cluster))
        return loaded

    def _cluster(self, row: AnyRow) -> Cluster:
        return Cluster(
            id=row.id,
            workspace=row.workspace,
            spec=decode_spec(row.spec, self._shared.sealer, row.id),
            generation=row.generation,
            wanted=Wanted(row.wanted),
            state=State(row.state),
            message=row.message,
            modified=row.modified,
            instance=row.instance,
            creator=row.creator,
            creator_name=row.creator_name,
            modifier=row.modifier,
            modifier_name=row.modifier_name,
            created_at=row.created_at,
            modified_at=row.modified_at,
            started_at=row.started_at,
            deleted_at=row.deleted_at,
            job=row.job,
        )

    def _values(self, cluster: Cluster) -> Values:
        return {
            "workspace": cluster.workspace,
            "revision": new_revision(),
            "name": cluster.spec.name,
            "generation": cluster.generation,
            "wanted": cluster.wanted,
            "state": cluster.state,
            "message": cluster.message,
            "modified": cluster.modified,
            "instance": cluster.instance,
            "creator": cluster.creator,
            "creator_name": cluster.creator_name,
            "modifier": cluster.modifier,
            "modifier_name": cluster.modifier_name,
            "created_at": cluster.created_at,
            "modified_at": cluster.modified_at,
            "started_at": cluster.started_at,
            "deleted_at": cluster.deleted_at,
            "job": cluster.job,
            "spec": encode_spec(cluster.spec, self._shared.sealer, cluster.id),
        }
