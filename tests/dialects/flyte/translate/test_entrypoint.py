"""The shell command around a task, run by real shells."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliostat.dialects.flyte.translate.entrypoint import entrypoint
from heliostat.domain.secrets import FILES

SHELLS = [shell for shell in ("sh", "bash") if shutil.which(shell)]
TELL = (
    "import json, os, sys; "
    "json.dump([sys.argv[2:], os.getcwd(), sorted(os.listdir()), dict(os.environ)], open(sys.argv[1], 'w'))"
)


def run(
    text: str, folder: Path, env: dict[str, str] | None = None, shell: str = "sh"
) -> subprocess.CompletedProcess[bytes]:
    """As Ray does it: in some folder, by a shell."""
    old = folder / "old"
    old.mkdir(exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    around = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TMPDIR": str(folder / "tmp"), **(env or {})}
    return subprocess.run([shell, "-c", text], cwd=old, env=around, capture_output=True, timeout=60, check=False)


def text(
    *argv: str, working_dir: bool = False, secret_files: bool = False, secret_paths: dict[str, str] | None = None
) -> str:
    return entrypoint(
        argv, "rj-1/../x y", working_dir=working_dir, secret_files=secret_files, secret_paths=secret_paths or {}
    )


WORDS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12), max_size=4)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WORDS)
def test_arguments_arrive_as_they_are(tmp_path: Path, words: list[str]) -> None:
    telling = tmp_path / "told"
    done = run(text(sys.executable, "-c", TELL, str(telling), *words), tmp_path, {"LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stderr
    assert json.loads(telling.read_text())[0] == words


@pytest.mark.parametrize("shell", SHELLS)
def test_a_fresh_folder_for_awkward_arguments(tmp_path: Path, shell: str) -> None:
    words = [
        "",
        " ",
        "a b",
        "'",
        '"',
        '""',
        "$HOME",
        "`id`",
        "$(id)",
        "new\nline",
        "\\",
        "*",
        "-n",
        "é",
        ";&|<>",
        "#",
        "~",
    ]
    telling = tmp_path / "told"
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "theirs.py").write_text("")
    env = {"LC_ALL": "C.UTF-8", "status": "mine", "folder": "mine", "child": "mine", "VIRTUAL_ENV": "/venv"}
    done = run(text(sys.executable, "-c", TELL, str(telling), *words), tmp_path, env, shell)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    argv, cwd, files, seen = json.loads(telling.read_text())
    assert argv == words and files == []
    assert Path(cwd).is_relative_to(tmp_path / "tmp") and not Path(cwd).exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert seen["PATH"].startswith("/venv/bin:") and seen["status"] == seen["folder"] == seen["child"] == "mine"
    assert FILES not in seen and not [name for name in seen if name.startswith("_heliostat")]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_working_dir_is_laid_into_the_folder(tmp_path: Path, shell: str) -> None:
    old = tmp_path / "old"
    (old / "package").mkdir(parents=True)
    (old / ".hidden").write_text("h")
    (old / "package" / "a b.py").write_text("x")
    telling = tmp_path / "told"
    assert run(text(sys.executable, "-c", TELL, str(telling), working_dir=True), tmp_path, None, shell).returncode == 0
    assert json.loads(telling.read_text())[2] == [".hidden", "package"]
    assert (old / "package" / "a b.py").read_text() == "x", "what was there stays"


def test_files_of_secrets_are_beside_the_folder_and_for_their_owner_alone(tmp_path: Path) -> None:
    look = (
        "import json, os, sys; base = os.environ['FLYTE_SECRETS_DEFAULT_DIR']; path = os.environ['KEY_FILE']; "
        "json.dump([open(path, newline='').read(), oct(os.stat(path).st_mode & 0o777), os.path.relpath(path, base), "
        f"os.path.relpath(base), os.listdir(), '{FILES}' in os.environ, os.listdir(base)], open(sys.argv[1], 'w'))"
    )
    telling = tmp_path / "told"
    value = "line\r\n $x 'é'"
    env = {FILES: json.dumps({"a b/$key": value, "other/key": "2"}), "LC_ALL": "C.UTF-8"}
    command = text(sys.executable, "-c", look, str(telling), secret_files=True, secret_paths={"KEY_FILE": "a b/$key"})
    done = run(command, tmp_path, env)
    assert (done.returncode, done.stderr) == (0, b"")
    *found, names = json.loads(telling.read_text())
    assert found == [value, "0o600", "a b/$key", "../secrets", [], False] and sorted(names) == ["a b", "other"]
    assert value not in command and list((tmp_path / "tmp").iterdir()) == []


def test_without_the_secrets_it_does_not_begin(tmp_path: Path) -> None:
    done = run(text("sh", "-c", "touch ../../../began", secret_files=True), tmp_path)
    assert done.returncode == 1 and not (tmp_path / "began").exists() and list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("echo x > file; exit 255", 255), ("kill -9 $$", 137)]
)
def test_the_status_is_the_tasks_and_the_folder_goes(tmp_path: Path, shell: str, script: str, status: int) -> None:
    done = run(text("/bin/sh", "-c", script), tmp_path, None, shell)
    assert done.returncode == status and list((tmp_path / "tmp").iterdir()) == []
    assert run(text("no-such-program"), tmp_path, None, shell).returncode == 127


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("polite", [True, False], ids=["ends by the signal", "ends by itself after it"])
def test_a_stop_reaches_the_task_and_the_folder_goes(tmp_path: Path, shell: str, polite: bool) -> None:
    script = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n    time.sleep(0.2); pathlib.Path(sys.argv[1] + '.end').touch(); sys.exit(7)\n"
        + ("" if polite else "signal.signal(signal.SIGTERM, end)\n")
        + "pathlib.Path(sys.argv[1]).touch()\ntime.sleep(60)\n"
    )
    began = tmp_path / "began"
    (tmp_path / "tmp").mkdir()
    command = text(sys.executable, "-c", script, str(began))
    process = subprocess.Popen([shell, "-c", command], env={**os.environ, "TMPDIR": str(tmp_path / "tmp")})
    deadline = time.monotonic() + 30
    while not began.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == (143 if polite else 7)
    assert (tmp_path / "began.end").exists() is not polite
    assert list((tmp_path / "tmp").iterdir()) == []
