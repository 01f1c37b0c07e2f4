"""Which authorization values are believed, and what is said of the others."""

from __future__ import annotations

import pytest

from heliostat.dialects.vertex.authenticate import Authenticator
from heliostat.domain.errors import Unauthenticated
from heliostat.services.signed_tokens import PRODUCTS
from tests.services.conftest import Office, database, office
from tests.services.signing import GONE, account

__all__ = ["database", "office"]


async def test_each_kind_of_token_names_its_principal(office: Office) -> None:
    authenticator, now = Authenticator(office.services), office.clock.now()
    robot = await account(office)
    api_token = (await office.services.identity.create_token(await office.caller("editor"))).token.reveal()
    access_token = (await office.services.google.of_assertion(robot.assertion(now))).token.reveal()
    unscoped = robot.signed(robot.claims(now, scope=GONE, aud=PRODUCTS[1]))
    for token in (api_token, robot.token(now), unscoped, access_token):
        for value in (f"Bearer {token}", f"bearer  {token} "):
            assert (await authenticator.caller([value])).principal == (await office.caller("editor")).principal
    office.clock.advance(seconds=2 * 3600)
    for token in (robot.token(now), access_token):
        with pytest.raises(Unauthenticated, match="expired"):
            await authenticator.caller([f"Bearer {token}"])


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([], "no credential"),
        ([""], "no credential"),
        (["Bearer hlt_x", "Bearer hlt_x"], "several"),
        (["Basic YTpi"], "Bearer"),
        (["Bearer"], "Bearer"),
        (["Bearer a b"], "Bearer"),
        (["hlt_x"], "Bearer"),
        (["Bearer hlt_x"], "API token"),
        (["Bearer hlt_x, Bearer hlt_y"], "Bearer"),
        (["Bearer ya29.a0AfB_by"], "Google's own"),
        (["Bearer AIzaSyA"], "Google's own"),
        (["Bearer hlo_x.y"], "access token"),
        (["Bearer " + "0" * 32], "login --vertex"),
        (["Bearer hlp_x.y"], "login --vertex"),
        (["Bearer x.y.z"], "JSON Web Token"),
        (["Bearer " + "x" * 9000 + ".y.z"], "login --vertex"),
        (["Bearer \ud800"], "login --vertex"),
        (["Bearer hlt_\ud800"], "API token"),
    ],
)
async def test_others_are_refused_with_the_reason(office: Office, values: list[str], why: str) -> None:
    with pytest.raises(Unauthenticated, match=why) as raised:
        await Authenticator(office.services).caller(values)
    assert "a0AfB" not in str(raised.value)
