"""Tokens of Google's clients at the gateway: in a header, for whoever signed them with a key of ours, and nowhere else."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heliostat.domain import access_tokens
from heliostat.domain.access_tokens import AccessToken
from heliostat.domain.ids import ClusterId
from heliostat.gateway.credentials import SHAPES, BadCredential
from heliostat.gateway.ray_client.decide import Call, CallReading, Refusal, read_call
from heliostat.gateway.streams import ACCESS_ENDED, OpenStreams, StreamEnded
from heliostat.services.access import Access
from heliostat.services.signed_tokens import SCOPE
from tests.services.signing import Account, key_pair

from .support import CLUSTER, ORIGIN, ROOT, SUBMIT, FakeGatekeeper, access_to, request
from .test_address import shown
from .test_decide import decided
from .test_whole_server import Site, site

__all__ = ["site"]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROBOT = Account("0" * 40, "robot@default.iam.heliostat.internal", key_pair())
SIGNED = ROBOT.token(NOW)
FOREIGN = ROBOT.signed(ROBOT.claims(NOW, iss="https://issuer.example"))
GOOGLES = ROBOT.signed(ROBOT.claims(NOW, iss="robot@p.iam.gserviceaccount.com"))
ACCESS = access_tokens.issue(AccessToken("0" * 40, NOW), b"key")
BOTH = pytest.mark.parametrize("token", [SIGNED, ACCESS], ids=["self-signed", "access token"])


@BOTH
def test_they_count_in_headers(token: str) -> None:
    for text in (token, f"{token}~{CLUSTER}"):
        for asked in (
            request(f"/c/{CLUSTER}/api/version", host=ROOT, authorization=f"Bearer {text}"),
            request(authorization=f"bearer {text}"),
            request(host=ROOT, ray_token=text),
            request(x_ray_authorization=f"Bearer {text}"),
        ):
            assert shown(asked) == (text, "header")


@BOTH
def test_they_count_neither_in_urls_nor_in_cookies(token: str) -> None:
    for text in (token, f"{token}~{CLUSTER}"):
        with pytest.raises(BadCredential) as raised:
            shown(request(f"/?token={text}"))
        assert token not in str(raised.value)
        assert shown(request(f"/c/{CLUSTER}/?token={text}", host=ROOT)) is None
        assert shown(request(cookie=f"__Host-heliostat={text}")) is None


@pytest.mark.parametrize(
    "text", [FOREIGN, GOOGLES, "a.b.c", f"{SIGNED}.x", "x." * 2 + "y" * 9000, f"{ACCESS}x", "hlo_x"]
)
def test_what_is_none_of_them_is_no_credential_and_in_nobodys_way(text: str) -> None:
    assert shown(request(host=ROOT, authorization=f"Bearer {text}")) is None
    assert shown(request(host=ROOT, authorization=f"Bearer {text}", ray_token=SUBMIT)) == (SUBMIT, "header")


@BOTH
def test_two_different_ones_are_refused(token: str) -> None:
    with pytest.raises(BadCredential):
        shown(request(host=ROOT, authorization=f"Bearer {token}", ray_token=SUBMIT))


@BOTH
def test_ray_client_takes_them_too(token: str) -> None:
    method = "/ray.rpc.RayletDriver/ClusterInfo"
    bearer = ("authorization", f"Bearer {token}")
    read = read_call(Call(method, (bearer, ("x-heliostat-cluster", CLUSTER))))
    assert isinstance(read, CallReading) and read.cluster == CLUSTER and read.credential.token.reveal() == token
    named = read_call(Call(method, (("authorization", f"Bearer {token}~{CLUSTER}"),)))
    assert isinstance(named, CallReading) and named.cluster is None
    assert isinstance(read_call(Call(method, (("authorization", f"Bearer {token}."),))), Refusal)


def test_long_texts_are_told_in_little_time() -> None:
    since = time.process_time()
    for text in ("x." * 30000, "a" * 60000, "hlo_" + "a" * 60000, "x." + "y" * 60000 + ".z~", SIGNED + "~" * 50000):
        assert not SHAPES.fullmatch(text)
    assert time.process_time() - since < 1


def test_an_ended_token_makes_no_session_for_a_browser() -> None:
    access = access_to()
    asked = request("/api/authenticate", "POST", authorization=f"Bearer {SIGNED}", origin=ORIGIN)
    good, late = decided(asked, access), decided(asked, _ended(access))
    assert (good.status, late.status) == (200, 403)  # type: ignore[union-attr]
    assert late.session is None  # type: ignore[union-attr]


def _ended(access: Access) -> Access:
    return Access(**{**vars(access), "ended": True})


async def test_an_open_stream_outlives_its_token_and_not_its_right() -> None:
    gatekeeper = FakeGatekeeper(**{SIGNED: access_to()})
    streams = OpenStreams(gatekeeper, timedelta(milliseconds=10))
    allow = decided(request("/nodes", authorization=f"Bearer {SIGNED}"), access_to())
    ended: list[str] = []

    async def follow() -> None:
        try:
            with streams.open(allow, CLUSTER):  # type: ignore[arg-type]
                await asyncio.Event().wait()
        except StreamEnded as error:
            ended.append(error.reason)

    task = asyncio.create_task(follow())
    async with asyncio.timeout(10):
        while not gatekeeper.asked:
            await asyncio.sleep(0.005)
        gatekeeper.rows[SIGNED] = _ended(access_to())
        seen = len(gatekeeper.asked)
        while len(gatekeeper.asked) < seen + 3:
            await asyncio.sleep(0.005)
        assert not ended
        del gatekeeper.rows[SIGNED]
        await task
    assert ended == [ACCESS_ENDED]
    await streams.close()


async def test_on_the_whole_server(site: Site, tmp_path: Path) -> None:
    cluster = await site.cluster("demo")
    made = await site.client.keys.create_google_key(tmp_path / "robot.json")
    robot = Account(made.key.id, made.key_file["client_email"], key_pair())
    now = datetime.now(UTC)
    pair = type(key_pair())(made.key_file["private_key"], "")
    signed = robot.signed(robot.claims(now), pair=pair)
    version = f"/c/{cluster.id}/api/version"
    assert await site.status(version, {"Authorization": f"Bearer {signed}"}) == 200
    assert signed not in str(site.head.seen[-1].headers) and "Bearer" in site.head.seen[-1].headers["Authorization"]
    assert await site.status("/api/version", {"Authorization": f"Bearer {signed}~{cluster.id}"}) == 200
    assert await site.status("/api/version", {"Authorization": f"Bearer {signed}"}) in (401, 404)
    assertion = robot.signed(robot.claims(now, sub=None, aud=made.key_file["token_uri"], scope=SCOPE), pair=pair)
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    async with site.session.post(f"{site.server.url}/token", data=form) as answer:
        assert answer.status == 200, await answer.text()
        access = (await answer.json())["access_token"]
    assert await site.status(version, {"ray-token": access}) == 200
    other = ClusterId("ray-0000000000000000")
    assert await site.status(f"/c/{other}/api/version", {"Authorization": f"Bearer {signed}"}) == 401
    await site.client.keys.revoke(made.key.id)
    for token in (signed, access):
        assert await site.status(version, {"Authorization": f"Bearer {token}"}) == 401
