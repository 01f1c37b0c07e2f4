"""Instances (runs of clusters) in the database. Read in two steps, as clusters are."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from ..domain.engine import Endpoints
from ..domain.errors import AlreadyExists, NotFound
from ..domain.ids import ClusterId, InstanceId
from ..domain.records import Instance
from ..domain.secret import Secret
from .codec import decode_spec, encode_spec
from .run_codec import (
    decode_activity,
    decode_demand,
    decode_nodes,
    decode_progress,
    decode_shapes,
    encode_activity,
    encode_demand,
    encode_nodes,
    encode_progress,
    encode_shapes,
)
from .schema import Instant, instances
from .shared import Shared, new_revision
from .statements import AnyRow, AnySelect, Values, batches, changed, insert_new

_I = instances.c
_IDENTITY = select(_I.id, _I.revision)
_BY_ID = _I.id == bindparam("instance")
_GET = _IDENTITY.where(_BY_ID)
_LIVE = _IDENTITY.where(_I.cluster == bindparam("cluster"), _I.ended_at.is_(None)).order_by(_I.created_at, _I.id)
_OPEN_TO = _IDENTITY.where(
    _I.submit_token_hash == bindparam("token_hash"), _I.ended_at.is_(None), _I.retired.is_(False)
)
_LIVE_IDS = select(_I.id).where(_I.ended_at.is_(None))
_RUNNING = (
    select(_I.cluster)
    .where(_I.ended_at.is_(None), _I.running_at.is_not(None), _I.retired.is_(False))
    .order_by(_I.running_at, _I.id)
)
_LOAD = select(instances).where(_I.id.in_(bindparam("ids", expanding=True)))
_SAVE = update(instances).where(_BY_ID)
_TOUCH = update(instances).where(_BY_ID).values(traffic_at=bindparam("now", type_=Instant()))


class Instances:
    """The repository of instances."""

    def __init__(self, connection: Connection, shared: Shared) -> None:
        self._connection = connection
        self._shared = shared

    def add(self, instance: Instance) -> None:
        """Raises AlreadyExists when there is one with the id or the submit token."""
        if not insert_new(self._connection, instances, {"id": instance.id, **self._values(instance)}):
            raise AlreadyExists("instance", instance.id)

    def get(self, id: InstanceId) -> Instance | None:
        return next(iter(self._many(_GET, {"instance": id})), None)

    def live(self, cluster: ClusterId) -> list[Instance]:
        """Those of which something may be left, oldest first."""
        return self._many(_LIVE, {"cluster": cluster})

    def save(self, instance: Instance) -> None:
        """Replaces all fields but the id. Raises NotFound when its cluster was purged."""
        if not changed(self._connection, _SAVE, {"instance": instance.id, **self._values(instance)}):
            raise NotFound("instance", instance.id)

    def by_submit_token(self, token: str) -> Instance | None:
        """The run that the token opens: not ended and not retired."""
        return next(iter(self._many(_OPEN_TO, {"token_hash": hash_token(token)})), None)

    def touch(self, id: InstanceId, now: datetime) -> None:
        """Note that it was used through the gateway. Costs no revision: what is cached stays good."""
        self._connection.execute(_TOUCH, {"instance": id, "now": now})

    def traffic_at(self, id: InstanceId) -> datetime | None:
        """When it was last used through the gateway."""
        return self._connection.execute(select(_I.traffic_at).where(_BY_ID), {"instance": id}).scalar()

    def live_ids(self) -> set[InstanceId]:
        """Of all clusters: whatever an engine finds beyond these is an orphan."""
        return set(self._connection.execute(_LIVE_IDS).scalars())

    def running_clusters(self) -> list[ClusterId]:
        """Clusters of all workspaces with a run that has come to run and is wanted."""
        return [ClusterId(id) for id in self._connection.execute(_RUNNING).scalars()]

    def of_rows(self, keys: Collection[tuple[InstanceId, int]]) -> dict[InstanceId, Instance]:
        """The instances with these ids, whose present revisions the caller has just read."""
        found: dict[InstanceId, Instance] = {}
        missing: list[InstanceId] = []
        cached = self._shared.instances.get
        for id, revision in keys:
            known = cached(id)
            if known is not None and known[0] == revision:
                found[id] = known[1]
            else:
                missing.append(id)
        for batch in batches(missing, 500):
            for row in self._connection.execute(_LOAD, {"ids": batch}):
                instance = self._instance(row)
                found[instance.id] = instance
                self._shared.instances.put(instance.id, (row.revision, instance))
        return found

    def _many(self, query: AnySelect, values: Values) -> list[Instance]:
        keys = [(InstanceId(row[0]), int(row[1])) for row in self._connection.execute(query, values)]
        found = self.of_rows(keys)
        return [found[id] for id, _ in keys]

    def _instance(self, row: AnyRow) -> Instance:
        sealer = self._shared.sealer
        return Instance(
            id=row.id,
            cluster=row.cluster,
            workspace=row.workspace,
            spec=decode_spec(row.spec, sealer, row.cluster),
            generation=row.generation,
            created_at=row.created_at,
            submit_token=Secret(sealer.open(row.submit_token, f"submit_token:{row.id}")),
            ray_token=Secret(sealer.open(row.ray_token, f"ray_token:{row.id}")),
            running_at=row.running_at,
            ended_at=row.ended_at,
            retired=row.retired,
            nodes=decode_nodes(row.nodes),
            progress=decode_progress(row.progress),
            endpoints=None if row.dashboard is None else Endpoints(row.dashboard, row.client),
            logs_kept=row.logs_kept,
            renew=row.renew,
            demand=decode_demand(row.demand),
            activity=decode_activity(row.activity),
            shapes=decode_shapes(row.shapes),
        )

    def _values(self, instance: Instance) -> Values:
        sealer = self._shared.sealer
        submit_token = instance.submit_token.reveal()
        return {
            "cluster": instance.cluster,
            "workspace": instance.workspace,
            "revision": new_revision(),
            "generation": instance.generation,
            "created_at": instance.created_at,
            "running_at": instance.running_at,
            "ended_at": instance.ended_at,
            "retired": instance.retired,
            "logs_kept": instance.logs_kept,
            "renew": instance.renew,
            "demand": encode_demand(instance.demand),
            "activity": encode_activity(instance.activity),
            "shapes": encode_shapes(instance.shapes),
            "submit_token_hash": hash_token(submit_token),
            "submit_token": sealer.seal(submit_token, f"submit_token:{instance.id}"),
            "ray_token": sealer.seal(instance.ray_token.reveal(), f"ray_token:{instance.id}"),
            "dashboard": instance.endpoints and instance.endpoints.dashboard,
            "client": instance.endpoints and instance.endpoints.client,
            "progress": encode_progress(instance.progress),
            "nodes": encode_nodes(instance.nodes),
            "spec": encode_spec(instance.spec, sealer, instance.cluster),
        }


def hash_token(token: str) -> bytes:
    """What is stored of a token that need not be read back. Tokens are long and random, so no salt or work factor."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
