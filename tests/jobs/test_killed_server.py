"""The server is killed at every step of a job's life, and the job comes to its end as if nothing had happened: it runs once,
each line of it is stored once, and nothing is left of the cluster that was made for it."""

from __future__ import annotations

import io
import random
import ssl
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from heliostat.client.sync.job import Job

from .support import NEWEST, OLDER, SHAPE, Server, digits, lines, seen, serving, settled, until

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(280)]
MANY, LINES = 6, 100


class CodeHost:
    """A server of one zip over https, which lets its first reader wait for ever."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.trust = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.trust))
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as made:
            made.writestr("told.txt", "from afar\n")
        self.asked = 0
        self.first_may_go = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked += 1
                if host.asked == 1:
                    host.first_may_go.wait()
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content.getvalue())))
                self.end_headers()
                self.wfile.write(content.getvalue())

            def log_message(self, format: str, *args: object) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"https://127.0.0.1:{self._server.server_port}/code.zip"

    def close(self) -> None:
        self.first_may_go.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def code_host(tmp_path: Path) -> Iterator[CodeHost]:
    host = CodeHost(tmp_path)
    try:
        yield host
    finally:
        host.close()


@pytest.fixture
def server(tmp_path: Path, ray_environments_folder: Path, code_host: CodeHost) -> Iterator[Server]:
    """Its log storage is behind a link, which a test may break."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "storage").symlink_to(tmp_path / "disk")
    configuration = f'[storage]\nurl = "file://{tmp_path}/storage"\n'
    trust = {"SSL_CERT_FILE": str(code_host.trust)}
    with serving(tmp_path, ray_environments_folder, configuration, **trust) as server:
        yield server


@pytest.mark.parametrize("release", [NEWEST, OLDER])
def test_a_server_killed_at_every_step_runs_a_job_once(
    release: str, server: Server, code_host: CodeHost, tmp_path: Path
) -> None:
    marks, away = server.marks, tmp_path / "disk-away"
    entrypoint = f"cat told.txt; {digits('n', marks)}"
    shape = {"release": release, **SHAPE}
    job = server.client.jobs.submit(entrypoint, working_dir=code_host.url, cluster_spec=shape)
    server.kill()  # acknowledged, nothing else
    server.start()
    until(lambda: code_host.asked, "its code is asked for")
    assert job.refresh().status == "Submitted"
    server.restart()  # while the code is fetched

    seen(job, lambda job: server.client.clusters.get(job.cluster_id).nodes(), "nodes of its cluster are there")
    assert job.refresh().status == "Pending" and not job.info.attempts
    server.restart()  # while its cluster starts

    seen(job, lambda job: job.info.attempts, "it is handed to Ray")
    server.restart()  # around the moment in which Ray takes it
    seen(job, lambda job: job.info.attempts[0].submitted_at, "Ray has it")
    server.restart()

    begun = marks / "n.begun"
    until(begun.exists, "it runs")
    seen(job, lambda job: len(lines(job.log(), "n ")) >= 3, "some of its lines are stored")
    server.restart()  # while it prints
    printed = len(lines(job.log(), "n "))
    seen(job, lambda job: len(lines(job.log(), "n ")) > printed, "its log grows again")

    server.kill()  # it ends while nobody looks ...
    (marks / "n.stop").touch()
    until((marks / "n.ended").exists, "it has ended")
    source = server.source_of_log(job.id).read_bytes()
    stored = tmp_path / "disk" / job.info.workspace
    stored.rename(away)
    stored.write_text("a file where the folder of the workspace should be")  # ... and its log cannot be stored
    server.start()
    seen(job, lambda job: job.status == "Succeeded", "its end is known")
    ended = job.info
    server.kill()
    stored.unlink()
    away.rename(stored)
    assert not ended.logs_complete and not ended.settled
    server.start()

    seen(job, _is_released, "its cluster is being removed")
    server.restart()
    settled(job)

    assert (job.status, job.exit_code) == ("Succeeded", 0)
    assert len(job.info.attempts) == 1
    assert begun.read_text() == "once\n"
    (count,) = (marks / "n.ended").read_text().split()
    text = job.log()
    assert lines(text, "from afar") == ["from afar"]
    assert lines(text, "n ") == [*(f"n {number}" for number in range(1, int(count) + 1)), "n over"]
    (kept,) = (tmp_path / "disk").rglob(f"{job.id}_driver.log")
    assert kept.read_bytes() == source
    server.nothing_is_left()
    reasons = [event.reason for event in job.events()]
    assert sorted(reasons) == sorted(set(reasons)), "each thing happened once"


def test_a_server_killed_again_and_again_runs_each_of_many_jobs_once(server: Server) -> None:
    client = server.client
    client.clusters.create("c", cpu=4, memory="2Gi").wait(deadline=90)
    jobs = []
    for number in range(MANY):
        mark = server.marks / f"{number}"
        entrypoint = f"echo once >> {mark}; for n in $(seq {LINES}); do echo n $n; sleep 0.05; done; exit {number % 2}"
        jobs.append(client.jobs.submit(entrypoint, cluster="c"))
        if number % 2:
            server.restart()
    for _ in range(3):
        time.sleep(random.uniform(0, 1.5))  # any moment is a good one
        server.restart()
    for number, job in enumerate(jobs):
        settled(job)
        assert (job.status, job.exit_code) == (("Succeeded", "Failed")[number % 2], number % 2), job.message
        assert len(job.info.attempts) == 1
        assert (server.marks / f"{number}").read_text() == "once\n"
        assert lines(job.log(), "n ") == [f"n {n + 1}" for n in range(LINES)]
        assert job.log() == server.source_of_log(job.id).read_text()
        reasons = [event.reason for event in job.events()]
        assert sorted(reasons) == sorted(set(reasons)), "each thing happened once"


def _is_released(job: Job) -> bool:
    return any(event.reason == "ClusterReleased" for event in job.events())
