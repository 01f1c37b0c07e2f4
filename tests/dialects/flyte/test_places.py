"""Projects and domains, and the workspaces that stand for them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from heliostat.dialects.flyte import names
from heliostat.dialects.flyte.errors import FlyteError
from heliostat.dialects.flyte.places import Places
from heliostat.dialects.flyte.settings import FlyteSettings
from heliostat.domain.records import Role
from tests.services.conftest import Office, database, office

__all__ = ["database", "office"]


async def found(office: Office, project: str, domain: str, who: str = "ann", **settings: object) -> str:
    places = Places(office.services, FlyteSettings(**settings))  # type: ignore[arg-type]
    return (await places.workspace(await office.caller(who), project, domain)).name


async def test_names_of_workspaces(office: Office) -> None:
    ann = await office.caller("ann")
    for name in ("team", "team-production", "other"):
        office.clock.advance(seconds=1)
        await office.services.directory.create_workspace(ann, name)
    assert await found(office, "team", "production") == "team-production"
    assert await found(office, "team", "staging") == "team"
    assert await found(office, "unknown", "staging") == "default"  # the oldest
    assert await found(office, "", "") == "default"
    assert await found(office, "unknown", "staging", workspace="other") == "other"
    written = {"team/production": "other", "a*/development": "team", "*": "default"}
    assert await found(office, "team", "production", workspaces=written) == "other"
    assert await found(office, "abc", "development", workspaces=written) == "team"
    assert await found(office, "team", "staging", workspaces=written) == "default"


async def test_workspaces_of_others_are_as_if_they_were_not_there(office: Office) -> None:
    await office.services.directory.create_workspace(await office.caller("ann"), "team")
    assert await found(office, "team", "production", who="editor") == "default"
    for settings in ({"workspace": "team"}, {"workspaces": {"team/*": "team"}}, {"workspace": "nothere"}):
        with pytest.raises(FlyteError, match="workspace grant") as caught:
            await found(office, "team", "production", who="editor", **settings)
        assert caught.value.status == "PERMISSION_DENIED"
    assert await found(office, "team", "production", who="viewer") == "default"
    with pytest.raises(FlyteError, match="has a role") as caught:
        await found(office, "team", "production", who="nobody")
    assert caught.value.status == "NOT_FOUND"


async def test_the_oldest_of_many(office: Office) -> None:
    ann = await office.caller("ann")
    for number in range(3):
        office.clock.advance(seconds=timedelta(seconds=1).total_seconds())
        made = await office.services.directory.create_workspace(ann, f"w{number}")
        if number:
            await office.services.identity.grant(ann, made.id, "nobody", Role.EDITOR)
    assert await found(office, "p", "d", who="nobody") == "w1"


async def test_overlong_names(office: Office) -> None:
    with pytest.raises(FlyteError, match="project"):
        await found(office, "x" * 201, "d")


def test_keys_are_unique_and_come_back() -> None:
    for parts in (("p", "d", "n"), ("p", "d", "a/b", "v 1"), ("p/d", "n", "v"), ("", "", "%2F|", "\N{SNOWMAN}")):
        assert names.parts(names.key(*parts)) == parts
    assert names.key("p", "d", "wf.my_task", "v-1") == "p/d/wf.my_task/v-1"
    assert len({names.key("a/b", "c"), names.key("a", "b/c"), names.key("a", "b", "c")}) == 3


def test_names_of_executions() -> None:
    made = {names.new_execution_name() for _ in range(200)}
    assert len(made) == 200
    assert all(len(name) == 20 and name[0].isalpha() and name.isalnum() and name.islower() for name in made)
