"""``heliostat run`` and ``heliostat job`` on real Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.test_crashes_real import Killable, killable, processes_of, until

from .terminal import CTRL_C, Terminal

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(280)]
SHAPE = ("--cpu", "1", "--memory", "1Gi")


@pytest.fixture(scope="module")
def ray_server(tmp_path_factory: pytest.TempPathFactory, ray_environments_folder: Path) -> Iterator[Killable]:
    """One for all; each test sees to it that nothing of its own is left."""
    with killable(tmp_path_factory.mktemp("real"), ray_environments_folder) as server:
        yield server


@pytest.fixture
def home(ray_server: Killable, monkeypatch: pytest.MonkeyPatch) -> Killable:
    """A real server whose credentials the program finds."""
    monkeypatch.setenv("HELIOSTAT_HOME", str(ray_server.home))
    return ray_server


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def heliostat(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "heliostat.cli.main", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=200, cwd=cwd, env=os.environ)


def gone(home: Killable) -> None:
    """Nothing is left of a cluster that was made for a job."""
    until(lambda: not json.loads(heliostat("cluster", "list", "--all", "-o", "json").stdout), "the cluster is gone")
    assert home.process is not None
    server = home.process.pid
    left = [row for row in processes_of(home.home) if parent(int(row.split()[0])) != server]
    assert left == [], "the server's own child, which forks what starts a node, stays for the next start"
    assert list((home.home / "local" / "i").iterdir()) == []


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_run_passes_on_output_and_exit_code_and_leaves_nothing(home: Killable, code: Path) -> None:
    (code / "helper.py").write_text("def square(x):\n    return x * x\n")
    (code / "train.py").write_text(
        "import os, ray, sys\n"
        "from helper import square\n"
        "print('begin', sys.argv[1:], os.environ['MODE'] == 'hush')\n"
        "ray.init(log_to_driver=False)\n"
        "task = ray.remote(num_cpus=1)(square)\n"
        "for number in range(5):\n"
        "    print('square', ray.get(task.remote(number)))\n"
        "print('end', file=sys.stderr)\n"
        "sys.exit(3)\n"
    )
    done = heliostat("run", str(code / "train.py"), "--workers", "1", *SHAPE, "--env", "MODE=hush", "--", "--lr", "a b")
    assert done.returncode == 3, done.stderr
    words = [line for line in done.stdout.splitlines() if line.split(" ")[0] in ("begin", "square", "end")]
    assert words == [
        "begin ['--lr', 'a b'] True",
        *(f"square {n * n}" for n in range(5)),
        "end",
    ]
    assert "cluster" in done.stderr
    assert "heliostat job why rj-" in done.stderr
    gone(home)


def test_a_folder_is_packed_as_its_rayignore_says(home: Killable, code: Path) -> None:
    (code / "main.py").write_text("import os\nprint('files', sorted(os.listdir('.')))\nraise SystemExit(0)\n")
    (code / ".rayignore").write_text("*.bin\ndata/\n")
    (code / "weights.bin").write_bytes(b"0" * 1000)
    (code / "data").mkdir()
    (code / "data" / "rows.csv").touch()
    words = ("job", "submit", *SHAPE, "--working-dir", ".", "--follow", "--", "python", "main.py")
    done = heliostat(*words, cwd=code)
    assert done.returncode == 0, done.stderr
    told = next(line for line in done.stdout.splitlines() if line.startswith("files"))
    assert "main.py" in told and "weights.bin" not in told and "data" not in told
    gone(home)
    job = json.loads(heliostat("job", "list", "-o", "json").stdout)[0]
    assert told in heliostat("job", "logs", job["id"], "--grep", "^files").stdout


def test_ctrl_c_cancels_a_job_and_its_cluster_goes(home: Killable, code: Path, tmp_path: Path) -> None:
    (code / "long.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    out = tmp_path / "out"
    with Terminal("run", str(code / "long.py"), *SHAPE, out=out) as terminal:
        terminal.until("nodes up", seconds=120)
        until(lambda: "begun" in out.read_text(), "the script has begun")
        terminal.press(CTRL_C)
        terminal.until("Cancel the job? [y/N]")
        terminal.press(b"y\n")
        assert terminal.end() == 143, terminal.shown
    gone(home)
