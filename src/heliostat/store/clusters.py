"""Clusters in the database.

Reading goes in two steps. The first asks only for ids and revisions; what is in the cache under them is taken from
there, decoded already. The second fetches the rest in full. So a list of a hundred unchanged clusters costs one small
query and two hundred dictionary lookups.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, and_, delete, exists, or_, select, union, update
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
        return self._one(_IDENTITY.where(_C.id == id, _C.workspace == workspace, _UNDELETED))

    def find(self, id: ClusterId) -> Cluster | None:
        """In any workspace."""
        return self._one(_IDENTITY.where(_C.id == id, _UNDELETED))

    def by_name(self, workspace: WorkspaceId, name: str) -> Cluster | None:
        return self._one(_IDENTITY.where(_C.workspace == workspace, _C.name == name, _UNDELETED))

    def lock(self, id: ClusterId) -> Cluster | None:
        """Also a deleted one; kept from other writers until this transaction ends. Lock before you save."""
        return self._one(_IDENTITY.where(_C.id == id).with_for_update())

    def save(self, cluster: Cluster) -> None:
        """Replaces all fields but the id. Raises AlreadyExists when the name is taken, NotFound when it was purged."""
        other = clusters.alias()
        taken = exists().where(
            other.c.workspace == cluster.workspace,
            other.c.name == cluster.spec.name,
            other.c.deleted_at.is_(None),
            other.c.id != cluster.id,
        )
        statement = update(clusters).where(_C.id == cluster.id).values(self._values(cluster))
        if cluster.deleted_at is None:
            statement = statement.where(~taken)
        if changed(self._connection, statement):
            return
        if self._connection.execute(select(_C.id).where(_C.id == cluster.id)).first() is None:
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
    ) -> list[Cluster]:
        """Newest first. ``before`` continues after that cluster of an earlier page; InvalidRequest if it was purged."""
        query = _IDENTITY.where(*self._filter(workspace, states, name_contains))
        return self._many(self._connection.execute(self._paged(query, limit, offset, before)).all())

    def page_with_instances(
        self,
        workspace: WorkspaceId,
        *,
        limit: int,
        offset: int = 0,
        before: ClusterId | None = None,
        states: Collection[State] | None = None,
        name_contains: str | None = None,
    ) -> list[tuple[Cluster, Instance | None]]:
        """As :meth:`page`, each with its present run."""
        query = _WITH_INSTANCE.where(*self._filter(workspace, states, name_contains))
        return self._pairs(self._connection.execute(self._paged(query, limit, offset, before)).all())

    def get_with_instance(self, workspace: WorkspaceId, id: ClusterId) -> tuple[Cluster, Instance | None] | None:
        """As :meth:`get`, with its present run."""
        query = _WITH_INSTANCE.where(_C.id == id, _C.workspace == workspace, _UNDELETED)
        return next(iter(self._pairs(self._connection.execute(query).all())), None)

    def count(
        self,
        workspace: WorkspaceId,
        *,
        states: Collection[State] | None = None,
        name_contains: str | None = None,
    ) -> int:
        query = select(sql.count()).select_from(clusters).where(*self._filter(workspace, states, name_contains))
        return self._connection.execute(query).scalar_one()

    def active(self) -> list[ClusterId]:
        """What the control loop must look after: wanted running or deleted, not at rest, or with a run not ended."""
        busy = select(_C.id).where(or_(_C.wanted != Wanted.STOPPED, _C.state != State.STOPPED))
        running = select(instances.c.cluster).where(instances.c.ended_at.is_(None))
        return [ClusterId(id) for id in self._connection.execute(union(busy, running).order_by("id")).scalars()]

    def purge(self, id: ClusterId) -> None:
        """Removes a cluster and its instances for good. Its events stay."""
        self._connection.execute(delete(clusters).where(_C.id == id))

    def _filter(
        self, workspace: WorkspaceId, states: Collection[State] | None, name_contains: str | None
    ) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = [_C.workspace == workspace, _UNDELETED]
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
        query = query.order_by(_C.created_at.desc(), _C.id.desc()).limit(limit)
        return query.offset(offset) if offset else query

    def _one(self, query: AnySelect) -> Cluster | None:
        row = self._connection.execute(query).first()
        return None if row is None else self._many([row])[0]

    def _many(self, rows: Iterable[AnyRow]) -> list[Cluster]:
        keys = [(row[0], row[1]) for row in rows]
        cached = self._shared.clusters.get
        found = [cached(key) for key in keys]
        missing = [key[0] for key, cluster in zip(keys, found, strict=True) if cluster is None]
        if not missing:
            return [cluster for cluster in found if cluster is not None]
        loaded = self._load(missing)
        return [cluster or loaded[key[0]] for key, cluster in zip(keys, found, strict=True)]

    def _pairs(self, rows: Iterable[AnyRow]) -> list[tuple[Cluster, Instance | None]]:
        rows = list(rows)
        present = self._instances.of_rows([(row[2], row[3]) for row in rows if row[2] is not None])
        return [(cluster, present.get(row[2])) for row, cluster in zip(rows, self._many(rows), strict=True)]

    def _load(self, ids: Iterable[ClusterId]) -> dict[ClusterId, Cluster]:
        loaded = {}
        for batch in batches(ids, 500):
            for row in self._connection.execute(select(clusters).where(_C.id.in_(batch))):
                cluster = self._cluster(row)
                loaded[cluster.id] = cluster
                self._shared.clusters.put((cluster.id, row.revision), cluster)
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
            "spec": encode_spec(cluster.spec, self._shared.sealer, cluster.id),
        }
