"""The token endpoint of Flyte's clients: the two ways to show an access key, and every refusal."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import quote_plus

import httpx
import pytest

from heliostat.dialects.flyte.admin.token import FlyteTokenEndpoint
from heliostat.domain.errors import Unauthenticated
from tests.services.conftest import Office, database, office

__all__ = ["database", "office"]


@pytest.fixture(name="http")
async def _http(office: Office) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(FlyteTokenEndpoint(office.services.google))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8600") as http:
        yield http


def basic(key_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{key_id}:{quote_plus(secret)}".encode()).decode()}


GRANT = {"grant_type": "client_credentials", "scope": "all"}


async def test_an_access_key_becomes_an_access_token(office: Office, http: httpx.AsyncClient) -> None:
    made = await office.services.identity.create_access_key(await office.caller("editor"))
    id, secret = made.credential.id, made.secret.reveal()
    in_form = {**GRANT, "client_id": id, "client_secret": secret}
    for form, headers in ((GRANT, basic(id, secret)), (in_form, {})):
        answer = await http.post("/flyte/token", data=form, headers=headers)
        assert answer.status_code == 200, answer.text
        token = answer.json()
        assert token["access_token"].startswith("hlo_") and 3599 <= token["expires_in"] <= 3600
        principal, _ = await office.services.google.principal_of(token["access_token"])
        assert principal.name == "editor"
    await office.services.identity.revoke(await office.caller("editor"), id)
    with pytest.raises(Unauthenticated):
        await office.services.google.principal_of(token["access_token"])
    refused = await http.post("/flyte/token", data=in_form)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


async def test_a_token_does_not_outlast_its_key(office: Office, http: httpx.AsyncClient) -> None:
    caller = await office.caller("editor")
    made = await office.services.identity.create_access_key(caller, lifetime=timedelta(minutes=5))
    answer = await http.post("/flyte/token", data=GRANT, headers=basic(made.credential.id, made.secret.reveal()))
    assert answer.json()["expires_in"] <= 300


async def test_every_refusal_says_what_is_wrong(office: Office, http: httpx.AsyncClient) -> None:
    made = await office.services.identity.create_access_key(await office.caller("editor"))
    api_token = await office.services.identity.create_token(await office.caller("editor"))
    id, secret = made.credential.id, made.secret.reveal()
    good = basic(id, secret)
    for form, headers, status, error in (
        ({"scope": "all"}, good, 400, "invalid_request"),
        ({"grant_type": "password"}, good, 400, "unsupported_grant_type"),
        (GRANT, {}, 400, "invalid_request"),
        ({**GRANT, "client_id": id}, {}, 400, "invalid_request"),
        ({**GRANT, "client_secret": secret}, good, 400, "invalid_request"),
        (GRANT, basic(id, secret + "x"), 401, "invalid_client"),
        (GRANT, basic("HELInobody", secret), 401, "invalid_client"),
        (GRANT, basic(api_token.credential.id, api_token.token.reveal()), 401, "invalid_client"),
        (GRANT, {"authorization": "Basic !!!"}, 401, "invalid_client"),
        (GRANT, {"authorization": "Basic " + base64.b64encode(b"nocolon").decode()}, 401, "invalid_client"),
        (GRANT, {"authorization": "Bearer x"}, 401, "invalid_client"),
    ):
        answer = await http.post("/flyte/token", data=form, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (status, error), (form, headers, answer.text)
        assert answer.json()["error_description"] and answer.headers["cache-control"] == "no-store"
        assert secret not in answer.text
        assert ("www-authenticate" in answer.headers) == (status == 401)
    twice = [("authorization", good["authorization"])] * 2
    assert (await http.post("/flyte/token", data=GRANT, headers=twice)).status_code == 400
