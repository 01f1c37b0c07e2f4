"""The first start and the credentials file that it leaves."""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from heliostat.domain.errors import NotReady
from heliostat.domain.ids import InstanceId
from heliostat.domain.installation import Installation
from heliostat.engines.simulated import SimulatedEngine
from heliostat.first_start import KEYS, keep_credentials_file, keep_to_one_database, keep_to_one_home, make_home
from heliostat.services import Caller, Services
from heliostat.store import Store, StoreSettings
from heliostat.testing.clock import ManualClock
from heliostat.testing.tools import job_tools

from .conftest import BOTH

HERE = "http://127.0.0.1:8600"


@pytest_asyncio.fixture
async def services(database: str, tmp_path: Path) -> AsyncIterator[Services]:
    store = await Store.open(StoreSettings(database, tmp_path / "key"))
    try:
        tools = job_tools(tmp_path)
        yield Services.build(store, Installation(), SimulatedEngine(), ManualClock(), lambda cluster: None, tools)
    finally:
        await store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "credentials.json"


async def start(services: Services, file: Path, endpoint: str = HERE) -> dict[str, str]:
    await keep_credentials_file(services, file, endpoint, "ann")
    content: dict[str, str] = json.loads(file.read_text())
    return content


@BOTH
async def test_the_first_start_leaves_what_a_client_needs(services: Services, file: Path) -> None:
    made = await start(services, file)
    assert set(made) == set(KEYS) and made["endpoint"] == HERE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    ann = await services.identity.by_token(made["token"])
    assert ann.admin and ann.name == "ann"
    found = await services.identity.access_key(made["access_key_id"])
    assert found is not None and found[1] == ann and found[2].reveal() == made["access_key_secret"]
    workspaces = await services.directory.workspaces(Caller(ann))
    assert [row.id for row in workspaces] == [made["workspace_id"]]
    queues = await services.queues.list(Caller(ann), workspaces[0].id)
    assert [view.queue.name for view in queues] == ["root_queue"]


async def test_later_starts_change_nothing(services: Services, file: Path) -> None:
    made = await start(services, file)
    seen = file.stat()
    assert await start(services, file) == made
    assert file.stat().st_mtime_ns == seen.st_mtime_ns
    ann = await services.identity.by_token(made["token"])
    assert len(await services.identity.keys(Caller(ann))) == 2


async def test_another_port_changes_the_endpoint_alone(services: Services, file: Path) -> None:
    made = await start(services, file)
    assert await start(services, file, "http://127.0.0.1:9000") == made | {"endpoint": "http://127.0.0.1:9000"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_file_that_others_can_read_is_closed_again(services: Services, file: Path) -> None:
    await start(services, file)
    file.chmod(0o644)
    await start(services, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_lost_file_is_made_anew_for_the_same_admin_and_the_same_workspace(
    services: Services, file: Path
) -> None:
    made = await start(services, file)
    ann = Caller(await services.identity.by_token(made["token"]))
    clock = services.clock
    assert isinstance(clock, ManualClock)
    clock.advance(seconds=5)
    await services.directory.create_workspace(ann, "newer")
    file.unlink()
    renewed = await start(services, file)
    assert renewed["workspace_id"] == made["workspace_id"]
    assert renewed["token"] != made["token"] and renewed["access_key_id"] != made["access_key_id"]
    assert await services.identity.by_token(renewed["token"]) == ann.principal
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "{}", '{"endpoint": 1}', '{"endpoint": "http://h"}', "\xff"]
)
async def test_a_file_that_is_not_ours_is_left_alone_and_named(services: Services, file: Path, content: str) -> None:
    await start(services, file)
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(NotReady, match=r"credentials\.json cannot be read .* remove it to have new ones made"):
        await start(services, file)
    assert file.read_bytes() == content.encode("latin-1")
    file.unlink()
    await start(services, file)


async def test_a_file_that_cannot_be_written_is_told(services: Services, file: Path) -> None:
    """As on a full disk; the next start then makes new keys."""
    obstacle = file.with_name("credentials.json.new")
    obstacle.mkdir()
    with pytest.raises(NotReady, match=r"credentials\.json cannot be written"):
        await start(services, file)
    obstacle.rmdir()
    await start(services, file)


class HasInstances(SimulatedEngine):
    async def discover(self) -> list[InstanceId]:
        return [InstanceId("ray-aaaaaaaaaaaaaaaa-bbbbbbbb")]


async def test_another_database_does_not_make_orphans_of_what_runs(tmp_path: Path) -> None:
    await keep_to_one_database(tmp_path, "first", HasInstances())
    await keep_to_one_database(tmp_path, "first", HasInstances())
    with pytest.raises(NotReady, match="belong to another database"):
        await keep_to_one_database(tmp_path, "second", HasInstances())
    await keep_to_one_database(tmp_path, "second", SimulatedEngine())
    await keep_to_one_database(tmp_path, "second", HasInstances())


@BOTH
async def test_a_second_machine_cannot_start_the_clusters_of_the_first_again(database: str, tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        home.mkdir()
    store = await Store.open(StoreSettings(database, tmp_path / "key"))
    await keep_to_one_home(homes[0], store)
    with pytest.raises(NotReady, match="another home folder"):
        await keep_to_one_home(homes[1], store)
    await keep_to_one_home(homes[0], store)
    await store.close()


@BOTH
async def test_a_database_is_known_by_its_own_name(database: str, tmp_path: Path) -> None:
    names = []
    for url in (database, database, f"sqlite:///{tmp_path}/other.db"):
        store = await Store.open(StoreSettings(url, b"k" * 32))
        names.append(store.name)
        await store.close()
    assert names[0] == names[1] != names[2]


async def test_first_start_happens_once(services: Services) -> None:
    assert await services.identity.first_start("ann") is not None
    assert await services.identity.first_start("ann") is None
    assert await services.identity.first_start("bob") is None


def test_the_home_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    make_home(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    home.chmod(0o755)
    make_home(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(NotReady, match="--home"):
        make_home(tmp_path / "file" / "home")
