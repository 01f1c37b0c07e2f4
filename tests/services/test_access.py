"""What a token opens: the submit token, a link, a session, an API token; and that it ends when it should."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from heliostat.domain import passes
from heliostat.domain.errors import Unauthenticated
from heliostat.domain.ids import ClusterId, InstanceId, new_cluster_id
from heliostat.domain.passes import Pass, Purpose
from heliostat.domain.records import Cluster, Instance, Role
from heliostat.domain.secret import Secret
from heliostat.domain.states import State
from heliostat.services import Access, Links
from heliostat.services.access import LINK_LIFETIME, LINK_SLOT, SESSION_LIFETIME, SUBMIT_TOKEN_SUBJECT

from .conftest import BOTH, Office, spec
from .signing import account

OF_PRINCIPALS = ["token", "self-signed", "access token"]
"""Kinds that open whatever their principal may, and must be told the cluster: here, or after a ``~``."""
KINDS = ["submit token", "link", "session", "token", "token~", "self-signed~", "access token"]
BOUND = ["submit token", "link", "session"]
"""Kinds that belong to one run."""


async def links(office: Office, cluster: Cluster, name: str = "ann") -> Links | None:
    run = await office.run_of(cluster.id) if cluster.instance else None
    return office.services.access.links((await office.caller(name)).principal, cluster, run)


async def present(office: Office, kind: str, cluster: Cluster, name: str = "ann") -> str:
    """A token of the kind, as the person would have it."""
    access = office.services.access
    if kind.removesuffix("~") in OF_PRINCIPALS:
        text = await of_principal(office, kind.removesuffix("~"), name)
        return f"{text}~{cluster.id}" if kind.endswith("~") else text
    shown = await links(office, cluster, name)
    assert shown is not None
    if kind == "submit token":
        assert shown.submit_token is not None
        return shown.submit_token.reveal()
    link = parse_qs(urlsplit(shown.dashboard_url).query)["token"][0]
    if kind == "link":
        return link
    opened = await access.resolve(link, None)
    assert opened is not None
    return access.session(opened)


async def of_principal(office: Office, kind: str, name: str) -> str:
    if kind == "token":
        return (await office.services.identity.create_token(await office.caller(name))).token.reveal()
    robot = await account(office, name)
    if kind == "self-signed":
        return robot.token(office.clock.now())
    return (await office.services.google.of_assertion(robot.assertion(office.clock.now()))).token.reveal()


async def resolve(office: Office, token: str, cluster: ClusterId | None) -> Access | None:
    return await office.services.access.resolve(token, cluster)


@BOTH
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("named", [True, False])
async def test_a_good_token_leads_to_its_run(office: Office, kind: str, named: bool) -> None:
    cluster = await office.running()
    run = await office.run_of(cluster.id)
    token = await present(office, kind, cluster)
    found = await resolve(office, token, cluster.id if named else None)
    if kind in OF_PRINCIPALS and not named:
        assert found is None, "such a token must be told the cluster"
        return
    assert found is not None and found.route is not None
    assert (found.cluster, found.workspace, found.state) == (cluster.id, office.workspace, State.RUNNING)
    assert found.instance is not None and found.instance.id == found.route.instance == run.id
    assert found.route.dashboard == office.world.dashboard
    assert found.route.ray_token.reveal() == run.ray_token.reveal()
    assert found.subject == (SUBMIT_TOKEN_SUBJECT if kind == "submit token" else "ann")
    assert found.role is (Role.EDITOR if kind == "submit token" else Role.OWNER)
    assert found.purpose is {"link": Purpose.LINK, "session": Purpose.SESSION}.get(kind)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_opens_no_other_cluster_than_its_own(office: Office, kind: str) -> None:
    one, two = await office.running("one"), await office.running("two")
    token = await present(office, kind, one)
    found = await resolve(office, token, two.id)
    if kind in OF_PRINCIPALS:
        assert found is not None and found.cluster == two.id, "it opens what its principal may"
    else:
        assert found is None
    assert await resolve(office, token, new_cluster_id()) is None


@pytest.mark.parametrize("kind", KINDS)
async def test_after_a_stop_nothing_is_open(office: Office, kind: str) -> None:
    office.world.linger = 2
    cluster = await office.running()
    token = await present(office, kind, cluster)
    await office.services.clusters.stop(await office.caller("ann"), office.workspace, cluster.id)
    for state in (State.STOPPING, State.STOPPED):
        found = await resolve(office, token, cluster.id)
        if kind in BOUND:
            assert found is None
        else:
            assert found is not None and found.state is state and found.route is None
        await office.settle(cluster.id)


@pytest.mark.parametrize("kind", BOUND)
async def test_a_token_of_a_former_run_stays_shut(office: Office, kind: str) -> None:
    cluster = await office.running()
    token = await present(office, kind, cluster)
    ann = await office.caller("ann")
    await office.services.clusters.stop(ann, office.workspace, cluster.id)
    await office.settle(cluster.id)
    await office.services.clusters.start(ann, office.workspace, cluster.id)
    await office.settle(cluster.id)
    again = await office.stored(cluster.id)
    assert again.state is State.RUNNING
    assert await resolve(office, token, cluster.id) is None
    assert await resolve(office, await present(office, kind, again), cluster.id) is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_after_a_deletion_nothing_is_open(office: Office, kind: str) -> None:
    cluster = await office.running()
    token = await present(office, kind, cluster)
    await office.services.clusters.delete(await office.caller("ann"), office.workspace, cluster.id, stop_first=True)
    await office.settle(cluster.id)
    assert await resolve(office, token, cluster.id) is None


@pytest.mark.parametrize("kind", KINDS)
async def test_after_a_failure_no_way_leads_in(office: Office, kind: str) -> None:
    cluster = await office.running()
    token = await present(office, kind, cluster)
    assert cluster.instance is not None
    nodes = office.world.instances[cluster.instance].nodes
    office.engine.kill(next(node.node for node in nodes.values() if node.kind == "head"))
    await office.settle(cluster.id)
    found = await resolve(office, token, cluster.id)
    assert found is not None and found.state is State.ERROR and found.route is None


@pytest.mark.parametrize("kind", [*OF_PRINCIPALS, "token~"])
async def test_a_revoked_token_is_shut_at_once(office: Office, kind: str) -> None:
    cluster = await office.running()
    token = await present(office, kind, cluster, "editor")
    assert await resolve(office, token, cluster.id) is not None
    editor = await office.caller("editor")
    for credential in await office.services.identity.keys(editor):
        await office.services.identity.revoke(editor, credential.id)
    assert await resolve(office, token, cluster.id) is None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "submit token"])
async def test_what_a_principal_loses_its_tokens_and_passes_lose(office: Office, kind: str) -> None:
    cluster = await office.running()
    token = await present(office, kind, cluster, "owner")
    ann, identity = await office.caller("ann"), office.services.identity
    for role in (Role.EDITOR, Role.VIEWER):
        await identity.grant(ann, office.workspace, "owner", role)
        found = await resolve(office, token, cluster.id)
        assert found is not None and found.role is role
    await identity.grant(ann, office.workspace, "owner", None)
    assert await resolve(office, token, cluster.id) is None


async def test_a_pass_does_not_grow_with_its_principal(office: Office) -> None:
    cluster = await office.running()
    token = await present(office, "session", cluster, "viewer")
    await office.services.identity.grant(await office.caller("ann"), office.workspace, "viewer", Role.OWNER)
    found = await resolve(office, token, cluster.id)
    assert found is not None and found.role is Role.VIEWER


@pytest.mark.parametrize(("kind", "lifetime"), [("link", LINK_LIFETIME), ("session", SESSION_LIFETIME)])
async def test_passes_expire(office: Office, kind: str, lifetime: timedelta) -> None:
    cluster = await office.running()
    token = await present(office, kind, cluster)
    office.clock.advance(seconds=lifetime.total_seconds() - 1)
    assert await resolve(office, token, cluster.id) is not None
    office.clock.advance(seconds=1 + (LINK_SLOT if kind == "link" else 0))
    assert await resolve(office, token, cluster.id) is None


async def test_a_link_stays_the_same_for_a_while_and_is_each_readers_own(office: Office) -> None:
    cluster = await office.running()
    first = await present(office, "link", cluster)
    assert await present(office, "link", cluster) == first != await present(office, "link", cluster, "viewer")
    office.clock.advance(seconds=LINK_SLOT)
    assert await present(office, "link", cluster) != first


async def test_a_stranger_with_a_good_token_is_told_nothing(office: Office) -> None:
    cluster = await office.running()
    for kind in (*OF_PRINCIPALS, "token~"):
        assert await resolve(office, await present(office, kind, cluster, "nobody"), cluster.id) is None


async def test_a_pass_made_up_by_someone_who_knows_everything_but_the_secret(office: Office) -> None:
    cluster = await office.running()
    run = await office.run_of(cluster.id)
    expires = office.clock.now() + timedelta(hours=1)
    for subject in ("ann", SUBMIT_TOKEN_SUBJECT):
        forged = Pass(Purpose.SESSION, run.id, Role.OWNER, subject, expires)
        for known in (Secret("0" * 32), run.submit_token):
            assert await resolve(office, passes.issue(forged, known), cluster.id) is None, (
                "editors have the submit token"
            )
    key = office.services.access._pass_key(run)
    good = Pass(Purpose.SESSION, run.id, Role.OWNER, "ann", expires)
    assert await resolve(office, passes.issue(good, key), cluster.id) is not None
    unknown = Pass(Purpose.SESSION, InstanceId("ray-x-y"), Role.OWNER, "ann", expires)
    assert await resolve(office, passes.issue(unknown, key), cluster.id) is None
    gone = Pass(Purpose.SESSION, run.id, Role.OWNER, "who-left", expires)
    assert await resolve(office, passes.issue(gone, key), cluster.id) is None


@pytest.mark.parametrize(
    "token",
    ["", "~", "hlt_", "hlt_~", "hlp_", "hlp_.", "0" * 32, "0" * 31, "F" * 32, "\0", "hlt_x~\0", "a~b~c", "\u00e9"],
)
async def test_other_texts_open_nothing(office: Office, token: str) -> None:
    cluster = await office.running()
    assert await resolve(office, token, cluster.id) is None
    assert await resolve(office, token, None) is None


async def test_two_names_that_differ_open_nothing(office: Office) -> None:
    one, two = await office.running("one"), await office.running("two")
    token = await present(office, "token", one)
    assert await resolve(office, f"{token}~{one.id}", two.id) is None
    assert await resolve(office, f"{token}~{two.id}", two.id) is not None
    assert await resolve(office, f"{token}~", None) is None


@pytest.mark.parametrize("kind", ["self-signed", "access token", "self-signed~"])
async def test_a_session_outlasts_its_token_on_the_runs_that_were_there(office: Office, kind: str) -> None:
    cluster = await office.running()
    token = await present(office, kind, cluster, "editor")
    good = await resolve(office, token, cluster.id)
    assert good is not None and good.route is not None and not good.ended
    office.clock.advance(seconds=2 * 3600)
    later = await resolve(office, token, cluster.id)
    assert later is not None and later.route is not None and later.ended and later.role is Role.EDITOR
    fresh = await office.running("two")
    assert await resolve(office, token.partition("~")[0], fresh.id) is None, "nothing that began after its end"
    office.clock.advance(seconds=24 * 3600)
    assert await resolve(office, token, cluster.id) is None


@pytest.mark.parametrize("kind", ["self-signed", "access token"])
async def test_an_ended_token_opens_no_later_run_of_the_same_cluster(office: Office, kind: str) -> None:
    ann = await office.caller("ann")
    cluster = await office.running()
    token = await present(office, kind, cluster, "editor")
    office.clock.advance(seconds=2 * 3600)
    assert await resolve(office, token, cluster.id) is not None
    await office.services.clusters.stop(ann, office.workspace, cluster.id)
    await office.settle(cluster.id)
    assert await resolve(office, token, cluster.id) is None
    await office.services.clusters.start(ann, office.workspace, cluster.id)
    await office.settle(cluster.id)
    assert await resolve(office, token, cluster.id) is None
    assert await resolve(office, await present(office, kind, cluster, "editor"), cluster.id) is not None


@pytest.mark.parametrize("kind", ["self-signed", "access token"])
@pytest.mark.parametrize("loss", ["role", "key"])
async def test_a_session_ends_with_its_key_or_its_role(office: Office, kind: str, loss: str) -> None:
    cluster = await office.running()
    token = await present(office, kind, cluster, "editor")
    office.clock.advance(seconds=2 * 3600)
    assert await resolve(office, token, cluster.id) is not None
    identity, editor = office.services.identity, await office.caller("editor")
    if loss == "role":
        await identity.grant(await office.caller("ann"), office.workspace, "editor", None)
    else:
        for credential in await identity.keys(editor):
            await identity.revoke(editor, credential.id)
    assert await resolve(office, token, cluster.id) is None


async def test_links_are_there_while_the_cluster_runs_and_only_then(office: Office) -> None:
    office.world.linger = 2
    ann, clusters = await office.caller("ann"), office.services.clusters
    made = await clusters.create(ann, office.workspace, spec())
    assert await links(office, made) is None
    started = await clusters.start(ann, office.workspace, made.id)
    assert await links(office, started) is None
    await office.settle(made.id)
    shown = await links(office, await office.stored(made.id))
    assert shown is not None
    assert shown.dashboard_url.startswith(f"http://c-{made.id}.localhost:8600/?token=hlp_")
    assert shown.job_url == "http://127.0.0.1:8600"
    stopping = await clusters.stop(ann, office.workspace, made.id)
    assert await links(office, stopping) is None
    await office.settle(made.id)
    assert await links(office, await office.stored(made.id)) is None


async def test_viewers_get_a_link_of_their_own_and_no_submit_token(office: Office) -> None:
    cluster = await office.running()
    for name, runs_code in (("viewer", False), ("editor", True), ("owner", True), ("ann", True)):
        shown = await links(office, cluster, name)
        assert shown is not None and (shown.submit_token is not None) == runs_code
        found = await resolve(office, await present(office, "link", cluster, name), None)
        assert found is not None and found.subject == name
    assert await links(office, cluster, "nobody") is None


async def test_no_session_without_a_run(office: Office) -> None:
    ann = await office.caller("ann")
    made = await office.services.clusters.create(ann, office.workspace, spec())
    found = await resolve(office, await present(office, "token~", made), None)
    assert found is not None and found.instance is None
    with pytest.raises(Unauthenticated, match="not running"):
        office.services.access.session(found)


async def test_submit_tokens_are_32_hex_digits_and_new_at_each_start(office: Office) -> None:
    seen: list[Instance] = []
    ann = await office.caller("ann")
    cluster = await office.running()
    for _ in range(3):
        seen.append(await office.run_of(cluster.id))
        await office.services.clusters.stop(ann, office.workspace, cluster.id)
        await office.settle(cluster.id)
        await office.services.clusters.start(ann, office.workspace, cluster.id)
        await office.settle(cluster.id)
    tokens = [run.submit_token.reveal() for run in seen]
    assert len(set(tokens)) == 3 and all(len(token) == 32 and int(token, 16) >= 0 for token in tokens)
    assert len({run.ray_token.reveal() for run in seen}) == 3
