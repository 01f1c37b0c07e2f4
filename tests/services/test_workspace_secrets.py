"""Secrets of a workspace: who may set them, and which jobs are taken that ask for them."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest
import structlog

from heliostat.domain.errors import InvalidRequest, InvalidSpec, NotFound, QuotaExceeded
from heliostat.domain.installation import Installation
from heliostat.domain.secret import Secret
from heliostat.domain.secrets import MAX_VALUE_BYTES, JobSecret, SecretName
from heliostat.services import JobWish, Services, secrets
from heliostat.testing.tools import job_tools

from .conftest import BOTH, Office, spec

NAME = SecretName("db", "password")
WANTED = JobSecret("db", "password", variables=("PASSWORD",))
VALUE = Secret("correct horse battery")


@pytest.fixture
def services(office: Office, tmp_path: Path) -> Services:
    return Services.build(
        office.store, Installation(), office.engine, office.clock, office.woken.append, job_tools(tmp_path)
    )


@BOTH
async def test_what_is_told_of_a_secret_is_who_and_when(office: Office) -> None:
    service, editor = office.services.secrets, await office.caller("editor")
    with structlog.testing.capture_logs() as logged:
        made = await service.set(editor, office.workspace, NAME, VALUE)
        office.clock.advance(seconds=5)
        again = await service.set(await office.caller("owner"), office.workspace, NAME, Secret("another"))
        assert await service.list(editor, office.workspace) == [again]
        await service.delete(editor, office.workspace, NAME)
    assert (made.name, made.modifier_name, again.modifier_name) == (NAME, "editor", "owner")
    assert again.modified_at > made.modified_at
    events = [(row["event"], row["secret"], row["principal"]) for row in logged]
    assert events == [
        ("secret set", "db/password", "editor"),
        ("secret set", "db/password", "owner"),
        ("secret deleted", "db/password", "editor"),
    ]
    assert VALUE.reveal() not in str(logged) and VALUE.reveal() not in repr(made)
    with pytest.raises(NotFound, match="secret 'db/password'"):
        await service.delete(editor, office.workspace, NAME)


async def test_a_bad_name_or_value_is_refused(office: Office) -> None:
    editor = await office.caller("editor")
    for name, value, path in ((SecretName("", "k"), "v", "group"), (NAME, "", "value"), (NAME, "hunter2\0", "value")):
        with pytest.raises(InvalidRequest) as refused:
            await office.services.secrets.set(editor, office.workspace, name, Secret(value))
        assert refused.value.path == path and "hunter2" not in str(refused.value)


async def test_a_workspace_has_room_for_so_many(office: Office) -> None:
    editor, service = await office.caller("editor"), office.services.secrets
    with patch.object(secrets, "MAX_IN_WORKSPACE", 2):
        for key in ("a", "b"):
            await service.set(editor, office.workspace, SecretName("g", key), VALUE)
        with pytest.raises(QuotaExceeded, match="at most 2"):
            await service.set(editor, office.workspace, SecretName("g", "c"), VALUE)
        await service.set(editor, office.workspace, SecretName("g", "b"), Secret("a change takes no room"))


@BOTH
async def test_a_job_may_ask_for_what_its_workspace_has(office: Office, services: Services) -> None:
    editor = await office.caller("editor")
    wish = JobWish("true", cluster_spec=spec(), secrets=(WANTED, JobSecret("db", "user", "2", ("DB_USER",))))
    await services.secrets.set(editor, office.workspace, NAME, VALUE)
    elsewhere = await services.directory.create_workspace(await office.caller("ann"), "other")
    await services.secrets.set(await office.caller("ann"), elsewhere.id, SecretName("db", "user", "2"), VALUE)
    with pytest.raises(InvalidSpec, match="heliostat secret set db/user@2") as refused:
        await services.jobs.submit(editor, office.workspace, wish)
    assert refused.value.path == "secrets[1]"
    assert await services.jobs.count(editor, office.workspace) == 0
    await services.secrets.set(editor, office.workspace, SecretName("db", "user", "2"), Secret("ada"))
    made = await services.jobs.submit(editor, office.workspace, wish)
    assert made.spec.secrets == wish.secrets
    view = await services.jobs.get(await office.caller("viewer"), office.workspace, made.id)
    assert view.job.spec.secrets == wish.secrets, "names are shown to every reader"


async def test_a_job_that_asks_for_more_than_a_process_takes_is_refused(office: Office, services: Services) -> None:
    editor = await office.caller("editor")
    large = JobSecret("g", "large", variables=("A",), file="a")
    await services.secrets.set(editor, office.workspace, large.name, Secret("x" * MAX_VALUE_BYTES))
    with pytest.raises(InvalidSpec, match="room for") as refused:
        await services.jobs.submit(editor, office.workspace, JobWish("true", cluster_spec=spec(), secrets=(large,)))
    assert refused.value.path == "secrets"
