"""The token endpoint: what it gives, what it refuses and in which words; and that nothing makes it fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliostat.dialects import oauth as endpoint
from heliostat.dialects.oauth import FORM
from heliostat.dialects.vertex.token import ACCESS_TOKEN, JWT_BEARER, TOKEN_EXCHANGE, GoogleTokenEndpoint
from heliostat.domain.errors import Unavailable
from heliostat.services.signed_tokens import PRODUCTS, SCOPE, opened
from tests.services.conftest import Office, database, office
from tests.services.signing import GONE, Account, account

__all__ = ["database", "office"]

JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


class Client:
    """A client of the endpoint, which does not hide what it raises."""

    def __init__(self, google: Any) -> None:  # GoogleIdentity, or what stands for it
        transport = httpx.ASGITransport(GoogleTokenEndpoint(google))
        self.http = httpx.AsyncClient(transport=transport, base_url="https://localhost:8601")

    async def ask(self, **form: str) -> httpx.Response:
        return await self.http.post("/token", data=form)

    async def refused(self, error: str, **form: str) -> str:
        """The description of a refusal."""
        answer = await self.ask(**form)
        assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
        assert answer.headers["cache-control"] == "no-store"
        description: str = answer.json()["error_description"]
        return description


@pytest.fixture(name="client")
async def _client(office: Office) -> AsyncIterator[Client]:
    client = Client(office.services.google)
    yield client
    await client.http.aclose()


@pytest.fixture(name="robot")
async def _robot(office: Office) -> Account:
    return await account(office)


async def test_an_assertion_becomes_an_access_token(office: Office, client: Client, robot: Account) -> None:
    answer = await client.ask(grant_type=JWT_BEARER, assertion=robot.assertion(office.clock.now()))
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["token_type"] == "Bearer" and 3599 <= made["expires_in"] <= 3600 and set(made) == {
        "access_token", "expires_in", "token_type"
    }  # fmt: skip
    principal, _ = await office.services.google.principal_of(made["access_token"])
    assert principal.name == "editor"
    assert answer.headers["content-type"] == "application/json" and answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("kind", ["API token", "self-signed"])
async def test_a_subject_is_exchanged(office: Office, client: Client, robot: Account, kind: str) -> None:
    subject = robot.token(office.clock.now())
    if kind == "API token":
        made = await office.services.identity.create_token(await office.caller("editor"))
        subject = made.token.reveal()
    answer = await client.ask(
        grant_type=TOKEN_EXCHANGE, audience="//iam.localhost/pool", scope=SCOPE, requested_token_type=ACCESS_TOKEN,
        subject_token=subject, subject_token_type=JWT_TYPE,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert answer.json()["issued_token_type"] == ACCESS_TOKEN
    principal, _ = await office.services.google.principal_of(answer.json()["access_token"])
    assert principal.name == "editor"


async def test_refusals(office: Office, client: Client, robot: Account) -> None:
    now = office.clock.now()
    good, refused = robot.assertion(now), client.refused
    await refused("invalid_request")
    await refused("invalid_request", assertion=good)
    await refused("invalid_request", grant_type=JWT_BEARER)
    await refused("unsupported_grant_type", grant_type="password", username="ada", password="x")
    assert "Google issued" in await refused(
        "invalid_grant", grant_type=JWT_BEARER, assertion=robot.assertion(now, iss="r@p.iam.gserviceaccount.com")
    )
    for text in ("x", good[:-10], robot.token(now), robot.assertion(now, aud=PRODUCTS[0])):
        await refused("invalid_grant", grant_type=JWT_BEARER, assertion=text)
    await refused("invalid_scope", grant_type=JWT_BEARER, assertion=robot.assertion(now, scope=GONE))

    exchange = {"grant_type": TOKEN_EXCHANGE, "subject_token": robot.token(now), "subject_token_type": JWT_TYPE}
    await refused("invalid_request", **{**exchange, "subject_token": ""})
    await refused("invalid_request", **{**exchange, "subject_token_type": "urn:ietf:params:oauth:token-type:saml2"})
    await refused("invalid_request", **exchange, requested_token_type=JWT_TYPE)
    await refused("invalid_request", **exchange, actor_token="x")
    await refused("invalid_scope", **exchange, scope="openid email")
    await refused("invalid_grant", **{**exchange, "subject_token": "hlt_unknown"})
    await refused("invalid_grant", **{**exchange, "subject_token": good})


async def test_the_form_itself(client: Client, robot: Account) -> None:
    async def ask(body: bytes, kind: str = FORM, method: str = "POST") -> tuple[int, str]:
        answer = await client.http.request(method, "/token", content=body, headers={"content-type": kind})
        return answer.status_code, answer.json()["error_description"]

    assert (await ask(b"", method="GET"))[0] == 405
    assert (await ask(b"{}", "application/json"))[0] == 400
    assert "twice" in (await ask(b"grant_type=a&grant_type=b"))[1]
    assert (await ask(b"grant_type=%ff"))[0] == (await ask(b"\xff=1"))[0] == 400
    assert (await ask(b"a=1&" * 100))[0] == 400
    assert (await ask(b"a=" + b"x" * endpoint.MAX_BODY))[0] == 413
    assert "missing" in (await ask(b"a=1", f"{FORM}; charset=UTF-8"))[1]


@pytest.fixture(scope="module")
def silent() -> Client:
    """For a server that knows nobody."""

    class Nobody:
        async def of_assertion(self, text: str) -> None:
            opened(text)
            raise AssertionError("an unknown text was taken for a token")

        of_subject = of_assertion

    return Client(Nobody())


texts = st.one_of(st.text(max_size=40), st.sampled_from([JWT_BEARER, TOKEN_EXCHANGE, ACCESS_TOKEN, JWT_TYPE, SCOPE]))
names = st.sampled_from(["grant_type", "assertion", "subject_token", "subject_token_type", "scope", "x", ""])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(st.binary(max_size=200), st.lists(st.tuples(names, texts), max_size=6)))
def test_whatever_comes_the_client_is_at_fault(silent: Client, body: bytes | list[tuple[str, str]]) -> None:
    data = body if isinstance(body, bytes) else urlencode(body, errors="replace").encode()
    answer = asyncio.run(silent.http.post("/token", content=data, headers={"content-type": FORM}))
    assert 400 <= answer.status_code < 500
    assert set(answer.json()) == {"error", "error_description"}
    assert all(" " <= letter <= "~" and letter not in '"\\' for letter in answer.json()["error_description"])


async def test_a_database_that_is_away_is_no_refusal() -> None:
    class Away:
        async def of_assertion(self, text: str) -> None:
            raise Unavailable("the database does not answer")

    answer = await Client(Away()).ask(grant_type=JWT_BEARER, assertion="x")
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


async def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "PATIENCE_SECONDS", 0.01)
    sent: list[Any] = []

    async def never() -> Any:
        await asyncio.Event().wait()

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", FORM.encode())]}
    await GoogleTokenEndpoint(None)(scope, gone, send)  # type: ignore[arg-type]
    assert sent == []
    await GoogleTokenEndpoint(None)(scope, never, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 408
