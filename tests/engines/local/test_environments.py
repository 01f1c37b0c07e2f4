"""Building environments, with a uv that only pretends; and its way of telling how far it is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from heliostat.domain.errors import NotReady
from heliostat.domain.releases import Release
from heliostat.engines.local import environments as module
from heliostat.engines.local import interpreters
from heliostat.engines.local.clock import SystemClock
from heliostat.engines.local.environments import MARKER, Environments, key
from heliostat.engines.local.interpreters import ABSENCE_REMEMBERED_SECONDS, Interpreters, find_python
from heliostat.engines.local.uv import UvFailed, phrase, run

from .kit import FastClock

RELEASE = Release("ray-1.3.1", "2.60.0", "3.11")

PRETENDED = """#!/bin/sh
echo "$@" >> "{log}"
case "$1" in
  python) echo "{python}"; exit 0 ;;
  venv) for last in "$@"; do :; done; mkdir -p "$last/bin"; ln -s "{python}" "$last/bin/python"; exit 0 ;;
esac
printf 'Resolved 2 packages in 5ms\\r\\n'
[ -e "{folder}/hang" ] && {{ sleep 600 & echo $! > "{folder}/child"; wait; }}
printf '\\033[37m-\\033[0m Preparing packages... (1/2)\\r'
printf '[1/2] Installing wheels...\\r[2/2] ray==2.60.0\\r'
if [ -e "{folder}/fail" ]; then
  echo "error: no luck with https://me:secret@index.example/simple" >&2
  exit 2
fi
printf 'Installed 2 packages in 3ms\\r\\n'
"""


class PretendedUv:
    """A shell script in uv's place, told what to do by files beside it."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self.path = folder / "uv"
        self.log = folder / "log"
        self.path.write_text(PRETENDED.format(log=self.log, folder=folder, python=python))
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def installs(self) -> int:
        return sum(call.startswith("pip install") for call in self.calls)


@pytest.fixture
async def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretendedUv:
    import uv as real

    python = await find_python(real.find_uv_bin(), "3.11")
    assert python is not None
    (tmp_path / "uv").mkdir()
    pretended = PretendedUv(tmp_path / "uv", python)
    monkeypatch.setattr(module.uv_package, "find_uv_bin", lambda: str(pretended.path))
    return pretended


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    (tmp_path / "environments").mkdir()
    return Environments(tmp_path / "environments", lambda release: None, False, SystemClock())


async def test_an_environment_is_built_once_for_all_who_wait(environments: Environments, uv: PretendedUv) -> None:
    said: list[str] = []
    assert environments.state(RELEASE)[0] == "absent"
    found = await asyncio.gather(*(environments.ensure(RELEASE, said.append) for _ in range(3)))
    assert len(set(found)) == 1
    assert uv.installs() == 1
    assert environments.state(RELEASE)[0] == "ready"
    assert environments.find(RELEASE) == found[0]
    assert await environments.ensure(RELEASE) == found[0]
    assert uv.installs() == 1
    assert "downloading 1 of 2 packages" in said
    assert "installing 2 of 2 packages" in said
    assert "compiling bytecode" in said
    install = next(call for call in uv.calls if call.startswith("pip install"))
    assert "--compile-bytecode" in install
    assert install.endswith("ray[default]==2.60.0 pip virtualenv")


async def test_a_failed_build_tells_why_without_passwords_and_can_be_repeated(
    environments: Environments, uv: PretendedUv
) -> None:
    (uv.folder / "fail").touch()
    with pytest.raises(NotReady) as failure:
        await environments.ensure(RELEASE)
    assert "no luck with https://****@index.example" in failure.value.message
    assert "UV_DEFAULT_INDEX" in failure.value.message
    assert "Preparing" not in failure.value.message
    assert environments.state(RELEASE)[0] == "failed"
    assert environments.find(RELEASE) is None
    (uv.folder / "fail").unlink()
    await environments.ensure(RELEASE)
    assert environments.state(RELEASE)[0] == "ready"


async def test_a_build_that_nobody_waits_for_any_more_is_ended(environments: Environments, uv: PretendedUv) -> None:
    (uv.folder / "hang").touch()
    waiters = [asyncio.create_task(environments.ensure(RELEASE)) for _ in range(2)]
    async with asyncio.timeout(20):
        while not (uv.folder / "child").exists() or not (uv.folder / "child").read_text().strip():
            await asyncio.sleep(0.01)
    assert environments.state(RELEASE)[0] == "building"
    child = int((uv.folder / "child").read_text())
    waiters[0].cancel()
    await asyncio.wait([waiters[0]])
    assert Path(f"/proc/{child}").exists()
    waiters[1].cancel()
    await asyncio.wait([waiters[1]])
    async with asyncio.timeout(20):
        while runs(child):
            await asyncio.sleep(0.01)
    assert environments.state(RELEASE)[0] == "absent"
    assert environments.find(RELEASE) is None


async def test_who_comes_while_an_unwanted_build_ends_gets_a_new_one(
    environments: Environments, uv: PretendedUv
) -> None:
    (uv.folder / "hang").touch()
    first = asyncio.create_task(environments.ensure(RELEASE))
    async with asyncio.timeout(20):
        while not (uv.folder / "child").exists() or not (uv.folder / "child").read_text().strip():
            await asyncio.sleep(0.01)
    (uv.folder / "hang").unlink()
    first.cancel()
    await asyncio.sleep(0)
    found = await environments.ensure(RELEASE)
    assert environments.find(RELEASE) == found
    assert first.cancelled()


async def test_a_build_that_the_machine_does_not_let_begin_says_why(
    environments: Environments, uv: PretendedUv, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, value: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "replace_json", full)
    with pytest.raises(NotReady, match="No space left on device"):
        await environments.ensure(RELEASE)
    assert environments.state(RELEASE)[0] == "failed"


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_an_interrupted_build_is_swept(environments: Environments, uv: PretendedUv, tmp_path: Path) -> None:
    ready = await environments.ensure(RELEASE)
    half = tmp_path / "environments" / "ray-half"
    (half / "bin").mkdir(parents=True)
    environments.sweep()
    assert not half.exists()
    assert (ready / MARKER).exists()


async def test_a_missing_python_is_told_before_anything_is_built(environments: Environments) -> None:
    missing = Release("ray-1.3.1", "2.60.0", "3.99")
    problem = await environments.problem(missing)
    assert problem is not None
    assert "Python 3.99 is not installed" in problem
    assert "uv python install 3.99" in problem


class PythonSearch:
    """Searches of one version, with what they find and how often they were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there: Path | None = None
        self.made = 0
        self.clock = FastClock()
        self.remembered = Interpreters(self.clock)
        monkeypatch.setattr(interpreters, "find_python", self._find)

    async def _find(self, uv: str, version: str) -> Path | None:
        self.made += 1
        await asyncio.sleep(0)
        return self.there

    async def ask(self) -> Path | None:
        return await self.remembered.find("uv", "3.11")


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> PythonSearch:
    return PythonSearch(monkeypatch)


async def test_a_python_is_searched_once_until_it_vanishes(search: PythonSearch, tmp_path: Path) -> None:
    search.there = tmp_path / "python"
    search.there.touch(0o755)
    assert await asyncio.gather(*(search.ask() for _ in range(5))) == [search.there] * 5
    search.clock.advance(1e6)
    assert await search.ask() == search.there
    assert search.made == 1
    search.there.unlink()
    search.there = None
    assert await search.ask() is None
    assert search.made == 2
    assert await search.ask() is None
    assert search.made == 2


async def test_a_python_that_is_missing_is_searched_again_after_a_while(search: PythonSearch, tmp_path: Path) -> None:
    assert await asyncio.gather(*(search.ask() for _ in range(5))) == [None] * 5
    assert search.made == 1
    search.there = tmp_path / "python"
    search.there.touch(0o755)
    assert await search.ask() is None
    search.clock.advance(ABSENCE_REMEMBERED_SECONDS)
    assert await search.ask() == search.there
    assert search.made == 2


async def test_a_clock_that_was_set_back_does_not_make_an_absence_last(search: PythonSearch, tmp_path: Path) -> None:
    assert await search.ask() is None
    search.there = tmp_path / "python"
    search.there.touch(0o755)
    search.clock.advance(-1e6)
    assert await search.ask() == search.there


async def test_asking_for_a_problem_again_starts_no_process(
    environments: Environments, uv: PretendedUv, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await environments.problem(RELEASE) is None
    monkeypatch.setattr(asyncio, "create_subprocess_exec", None)
    assert await environments.problem(RELEASE) is None
    assert await environments.problem(Release("ray-1.0.1", "2.47.1", RELEASE.python)) is None


async def test_a_missing_uv_is_told(environments: Environments, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("uv")

    monkeypatch.setattr(module.uv_package, "find_uv_bin", nowhere)
    assert "pip install uv" in (await environments.problem(RELEASE) or "")


async def test_a_full_disk_is_told(
    environments: Environments, uv: PretendedUv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPACE_BYTES", 1 << 60)
    assert "free some space" in (await environments.problem(RELEASE) or "")


@pytest.mark.parametrize("ray", ["1.13.0", "2.9.3", "nonsense"])
async def test_a_ray_that_is_not_supported_is_told(environments: Environments, ray: str) -> None:
    assert await environments.problem(Release("ray-1.0.0", ray, "3.11"))


def test_environments_are_known_by_content() -> None:
    same = Release("ray-9.9.9", RELEASE.ray, RELEASE.python, stable=False)
    more = Release(RELEASE.name, RELEASE.ray, RELEASE.python, packages=("emoji",))
    assert key(same) == key(RELEASE) != key(more)


async def test_an_environment_made_by_somebody_else_is_taken(tmp_path: Path) -> None:
    environments = Environments(tmp_path, lambda release: tmp_path / "given", False, SystemClock())
    assert await environments.ensure(RELEASE) == tmp_path / "given"
    assert await environments.problem(RELEASE) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Resolving dependencies...", "resolving dependencies"),
        ("Preparing packages... (46/58)", "downloading 46 of 58 packages"),
        (
            "Preparing packages... (57/58)   ray   ----------  8.69 MiB/75.59 MiB",
            "downloading 57 of 58 packages (ray, 8.69 MiB of 75.59 MiB)",
        ),
        ("\u2588\u2591 [41/58] ray==2.60.0", "installing 41 of 58 packages"),
        ("Installed 58 packages in 57ms", "compiling bytecode"),
        ("error: nothing", ""),
    ],
)
def test_uv_output_becomes_a_phrase(text: str, said: str) -> None:
    assert phrase(text) == said


async def test_a_command_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(UvFailed, match="cannot be run"):
        await run([str(tmp_path / "nothing")], dict(os.environ), tmp_path, lambda said: None)


@pytest.mark.slow
async def test_the_real_uv_builds_a_real_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "requirements", lambda release: ["pip"])
    environments = Environments(tmp_path, lambda release: None, False, SystemClock())
    said: list[str] = []
    folder = await environments.ensure(RELEASE, said.append)
    assert list(folder.glob("lib/*/site-packages/pip/__pycache__/*.pyc"))
    assert said
