"""Who may do what: every use case, called by everybody. A stranger learns nothing, not even that something exists."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from heliostat.domain.documents import NewDocument
from heliostat.domain.errors import Conflict, Forbidden, NotFound
from heliostat.domain.ids import ClusterId, new_workspace_id
from heliostat.domain.records import CredentialKind, Queue, Role
from heliostat.domain.secret import Secret
from heliostat.domain.secrets import SecretName
from heliostat.services import (
    AccessService,
    Caller,
    ClusterService,
    DirectoryService,
    DocumentService,
    GoogleIdentity,
    IdentityService,
    QueueService,
    SecretService,
    UsageService,
)

from .conftest import BOTH, Office, spec

Call = Callable[[Office, Caller, ClusterId], Awaitable[object]]


async def _delete_the_root(it: Office, who: Caller, _: ClusterId) -> None:
    """Which nobody may, but only owners are told so."""
    with contextlib.suppress(Conflict):
        await it.services.queues.delete(who, it.workspace, "root_queue")


CLUSTERS: dict[str, tuple[Role, Call]] = {
    "create": (Role.EDITOR, lambda it, who, _: it.services.clusters.create(who, it.workspace, spec(f"by-{who.principal.name}"))),
    "update": (
        Role.EDITOR,
        lambda it, who, id: it.services.clusters.update(
            who, it.workspace, id, lambda old: replace(old, description=who.principal.name)
        ),
    ),
    "preview": (Role.EDITOR, lambda it, who, id: it.services.clusters.preview(who, it.workspace, id, lambda old: old or spec())),
    "restart": (Role.EDITOR, lambda it, who, id: it.services.clusters.restart(who, it.workspace, id)),
    "get": (Role.VIEWER, lambda it, who, id: it.services.clusters.get(who, it.workspace, id)),
    "resolve": (Role.VIEWER, lambda it, who, id: it.services.clusters.resolve(who, it.workspace, id)),
    "list": (Role.VIEWER, lambda it, who, _: it.services.clusters.list(who, it.workspace, limit=10)),
    "start": (Role.EDITOR, lambda it, who, id: it.services.clusters.start(who, it.workspace, id)),
    "stop": (Role.EDITOR, lambda it, who, id: it.services.clusters.stop(who, it.workspace, id)),
    "delete": (Role.EDITOR, lambda it, who, id: it.services.clusters.delete(who, it.workspace, id)),
    "events": (Role.VIEWER, lambda it, who, id: it.services.clusters.events(who, it.workspace, id)),
    "why": (Role.VIEWER, lambda it, who, id: it.services.clusters.why(who, it.workspace, id)),
}  # fmt: skip
DIRECTORY: dict[str, tuple[Role, Call]] = {
    "workspace": (Role.VIEWER, lambda it, who, _: it.services.directory.workspace(who, it.workspace)),
    "network_services": (Role.VIEWER, lambda it, who, _: it.services.directory.network_services(who, it.workspace)),
}
QUEUES: dict[str, tuple[Role, Call]] = {
    "list": (Role.VIEWER, lambda it, who, _: it.services.queues.list(who, it.workspace)),
    "get": (Role.VIEWER, lambda it, who, _: it.services.queues.get(who, it.workspace, "root_queue")),
    "holders": (Role.VIEWER, lambda it, who, _: it.services.queues.holders(who, it.workspace, "root_queue")),
    "create": (
        Role.OWNER,
        lambda it, who, _: it.services.queues.create(
            who, it.workspace, Queue(it.workspace, f"by-{who.principal.name}", it.clock.now())
        ),
    ),
    "edit": (
        Role.OWNER,
        lambda it, who, _: it.services.queues.edit(
            who, it.workspace, "root_queue", lambda old: replace(old, description=who.principal.name)
        ),
    ),
    "delete": (Role.OWNER, _delete_the_root),
}
PASSWORD = SecretName("db", "password")


async def _delete_the_secret(it: Office, who: Caller, _: ClusterId) -> None:
    """Which is not there for the second who may, but only those are told so."""
    try:
        await it.services.secrets.delete(who, it.workspace, PASSWORD)
    except NotFound as error:
        if error.kind != "secret":
            raise


SECRETS: dict[str, tuple[Role, Call]] = {
    "set": (Role.EDITOR, lambda it, who, _: it.services.secrets.set(who, it.workspace, PASSWORD, Secret("value"))),
    "list": (Role.EDITOR, lambda it, who, _: it.services.secrets.list(who, it.workspace)),
    "delete": (Role.EDITOR, _delete_the_secret),
}
KIND, KEY = "test.thing", "one"


async def _change_the_document(it: Office, who: Caller, _: ClusterId) -> None:
    found = await it.services.documents.find(KIND, KEY)
    if found is None:
        wish = NewDocument(KIND, it.workspace, KEY, b"1")
        found, _fresh = await it.services.documents.add(await it.caller("owner"), wish)
    await it.services.documents.change(who, replace(found, body=who.principal.name.encode()))


DOCUMENTS: dict[str, tuple[Role, Call]] = {
    "add": (
        Role.EDITOR,
        lambda it, who, _: it.services.documents.add(
            who, NewDocument(KIND, it.workspace, f"by-{who.principal.name}", b"1")
        ),
    ),
    "get": (Role.VIEWER, lambda it, who, _: it.services.documents.get(who, it.workspace, KIND, KEY)),
    "page": (Role.VIEWER, lambda it, who, _: it.services.documents.page(who, it.workspace, KIND, "", limit=10)),
    "scan": (Role.VIEWER, lambda it, who, _: it.services.documents.scan(who, it.workspace, KIND, "", limit=10)),
    "change": (Role.EDITOR, _change_the_document),
}
USAGE: dict[str, tuple[Role, Call]] = {
    "usage": (Role.VIEWER, lambda it, who, _: it.services.usage.usage(who, it.workspace)),
}
IDENTITY: dict[str, tuple[Role, Call]] = {
    "grant": (
        Role.OWNER,
        lambda it, who, _: it.services.identity.grant(who, it.workspace, "nobody", None),
    ),
}
WORKSPACE_CASES = {
    **{f"clusters.{name}": case for name, case in CLUSTERS.items()},
    **{f"directory.{name}": case for name, case in DIRECTORY.items()},
    **{f"queues.{name}": case for name, case in QUEUES.items()},
    **{f"secrets.{name}": case for name, case in SECRETS.items()},
    **{f"documents.{name}": case for name, case in DOCUMENTS.items()},
    **{f"usage.{name}": case for name, case in USAGE.items()},
    **{f"identity.{name}": case for name, case in IDENTITY.items()},
}
ELSEWHERE = {
    ClusterService: set[str](),
    DirectoryService: {"workspaces", "create_workspace", "project", "releases", "release", "prepare"},
    QueueService: set(),
    SecretService: {"hidden"},
    DocumentService: {"find", "load", "save"},  # for what comes without a caller
    UsageService: set(),
    IdentityService: {
        "by_token", "access_key", "remember_nonce", "create_access_key", "create_token", "keys", "revoke",
        "first_start", "renew_admin", "token", "note_use", "add_service_account_key", "principal", "robot",
    },
    GoogleIdentity: {
        "setup", "create_key", "principal_of", "principal_of_jwt", "principal_of_access_token", "of_assertion", "of_subject",
        "of_access_key",
    },
    AccessService: {"resolve", "session", "links"},
}  # fmt: skip
"""Use cases that ask for no role in a workspace; tested below, in test_keys, test_google_identity and test_access."""


def test_no_use_case_is_left_out() -> None:
    tables = {
        ClusterService: CLUSTERS, DirectoryService: DIRECTORY, QueueService: QUEUES, SecretService: SECRETS, UsageService: USAGE,
        DocumentService: DOCUMENTS,
        IdentityService: IDENTITY, GoogleIdentity: {}, AccessService: {},
    }  # fmt: skip
    for service, table in tables.items():
        public = {name for name in dir(service) if not name.startswith("_")}
        assert public == set(table) | ELSEWHERE[service]


async def facts(it: Office) -> object:
    """Everything that a refused call must leave as it is."""
    return await it.store.read(
        lambda tx: (
            tx.clusters.page(it.workspace, limit=1000),
            tx.events.of_workspace(it.workspace, limit=1000),
            tx.queues.list(it.workspace),
            tx.secrets.list(it.workspace),
            tx.principals.list(),
            tx.credentials.list(),
        )
    )


@BOTH
@pytest.mark.parametrize("case", WORKSPACE_CASES)
async def test_everybody_may_what_the_role_allows(office: Office, case: str) -> None:
    needed, call = WORKSPACE_CASES[case]
    ann = await office.caller("ann")
    for name in ("nobody", "viewer", "editor", "owner", "ann"):
        who = await office.caller(name)
        made = await office.services.clusters.create(ann, office.workspace, spec(f"for-{name}"))
        office.woken.clear()
        before = await facts(office)
        role = who.principal.role_in(office.workspace)
        if role is None:
            with pytest.raises(NotFound) as missing:
                await call(office, who, made.id)
            assert (missing.value.kind, missing.value.name) == ("workspace", office.workspace)
        elif not role.includes(needed):
            with pytest.raises(Forbidden, match=f"takes the role {needed}"):
                await call(office, who, made.id)
        else:
            await call(office, who, made.id)
            continue
        assert await facts(office) == before
        assert not office.woken, "a refused call wakes nobody"


@pytest.mark.parametrize("case", WORKSPACE_CASES)
async def test_a_workspace_that_is_not_there_is_not_found_even_by_an_admin(office: Office, case: str) -> None:
    ann = await office.caller("ann")
    made = await office.services.clusters.create(ann, office.workspace, spec())
    office.workspace = new_workspace_id()
    with pytest.raises(NotFound, match="workspace"):
        await WORKSPACE_CASES[case][1](office, ann, made.id)


@pytest.mark.parametrize("case", [name for name in CLUSTERS if name not in ("create", "list")])
async def test_a_cluster_of_another_workspace_is_not_found(office: Office, case: str) -> None:
    ann = await office.caller("ann")
    made = await office.services.clusters.create(ann, office.workspace, spec())
    before = await facts(office)
    other = await office.services.directory.create_workspace(ann, "other")
    here, office.workspace = office.workspace, other.id
    with pytest.raises(NotFound, match=f"cluster '{made.id}'"):
        await CLUSTERS[case][1](office, ann, made.id)
    office.workspace = here
    assert await facts(office) == before


async def test_a_stranger_is_not_told_what_this_machine_lacks(office: Office) -> None:
    office.world.releases_missing["ray-1.3.1"] = "install Python 3.11"
    clusters = office.services.clusters
    with pytest.raises(NotFound, match="workspace"):
        await clusters.create(await office.caller("nobody"), office.workspace, spec(), start=True)
    with pytest.raises(Forbidden):
        await clusters.create(await office.caller("viewer"), office.workspace, spec(), start=True)


async def test_a_role_is_given_and_taken(office: Office) -> None:
    identity, owner = office.services.identity, await office.caller("owner")
    await identity.grant(owner, office.workspace, "nobody", Role.EDITOR)
    assert (await office.caller("nobody")).may(office.workspace, Role.EDITOR)
    await identity.grant(owner, office.workspace, "nobody", None)
    with pytest.raises(NotFound):
        await office.services.directory.workspace(await office.caller("nobody"), office.workspace)
    with pytest.raises(NotFound, match="make a key"):
        await identity.grant(owner, office.workspace, "somebody", Role.VIEWER)


async def test_a_role_counts_in_its_workspace_only(office: Office) -> None:
    other = await office.services.directory.create_workspace(await office.caller("ann"), "other")
    with pytest.raises(NotFound):
        await office.services.clusters.list(await office.caller("owner"), other.id, limit=10)


async def test_workspaces_are_those_of_the_caller_newest_first(office: Office) -> None:
    ann, directory = await office.caller("ann"), office.services.directory
    made = []
    for number in range(5):
        office.clock.advance(seconds=1)
        made.append(await directory.create_workspace(ann, f"w{number}"))
    await office.services.identity.grant(ann, made[1].id, "viewer", Role.VIEWER)
    await office.services.identity.grant(ann, made[3].id, "viewer", Role.VIEWER)
    assert [row.name for row in await directory.workspaces(ann)] == ["w4", "w3", "w2", "w1", "w0", "default"]
    assert [row.name for row in await directory.workspaces(ann, limit=2, after=made[3].id)] == ["w2", "w1"]
    viewer = await office.caller("viewer")
    assert [row.name for row in await directory.workspaces(viewer)] == ["w3", "w1", "default"]
    assert [row.name for row in await directory.workspaces(viewer, limit=1, after=made[3].id)] == ["w1"]
    assert [row.name for row in await directory.workspaces(viewer, name_contains="W")] == ["w3", "w1"]
    assert await directory.workspaces(await office.caller("nobody")) == []


@pytest.mark.parametrize("name", ["nobody", "viewer", "editor", "owner"])
async def test_only_admins_make_workspaces_and_keys_for_others(office: Office, name: str) -> None:
    who = await office.caller(name)
    before = await facts(office)
    with pytest.raises(Forbidden, match="installation admin"):
        await office.services.directory.create_workspace(who, "mine")
    for make in (office.services.identity.create_access_key, office.services.identity.create_token):
        with pytest.raises(Forbidden, match="installation admin"):
            await make(who, principal="ann")
        with pytest.raises(Forbidden, match="installation admin"):
            await make(who, principal="somebody-new")
    assert await facts(office) == before


async def test_everybody_sees_releases_and_has_keys_of_their_own(office: Office) -> None:
    nobody = await office.caller("nobody")
    views = await office.services.directory.releases(nobody)
    assert [view.default for view in views].count(True) == 1
    assert (await office.services.directory.release(nobody, "2.47.1")).release.ray == "2.47.1"
    assert (await office.services.directory.prepare(nobody, "ray-1.3.1")).environment == "ready"
    with pytest.raises(NotFound, match="heliostat release list"):
        await office.services.directory.release(nobody, "ray-9.9.9")
    made = await office.services.identity.create_token(nobody)
    assert made.credential.kind is CredentialKind.TOKEN
    assert await office.services.identity.keys(nobody) == [made.credential]


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\0b", "a\nb"])
async def test_a_bad_workspace_name_is_refused(office: Office, name: str) -> None:
    from heliostat.domain.errors import InvalidRequest

    with pytest.raises(InvalidRequest) as raised:
        await office.services.directory.create_workspace(await office.caller("ann"), name)
    assert raised.value.path == "name"
