"""Keys of service accounts in the native API: only a public key comes in, and everything but the private one goes out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from heliostat.api.models import answers
from heliostat.domain.installation import Installation
from heliostat.domain.records import Role
from tests.services.signing import key_pair

from .support import House, house
from .test_openapi import exactly

PLACE = "localhost:8601"


@pytest.fixture(name="house")
async def _house(tmp_path: Path) -> AsyncIterator[House]:
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    installation = Installation(tls_place=PLACE, universe=PLACE, ca_file=ca)
    async with house(tmp_path, installation=installation) as built:
        yield built


async def test_a_key_is_registered_and_its_file_told(house: House) -> None:
    body = {
        "kind": "service_account_key",
        "public_key": key_pair().public,
        "workspace": "default",
        "principal": "robot",
    }
    answer = await house.admin.post("/v1/keys", json=body)
    assert answer.status_code == 201, answer.text
    exactly(answers.NewKeyAnswer, answer.content)
    made = answer.json()
    assert made["secret"] is None and made["key"]["kind"] == "service_account_key"
    setup = made["google"]["setup"]
    assert made["google"]["key_file"] == {
        "type": "service_account",
        "project_id": "default",
        "private_key_id": made["key"]["id"],
        "client_email": "robot@default.iam.heliostat.internal",
        "client_id": made["key"]["principal"],
        "auth_uri": f"https://{PLACE}/o/oauth2/auth",
        "token_uri": f"https://{PLACE}/token",
        "universe_domain": PLACE,
    }
    assert setup["api_endpoint"] == PLACE and setup["ca_certificate"] == "-----BEGIN CERTIFICATE-----\n"
    told = await house.admin.get("/v1/vertex", params={"project": setup["project_number"]})
    assert told.json() == setup
    exactly(answers.VertexSetupAnswer, told.content)
    assert made["key"] in (await house.admin.get("/v1/keys")).json()["keys"]
    assert (await house.admin.delete(f"/v1/keys/{made['key']['id']}")).status_code == 204


async def test_each_makes_keys_where_they_have_a_role(house: House) -> None:
    body = {"kind": "service_account_key", "public_key": key_pair().public}
    eve, stranger = await house.principal("eve", Role.VIEWER), await house.principal("stranger", None)
    mine = await eve.post("/v1/keys", json=body)
    assert mine.status_code == 201 and mine.json()["google"]["key_file"]["client_email"].startswith("eve@")
    answer = await stranger.post("/v1/keys", json=body)
    assert (answer.status_code, answer.json()["path"]) == (422, "workspace")
    told = {}
    for name in (house.workspace, "default", "nowhere"):
        for method, where in (("POST", "/v1/keys"), ("GET", f"/v1/vertex?project={name}")):
            json = {**body, "workspace": name} if method == "POST" else None
            answer = await stranger.request(method, where, json=json)
            assert answer.status_code == 403
            told[answer.json()["detail"].replace(name, "PROJECT")] = name
    assert len(told) == 1


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "service_account_key"}, "public_key"),
    ({"kind": "service_account_key", "public_key": ""}, "public_key"),
    ({"kind": "service_account_key", "public_key": "x" * 8193}, "public_key"),
    ({"kind": "service_account_key", "public_key": "PEM"}, "public_key"),
    ({"kind": "service_account_key", "public_key": "-----BEGIN PUBLIC KEY-----\u00e4"}, "public_key"),
    ({"kind": "service_account_key", "public_key": 7}, "public_key"),
    ({"kind": "token", "public_key": "PEM"}, "public_key"),
    ({"kind": "access_key", "workspace": "default"}, "workspace"),
    ({"workspace": "default"}, "workspace"),
]


async def test_what_is_wrong_is_named(house: House) -> None:
    for body, path in WRONG:
        answer = await house.admin.post("/v1/keys", json=body)
        assert (answer.status_code, answer.json()["path"]) == (422, path), body


async def test_a_private_key_is_not_repeated(house: House) -> None:
    body = {"kind": "service_account_key", "public_key": key_pair().private}
    answer = await house.admin.post("/v1/keys", json=body)
    assert answer.status_code == 422 and "private key" in answer.text
    assert key_pair().private.splitlines()[1] not in answer.text
