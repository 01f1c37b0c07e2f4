"""Ray's own, unmodified clients through the gateway of a whole server, each Ray version against a cluster of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .live import RELEASES, LiveCluster, live_cluster

pytestmark = [pytest.mark.ray, pytest.mark.slow]
CLIENT_SECONDS = 120
UPLOAD_BYTES = 30 * 2**20

SUBMIT_AND_FOLLOW = """
import asyncio, json, sys
from ray.job_submission import JobSubmissionClient

options = json.loads(sys.argv[1])
client = JobSubmissionClient(options["address"], headers=options["headers"])
job = client.submit_job(entrypoint=options["entrypoint"], runtime_env=options["runtime_env"])

async def follow():
    return "".join([piece async for piece in client.tail_job_logs(job)])

followed = asyncio.run(follow())
listed = [one.submission_id for one in client.list_jobs()]
print("RESULT " + json.dumps({
    "status": client.get_job_status(job), "followed": followed, "log": client.get_job_logs(job), "listed": job in listed,
}))
"""


@pytest.fixture(scope="module", params=sorted(RELEASES, reverse=True))
def live(request: pytest.FixtureRequest) -> Iterator[LiveCluster]:
    with live_cluster(request.param) as cluster:
        yield cluster


newest_only = pytest.mark.parametrize("live", [max(RELEASES)], indirect=True, scope="module")
"""These run with the others of the newest release, on the same cluster."""


def run(live: LiveCluster, home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A client in its own environment, which knows nothing of this one."""
    command = [str(live.environment / "bin" / "python"), *arguments]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", **environment}
    return subprocess.run(
        command, env=env, cwd=home, capture_output=True, text=True, timeout=CLIENT_SECONDS, check=False
    )


def sdk(
    live: LiveCluster,
    home: Path,
    address: str,
    headers: dict[str, str],
    entrypoint: str = "echo hello from the job",
    working_dir: Path | None = None,
    **environment: str,
) -> dict[str, Any]:  # JSON of SUBMIT_AND_FOLLOW
    options = {
        "address": address,
        "headers": headers,
        "entrypoint": entrypoint,
        "runtime_env": {"working_dir": str(working_dir)} if working_dir else {},
    }
    done = run(live, home, "-c", SUBMIT_AND_FOLLOW, json.dumps(options), **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return result


def assert_hello(result: dict[str, Any]) -> None:
    assert (result["status"], result["listed"]) == ("SUCCEEDED", True)
    assert "hello from the job" in result["followed"]
    assert "hello from the job" in result["log"]


def test_the_command_line_with_the_submit_token(live: LiveCluster, tmp_path: Path) -> None:
    """EMR's way: one address for all clusters, the header names the run."""
    headers = json.dumps({"ray-token": live.cluster.submit_token})
    submit = ["-m", "ray.scripts.scripts", "job", "submit", "--address", live.cluster.job_url, "--headers", headers]
    done = run(live, tmp_path, *submit, "--", "echo", "hello", "from", "the", "job")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello from the job" in done.stdout
    assert "succeeded" in done.stdout


def test_a_large_working_directory_with_the_submit_token(live: LiveCluster, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    with Path("/dev/urandom").open("rb") as noise:
        (folder / "data.bin").write_bytes(noise.read(UPLOAD_BYTES))
    headers = {"ray-token": live.cluster.submit_token}
    result = sdk(live, tmp_path, live.cluster.job_url, headers, "stat -c 'size %s' data.bin", folder)
    assert result["status"] == "SUCCEEDED"
    assert f"size {UPLOAD_BYTES}" in result["log"]


def test_an_api_token_at_the_clusters_path(live: LiveCluster, tmp_path: Path) -> None:
    assert_hello(sdk(live, tmp_path, live.path_address, {"Authorization": f"Bearer {live.server.token}"}))


def test_what_a_user_sees_of_a_wrong_token(live: LiveCluster, tmp_path: Path) -> None:
    headers = json.dumps({"ray-token": "0" * 32})
    command = ["-m", "ray.scripts.scripts", "job", "list", "--address", live.cluster.job_url, "--headers", headers]
    done = run(live, tmp_path, *command)
    assert done.returncode != 0
    assert "401" in done.stderr or "Send a submit token in the header 'ray-token'" in done.stderr


@newest_only
@pytest.mark.parametrize("which", ["submit token", "token for a cluster"])
def test_rays_own_token_variable(live: LiveCluster, tmp_path: Path, which: str) -> None:
    """Ray from 2.52 on sends ``RAY_AUTH_TOKEN`` by itself: no change of code at all. (At the cluster's path: below.)"""
    token, address = {
        "submit token": (live.cluster.submit_token, live.cluster.job_url),
        "token for a cluster": (f"{live.server.token}~{live.cluster.id}", live.cluster.job_url),
    }[which]
    assert_hello(sdk(live, tmp_path, address, {}, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token))


@newest_only
def test_a_ray_token_of_another_cluster_in_the_environment_does_no_harm(live: LiveCluster, tmp_path: Path) -> None:
    headers = {"ray-token": live.cluster.submit_token}
    other = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}
    assert_hello(sdk(live, tmp_path, live.cluster.job_url, headers, **other))


@newest_only
def test_the_sentence_about_a_stopped_cluster_reaches_the_user(live: LiveCluster, tmp_path: Path) -> None:
    """Last: it stops the cluster."""
    live.cluster.stop(wait=True, deadline=60)
    script = f"from ray.job_submission import JobSubmissionClient as C; C({live.path_address!r}).list_jobs()"
    done = run(live, tmp_path, "-c", script, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=live.server.token)
    assert done.returncode != 0
    assert "503" in done.stderr
