"""Secrets through the SDK, and the ways to write what a job wants of them."""

from __future__ import annotations

import pytest

import heliostat
from heliostat.client import InvalidRequest, NotFound
from heliostat.client.job_requests import submission
from heliostat.client.secret_names import parse
from heliostat.testing.harness import HarnessServer

LISTED = {"group": "db", "key": "password", "version": "2", "variables": ["PASSWORD"]}


def test_a_secret_is_set_listed_and_deleted(client: heliostat.Client) -> None:
    made = client.secrets.set("sdk/db", "password", "hunter2", version="2")
    assert (made.name, made.modifier) == ("sdk/db/password@2", client.me().name) and "hunter2" not in repr(made)
    assert client.secrets.list("sdk/db") == [made] and made in client.secrets.list()
    with pytest.raises(NotFound, match="secret 'sdk/db/password'"):
        client.secrets.delete("sdk/db", "password")
    client.secrets.delete("sdk/db", "password", version="2")
    assert client.secrets.list("sdk/db") == []
    with pytest.raises(InvalidRequest) as refused:
        client.secrets.set("sdk", "password", "")
    assert refused.value.path == "value"


async def test_the_same_asynchronously_and_a_job_that_wants_one(server: HarnessServer) -> None:
    async with heliostat.AsyncClient(server.url, server.token, server.workspace) as client:
        with pytest.raises(InvalidRequest, match="heliostat secret set sdk/token") as refused:
            await client.jobs.submit("true", secrets={"TOKEN": "sdk/token"})
        assert refused.value.path == "secrets[0]"
        await client.secrets.set("sdk", "token", "hunter2")
        job = await client.jobs.submit("true", secrets={"TOKEN": "sdk/token"})
        [wanted] = job.info.secrets
        assert (wanted.group, wanted.key, wanted.variables, wanted.file) == ("sdk", "token", ("TOKEN",), "")
        await job.cancel()
        await client.secrets.delete("sdk", "token")


def test_how_a_job_says_what_it_wants() -> None:
    short = {"PASSWORD": "db/password@2", "PGPASSWORD": "db/password@2", "USER": "prod/db/user"}
    body, _, _ = submission("true", {"secrets": short})
    assert body["secrets"] == [
        LISTED | {"variables": ["PASSWORD", "PGPASSWORD"]},
        {"group": "prod/db", "key": "user", "version": "", "variables": ["USER"]},
    ]
    assert submission("true", {"secrets": [LISTED]})[0]["secrets"] == [LISTED]
    assert "secrets" not in submission("true", {"secrets": None})[0]
    with pytest.raises(InvalidRequest) as refused:
        submission("true", {"secrets": {"PASSWORD": "password"}})
    assert refused.value.path == "secrets.PASSWORD"


@pytest.mark.parametrize("text", ["", "password", "/password", "db/", "db/password@"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="GROUP/KEY"):
        parse(text)
