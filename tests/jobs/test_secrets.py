"""A secret of the workspace on real Ray: the program and its tasks have it, and nothing that is kept of the job shows it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from heliostat.domain.masking import MASK

from .support import Server, lines, settled, until

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(200)]

FIRST, SECOND = "open sesame", "the second word\nof two lines"
PROGRAM = """
import hashlib, os, pathlib, sys, time
import ray
ray.init(logging_level="ERROR")
print("driver", hashlib.sha256(os.environ["WORD"].encode()).hexdigest(), flush=True)
print("plain", os.environ["WORD"], flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.05)
print("task", ray.get(ray.remote(num_cpus=0)(lambda: os.environ["WORD"]).remote()), flush=True)
print("again", repr(os.environ["WORD"]), flush=True)
sys.exit("no way in with " + os.environ["WORD"])
"""


def test_the_program_has_the_value_and_the_log_has_none(server: Server, tmp_path: Path) -> None:
    """Through a kill of the server and a change of the secret while the job runs."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text(PROGRAM)
    go = tmp_path / "go"
    server.client.secrets.set("door", "word", FIRST)
    job = server.client.jobs.submit(
        f"python main.py {go}", working_dir=tmp_path / "code", secrets={"WORD": "door/word"}, env={"WORD": "not this"}
    )
    until(lambda: lines(job.log(), "plain"), "it has begun")
    server.restart()
    server.client.secrets.set("door", "word", SECOND)
    go.touch()
    settled(job)
    digest = hashlib.sha256(FIRST.encode()).hexdigest()
    assert lines(job.log(), "driver") == [f"driver {digest}"]
    assert lines(job.log(), "plain") == [f"plain {MASK}"]
    assert lines(job.log(), "task") == [f"task {MASK}"]
    assert lines(job.log(), "again") == [f"again '{MASK}'"]
    assert (job.status, job.info.cause) == ("Failed", "user_error")
    server.nothing_is_left()
    kept = [
        path for path in server.home.rglob("*") if path.is_file() and "local" not in path.relative_to(server.home).parts
    ]
    assert any("driver" in path.name for path in kept) and any(path.name.startswith("heliostat.db") for path in kept)
    for path in kept:
        data = path.read_bytes()
        assert FIRST.encode() not in data and SECOND.encode() not in data, path
    told = [job.message, *(event.message for event in server.client.jobs.events(job.id)), str(job.info.raw)]
    assert FIRST not in "".join(told)
