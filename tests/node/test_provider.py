"""The provider in its own Python, against a door of the test's; and how the monitor's command becomes ours."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

import heliostat_node
from heliostat_node import monitor

from .support import Release

PROBE = """
import json, sys
sys.path.append(sys.argv[2])
from ray.autoscaler import tags
from heliostat_node import provider
provider.PAUSE_SECONDS = 0.05
nodes = provider.HeliostatNodeProvider({}, "c")
listed = nodes.non_terminated_nodes({})
print(json.dumps({
    "listed": listed,
    "workers": nodes.non_terminated_nodes({tags.TAG_RAY_NODE_KIND: "worker"}),
    "tags": [nodes.node_tags(name) for name in listed],
    "running": [nodes.is_running(name) for name in [*listed, "other"]],
}), flush=True)
wanted = {tags.TAG_RAY_LAUNCH_REQUEST: "r1", tags.TAG_RAY_USER_NODE_TYPE: "small"}
sys.stdin.readline()
nodes.create_node_with_resources_and_labels({}, wanted, 5, {"CPU": 1}, {})
nodes.create_node_with_resources_and_labels({}, wanted, 3, {"CPU": 1}, {})
nodes.terminate_nodes(["w1"])
try:
    nodes.create_node({}, {**wanted, tags.TAG_RAY_USER_NODE_TYPE: "large"}, 1)
except provider.Refused as refusal:
    print(json.dumps(str(refusal)))
"""
NODES = [
    {"node": "h", "kind": "head", "group": "head", "request": "", "running": True},
    {"node": "w1", "kind": "worker", "group": "small", "request": "r0/abc", "running": False},
]


class Desk(ThreadingUnixStreamServer):
    """A door that notes what it was asked."""

    def __init__(self, path: Path) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        super().__init__(str(path), Answer)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        Path(str(self.server_address)).unlink()


class Answer(BaseHTTPRequestHandler):
    server: Desk

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        refused = isinstance(body, dict) and body.get("group") == "large"
        text = b"there is no group 'large'" if refused else json.dumps({"nodes": NODES}).encode()
        self.send_response(409 if refused else 200)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:
        return

    def address_string(self) -> str:
        return "local"


@pytest.fixture
def arguments(short_dir: Path, release: Release) -> Iterator[list[str]]:
    """The command line of a monitor whose cluster does not answer."""
    config = short_dir / f"{release.version}.json"
    (short_dir / "secret").write_text("open sesame")
    ours = {
        "door": str(short_dir / "door"),
        "instance": "i-1",
        "secret_file": str(short_dir / "secret"),
        "head_type": "top",
    }
    config.write_text(json.dumps({"provider": ours}))
    yield [f"--autoscaling-config={config}", str(Path(heliostat_node.__file__).parents[1])]
    config.unlink()


@pytest.mark.ray
@pytest.mark.slow
def test_a_provider_speaks_with_the_door_and_waits_for_it(
    release: Release, short_dir: Path, arguments: list[str]
) -> None:
    desk = Desk(short_dir / "door")
    command = [str(release.python), "-c", PROBE, *arguments, "--gcs-address="]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = json.loads(process.stdout.readline())
        assert (seen["listed"], seen["workers"], seen["running"]) == (["h", "w1"], ["w1"], [True, False, False])
        head, worker = seen["tags"]
        assert (head["ray-node-type"], head["ray-user-node-type"]) == ("head", "top")
        assert (worker["ray-node-type"], worker["ray-user-node-type"]) == ("worker", "small")
        assert worker["ray-launch-request"] == "r0"
        assert desk.asked[0] == ("/instances/i-1/round", "Bearer open sesame", None), (
            "no report, and a round all the same"
        )

        desk.close()
        process.stdin.write("go on\n")
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        desk = Desk(short_dir / "door")
        assert "no group 'large'" in json.loads(process.stdout.readline())
        assert process.wait(10) == 0
    desk.close()
    first, second, ended, _ = desk.asked
    assert (first[0], first[2]["group"], first[2]["count"], second[2]["count"]) == (
        "/instances/i-1/create", "small", 5, 3,
    )  # fmt: skip
    assert first[2]["request"] != second[2]["request"], "parts of one request are not one request"
    assert {body["request"].partition("/")[0] for _, _, body in (first, second)} == {"r1"}
    assert ended[::2] == ("/instances/i-1/terminate", {"nodes": ["w1"]})


def test_only_the_monitor_of_a_head_that_scales_is_ours() -> None:
    script = "/env/site-packages/ray/autoscaler/v2/monitor.py"
    scaling = ["python", "-u", script, "--autoscaling-config=/c.json"]
    assert monitor.direct(scaling) == ["python", "-u", monitor.__file__, script, "--autoscaling-config=/c.json"]
    for other in (scaling[:3], ["python", "-u", "/ray/_private/log_monitor.py", "--autoscaling-config=/c.json"]):
        assert monitor.direct(other) == other
