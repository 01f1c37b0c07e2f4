"""The demo: its folder, its job, and that nothing is left behind whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from heliostat.cli.demo import job
from heliostat.cli.demo.place import Busy, Note, Place, birth

RESULT = {
    "ray": "2.60.0",
    "pi": 3.14,
    "reports": [{"node": str(n) * 8, "kind": "head", "pid": n, "hits": 157, "samples": 200} for n in (1, 2, 3)],
}


class FakeRay:
    """Ray's Jobs API as the demo uses it."""

    def __init__(self) -> None:
        self.statuses = ["PENDING", "RUNNING", "SUCCEEDED"]
        self.logs = f"some noise\n{job.MARK}{json.dumps(RESULT)}\n"
        self.tokens: set[str | None] = set()
        self.entrypoint = ""

    def answer(self, method: str, path: str, body: Any) -> dict[str, Any]:
        if method == "POST":
            self.entrypoint = body["entrypoint"]
            return {"submission_id": "raysubmit_1"}
        if path.endswith("/logs"):
            return {"logs": self.logs}
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"status": status, "message": f"it is {status}"}


@pytest.fixture
def ray() -> Iterator[tuple[FakeRay, str]]:
    fake = FakeRay()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            fake.tokens.add(self.headers.get("ray-token"))
            content = json.dumps(fake.answer(self.command, self.path, body)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def run(address: str, **options: Any) -> job.Result:
    with contextlib.closing(job.Jobs(address, "secret")) as jobs:
        return job.run(jobs, **{"deadline": time.monotonic() + 30, "check": lambda: None, **options})


class TestJob:
    def test_the_result_is_read_from_the_log(self, ray: tuple[FakeRay, str]) -> None:
        result = run(ray[1])
        assert (result.ray, result.pi, len(result.reports)) == ("2.60.0", 3.14, 3)
        assert ray[0].tokens == {"secret"}

    def test_the_entrypoint_is_one_shell_command_that_holds_the_script(self) -> None:
        script = job.ENTRYPOINT.replace("python -c ", "printf %s ", 1)
        told = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
        assert told.stdout == job.SCRIPT
        compile(job.SCRIPT, "job", "exec")

    def test_a_failed_job_tells_rays_message_and_the_end_of_the_log(self, ray: tuple[FakeRay, str]) -> None:
        ray[0].statuses, ray[0].logs = ["FAILED"], "Traceback ...\nValueError: no\n"
        with pytest.raises(
            job.JobFailed, match=r"ended as failed: it is FAILED\n    Traceback ...\n    ValueError: no"
        ):
            run(ray[1])

    def test_a_job_without_result_failed(self, ray: tuple[FakeRay, str]) -> None:
        ray[0].logs = "nothing\n"
        with pytest.raises(job.JobFailed, match="without its result"):
            run(ray[1])

    def test_a_job_that_does_not_end_is_given_up(self, ray: tuple[FakeRay, str]) -> None:
        ray[0].statuses = ["RUNNING"]
        with pytest.raises(TimeoutError, match="still running"):
            run(ray[1], deadline=time.monotonic())


class TestPlace:
    def test_the_folder_below_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert Place.chosen(str(tmp_path)).root == tmp_path / "demo"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert Place.chosen(None).root == tmp_path / "cache" / "heliostat" / "demo"

    def test_a_demo_finds_itself_when_home_is_its_own_folder(self, tmp_path: Path) -> None:
        place = Place(tmp_path / "demo")
        place.root.mkdir()
        place.write(Note(1, 1, "http://127.0.0.1:1"))
        assert Place.chosen(str(place.root)).root == place.root

    def test_a_real_servers_folder_is_never_taken_for_a_demo(self, tmp_path: Path) -> None:
        home = tmp_path / "demo"
        home.mkdir()
        (home / "credentials.json").write_text("{}")
        assert Place.chosen(str(home)).root == home / "demo"

    def test_everything_goes_but_the_environments(self, tmp_path: Path) -> None:
        place = Place(tmp_path / "demo")
        with place.claimed():
            for name in ("heliostat.db", "local/t/1/socket", "local/environments/ray/bin/python", "credentials.json"):
                (place.root / name).parent.mkdir(parents=True, exist_ok=True)
                (place.root / name).touch()
            place.clear()
        assert [str(path.relative_to(place.root)) for path in sorted(place.root.rglob("*")) if path.is_file()] == [
            "local/environments/ray/bin/python"
        ]

    def test_without_environments_the_folder_goes_too(self, tmp_path: Path) -> None:
        place = Place(tmp_path / "demo")
        with place.claimed():
            (place.root / "heliostat.db").touch()
            place.clear()
        assert not place.root.exists()

    def test_two_demos_do_not_share_it(self, tmp_path: Path) -> None:
        place = Place(tmp_path)
        with place.claimed(), pytest.raises(Busy), place.claimed():
            pass
        with place.claimed():
            pass

    def test_the_lock_is_released_after_an_error(self, tmp_path: Path) -> None:
        place = Place(tmp_path)
        with pytest.raises(ZeroDivisionError), place.claimed():
            raise ZeroDivisionError
        with place.claimed():
            pass

    def test_a_note_knows_its_process_from_a_later_one_with_the_same_number(self) -> None:
        born = birth(os.getpid())
        assert born is not None
        assert Note(os.getpid(), born, "").alive
        assert not Note(os.getpid(), born + 1, "").alive

    def test_a_spoilt_note_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "demo.json").write_text('{"pid": 1, "colour": "red"}')
        assert Place(tmp_path).note() is None


def leftovers(home: Path) -> list[str]:
    """Processes that name the folder, other than this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if str(home / "demo").encode() in text and birth(int(entry.name)) is not None:
                    found.append(f"{entry.name}: {text[:200]!r}")
    return found


def demo(home: Path, *words: str, **environ: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HELIOSTAT_")}
    return subprocess.Popen(
        [sys.executable, "-m", "heliostat.cli.main", "demo", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment | {"HELIOSTAT_HOME": str(home), **environ},
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home folder whose demo is ended even when the test fails."""
    yield tmp_path
    if any(tmp_path.iterdir()):
        ended = demo(tmp_path, "--stop")
        ended.communicate(timeout=120)
    assert leftovers(tmp_path) == []


@pytest.mark.slow
class TestWithoutRay:
    """The simulated engine runs no Ray, so the play goes well until the job is submitted."""

    def test_a_failure_tells_the_cause_with_the_servers_log_and_leaves_nothing(self, home: Path) -> None:
        play = demo(home, HELIOSTAT_ENGINE="simulated")
        out, err = play.communicate(timeout=120)
        assert play.returncode == 1, err
        assert "502" in err
        assert "the server's log ends with:" in err
        assert "✓ clean up" in err
        assert "Traceback" not in err
        assert out == ""
        assert leftovers(home) == []
        assert list(home.iterdir()) == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_an_interrupted_demo_cleans_up(self, home: Path, number: signal.Signals, tmp_path: Path) -> None:
        play = demo(home, HELIOSTAT_ENGINE="simulated")
        place = Place(home / "demo")
        deadline = time.monotonic() + 60
        while place.note() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        play.send_signal(number)
        _, err = play.communicate(timeout=120)
        assert play.returncode == 130, err
        assert "✓ clean up" in err
        assert leftovers(home) == []
        assert list(home.iterdir()) == []

    def test_the_next_demo_clears_up_after_one_that_was_killed(self, home: Path) -> None:
        killed = demo(home, HELIOSTAT_ENGINE="simulated")
        place = Place(home / "demo")
        deadline = time.monotonic() + 60
        while not place.credentials.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        killed.kill()
        killed.communicate()
        note = place.note()
        assert note is not None and note.alive
        again = demo(home, HELIOSTAT_ENGINE="simulated")
        _, err = again.communicate(timeout=120)
        assert "502" in err, "it came as far as without the earlier one"
        assert not note.alive
        assert list(home.iterdir()) == []

    def test_nothing_to_stop_is_no_error(self, home: Path) -> None:
        play = demo(home, "--stop")
        _, err = play.communicate(timeout=60)
        assert play.returncode == 0
        assert "no demo is running" in err
        assert list(home.iterdir()) == []


@pytest.mark.slow
@pytest.mark.ray
class TestWithRay:
    def test_the_whole_play_kept_and_ended(self, home: Path) -> None:
        play = demo(home, KEEP="1")
        out, err = play.communicate(timeout=280)
        assert play.returncode == 0, err
        assert out.count("points inside") == 3
        assert "pi is about 3.1" in out
        assert "dashboard  http://c-ray-" in out
        for step in ("environment", "head", "workers"):
            assert step in err
        assert "demo --stop" in err
        second = demo(home)
        _, told = second.communicate(timeout=60)
        assert second.returncode == 4
        assert "still running" in told
        stop = demo(home, "--stop")
        _, told = stop.communicate(timeout=120)
        assert stop.returncode == 0, told
        assert leftovers(home) == []
        kept = sorted(str(path.relative_to(home)) for path in home.glob("*/*/*"))
        assert kept == ["demo/local/environments"]
