"""Workspaces, queues, principals and their roles."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from heliostat.domain.errors import AlreadyExists, InvalidRequest, NotFound
from heliostat.domain.ids import WorkspaceId, new_principal_id, new_workspace_id
from heliostat.domain.records import Amount, Principal, Queue, Role, Workspace
from heliostat.store import Store

from .samples import ANNA, AWAY, HOME, NOW, make_workspaces


async def test_a_workspace_comes_back_as_it_was_written(store: Store) -> None:
    workspace = Workspace(HOME, "home", NOW, ANNA, {"cost-centre": "4711", "ümlaut": "ß"})
    await store.write(lambda tx: tx.workspaces.add(workspace))
    assert await store.read(lambda tx: tx.workspaces.get(HOME)) == workspace
    assert await store.read(lambda tx: tx.workspaces.by_name("home")) == workspace
    assert await store.read(lambda tx: tx.workspaces.get(AWAY)) is None
    assert await store.read(lambda tx: tx.workspaces.by_name("Home")) is None
    changed = replace(workspace, name="house", tags={}, creator=None)
    await store.write(lambda tx: tx.workspaces.save(changed))
    assert await store.read(lambda tx: tx.workspaces.get(HOME)) == changed


async def test_workspace_names_are_unique(store: Store) -> None:
    await make_workspaces(store)
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: tx.workspaces.add(Workspace(new_workspace_id(), "home", NOW)))
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: tx.workspaces.save(Workspace(AWAY, "home", NOW)))
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.workspaces.save(Workspace(new_workspace_id(), "new", NOW)))


async def test_workspaces_are_listed_newest_first(store: Store) -> None:
    made = [Workspace(new_workspace_id(), f"Team-{n}", NOW + timedelta(seconds=n // 2)) for n in range(5)]
    await store.write(lambda tx: [tx.workspaces.add(workspace) for workspace in made])
    expected = sorted(made, key=lambda workspace: (workspace.created_at, workspace.id), reverse=True)
    assert await store.read(lambda tx: tx.workspaces.list(limit=9)) == expected
    assert await store.read(lambda tx: tx.workspaces.list(limit=2, after=expected[1].id)) == expected[2:4]
    assert await store.read(lambda tx: tx.workspaces.list(limit=9, name_contains="team-3")) == [made[3]]
    mine = [made[0].id, made[4].id]
    assert await store.read(lambda tx: tx.workspaces.list(limit=9, among=mine)) == [made[4], made[0]]
    assert await store.read(lambda tx: tx.workspaces.list(limit=9, among=[])) == []
    with pytest.raises(InvalidRequest):
        await store.read(lambda tx: tx.workspaces.list(limit=9, after=WorkspaceId("w-none")))


async def test_queues(store: Store) -> None:
    await make_workspaces(store)
    bounded = Queue(
        HOME, "gpu", NOW, Amount(Decimal("0.50"), 1 << 40, 1), Amount(Decimal(64), 1 << 50, 8), "for training", ANNA
    )
    free = Queue(HOME, "all", NOW)
    await store.write(lambda tx: [tx.queues.add(queue) for queue in (bounded, free, Queue(AWAY, "gpu", NOW))])
    assert await store.read(lambda tx: tx.queues.get(HOME, "gpu")) == bounded
    assert await store.read(lambda tx: tx.queues.list(HOME)) == [free, bounded]
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: tx.queues.add(free))
    changed = replace(bounded, maximum=Amount(), description="")
    await store.write(lambda tx: tx.queues.save(changed))
    assert await store.read(lambda tx: tx.queues.get(HOME, "gpu")) == changed
    assert await store.write(lambda tx: tx.queues.delete(HOME, "gpu"))
    assert not await store.write(lambda tx: tx.queues.delete(HOME, "gpu"))
    assert await store.read(lambda tx: tx.queues.get(HOME, "gpu")) is None
    assert await store.read(lambda tx: tx.queues.get(AWAY, "gpu")) is not None
    with pytest.raises(NotFound):
        await store.write(lambda tx: tx.queues.save(bounded))


async def test_principals_and_their_roles(store: Store) -> None:
    await make_workspaces(store)
    anna = Principal(ANNA, "anna", roles={HOME: Role.OWNER, AWAY: Role.VIEWER})
    admin = Principal(new_principal_id(), "admin", admin=True)
    await store.write(lambda tx: (tx.principals.add(anna), tx.principals.add(admin)))
    assert await store.read(lambda tx: tx.principals.get(ANNA)) == anna
    assert await store.read(lambda tx: tx.principals.by_name("admin")) == admin
    assert await store.read(lambda tx: tx.principals.list()) == [admin, anna]
    assert await store.read(lambda tx: tx.principals.by_name("nobody")) is None
    with pytest.raises(AlreadyExists):
        await store.write(lambda tx: tx.principals.add(Principal(new_principal_id(), "anna")))

    await store.write(lambda tx: tx.principals.grant(ANNA, AWAY, Role.EDITOR))
    await store.write(lambda tx: tx.principals.grant(ANNA, HOME, None))
    await store.write(lambda tx: tx.principals.grant(ANNA, HOME, None))
    found = await store.read(lambda tx: tx.principals.get(ANNA))
    assert found == replace(anna, roles={AWAY: Role.EDITOR})
