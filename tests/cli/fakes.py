"""A server that always says the same, so that whole outputs can be compared with files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from heliostat.client.credentials import Credentials
from heliostat.client.decode import decode
from heliostat.client.models import (
    ClusterInfo,
    Event,
    Explanation,
    Key,
    NewKey,
    Node,
    Queue,
    Release,
    ServerVersion,
    Workspace,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
TOKEN = "0123456789abcdef0123456789abcdef"
RELEASE = "ray-1.3.1 (Ray 2.60.0, Python 3.11)"
SHAPE = {
    "cpu": "1",
    "memory": "2Gi",
    "gpu": None,
    "queue": "root_queue",
    "env": {},
    "ray_start_params": "",
    "release": None,
}


def cluster(**changes: Any) -> dict[str, Any]:
    workers = {"name": "workers", "replicas": 2, "min_replicas": None, "max_replicas": None, "type": "CPU", **SHAPE}
    return {
        "id": "ray-0123456789abcdef",
        "workspace": "w-0123456789abcdef",
        "name": "training",
        "description": "",
        "state": "Running",
        "message": "ok",
        "wanted": "running",
        "generation": 1,
        "modified": False,
        "release": RELEASE,
        "spec": {
            "name": "training",
            "release": RELEASE,
            "head": SHAPE,
            "workers": [workers],
            "labels": {"team": "vision"},
        },
        "instance": {
            "id": "ray-0123456789abcdef-00000001",
            "generation": 1,
            "started_at": "2026-03-01T11:58:00.000Z",
            "running_at": "2026-03-01T11:58:07.000Z",
            "nodes_up": 3,
            "nodes_wanted": 3,
            "steps": [],
        },
        "endpoints": {
            "dashboard_url": "http://c-ray-0123456789abcdef.localhost:8600/?token=hlp_link",
            "job_url": "http://127.0.0.1:8600",
            "submit_token": TOKEN,
        },
        "creator": "ada",
        "modifier": "ada",
        "created_at": "2026-03-01T09:00:00.000Z",
        "modified_at": "2026-03-01T09:00:00.000Z",
        "started_at": "2026-03-01T11:58:00.000Z",
        "findings": [{"path": "head.gpu", "verdict": "ignored", "message": "this machine has none"}],
    } | changes


FAILED = cluster(
    id="ray-fedcba9876543210", name="broken", state="Error", instance=None, endpoints=None, modified=True, generation=3,
    message="the environment cannot be built: no space left on the device\n\nlast lines of the log:\n  ...", findings=[],
)  # fmt: skip
STOPPED = cluster(
    id="ray-00000000000000aa", name="idle", state="Stopped", wanted="stopped", instance=None, endpoints=None
)


class Told:
    """What the SDK's cluster object is to a reader."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.info = decode(ClusterInfo, document)
        self.id = self.info.id


class Clusters:
    def list(self, **filters: Any) -> Iterator[Told]:
        return iter([Told(cluster()), Told(FAILED), Told(STOPPED)])

    def get(self, name: str) -> Told:
        return Told(FAILED if name == "broken" else cluster())

    def nodes(self, name: str) -> list[Node]:
        head = {
            "node": "ray-0123456789abcdef-00000001-head", "kind": "head", "group": "head", "state": "alive",
            "created_at": "2026-03-01T11:58:01.000Z", "ray_node_id": "0badc0ffee", "pid": 4242,
        }  # fmt: skip
        lost = {
            "node": "ray-0123456789abcdef-00000001-w1", "kind": "worker", "group": "workers", "state": "exited",
            "created_at": "2026-03-01T11:58:01.000Z", "reason": "OOMKilled", "message": "out of memory", "restarts": 2,
        }  # fmt: skip
        return [decode(Node, head), decode(Node, lost)]

    def events(self, name: str, *, limit: int = 100) -> list[Event]:
        newest = {
            "id": 2,
            "at": "2026-03-01T11:58:07.000Z",
            "actor": "heliostat",
            "reason": "Running",
            "message": "3 nodes",
        }
        oldest = {"id": 1, "at": "2026-03-01T09:00:00.000Z", "actor": "ada", "reason": "Created", "message": "created"}
        return [decode(Event, newest), decode(Event, oldest)]

    def why(self, name: str) -> Explanation:
        evidence = ["node head is alive", "2026-03-01 11:58:00 ada: StartRequested"]
        return decode(Explanation, {"summary": "broken failed: no space", "evidence": evidence, "remedy": "Make room."})


class Directory:
    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def list(self, **filters: Any) -> list[Any]:
        return self._rows


class Keys:
    def create(self, kind: str, **given: Any) -> NewKey:
        key = {"id": "tok-1", "kind": kind, "principal": "7", "description": "", "created_at": "2026-03-01T09:00:00Z"}
        return decode(NewKey, {"key": key, "secret": "hlt_shown_once"})

    def list(self) -> list[Key]:
        rows = [
            {"id": "tok-1", "kind": "token", "description": "laptop", "expires_at": "2027-01-01T00:00:00Z"},
            {"id": "tok-2", "kind": "token", "description": "", "expires_at": "2026-01-01T00:00:00Z"},
            {"id": "HELI1", "kind": "access_key", "description": "CI", "revoked_at": "2026-02-01T00:00:00Z"},
        ]
        return [decode(Key, {"principal": "7", "created_at": "2026-01-01T00:00:00Z"} | row) for row in rows]


def releases() -> list[Release]:
    rows = [
        {"name": "ray-1.3.1", "ray": "2.60.0", "python": "3.11", "default": True, "environment": "ready"},
        {"name": "ray-1.0.0", "ray": "2.47.1", "python": "3.12", "default": False, "environment": "absent"},
        {"name": "ray-9.0.0", "ray": "2.99.0", "python": "3.14", "default": False, "environment": "absent",
         "problem": "Python 3.14 is not installed"},
    ]  # fmt: skip
    return [decode(Release, {"display": f"{row['name']} (...)", "stable": True, "detail": ""} | row) for row in rows]


class FakeClient:
    endpoint = "http://127.0.0.1:8600"
    credentials = Credentials(endpoint, "hlt_never_printed", "w-0123456789abcdef")

    def __init__(self, **options: Any) -> None:
        self.clusters = Clusters()
        self.keys = Keys()
        self.releases = Directory(releases())
        workspace = {
            "id": "w-0123456789abcdef",
            "name": "default",
            "created_at": "2026-02-01T00:00:00Z",
            "role": "owner",
        }
        self.workspaces = Directory([decode(Workspace, workspace)])
        amount = {"minimum": {"cpu": "2", "memory": "4Gi"}, "maximum": {}}
        queue = {"workspace": "w-0123456789abcdef", "name": "root_queue", "created_at": "2026-02-01T00:00:00Z"}
        self.queues = Directory([decode(Queue, queue | amount | {"description": "all of this machine"})])

    def version(self) -> ServerVersion:
        return decode(ServerVersion, {"version": "9.9.9", "api": "v1"})

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *exception: object) -> None:
        pass
