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
    JobInfo,
    Key,
    LogFile,
    NewKey,
    Node,
    Queue,
    Release,
    SecretInfo,
    ServerVersion,
    UsageReport,
    Workspace,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
JOB = "rj-0123456789abcdef"
SECRET = "s3cr3t"
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


def job(**changes: Any) -> dict[str, Any]:
    progress = {"step": "running", "detail": "runs", "nodes_up": 3, "nodes_wanted": 3, "seconds": 65.0}
    return {
        "id": JOB,
        "workspace": "w-0123456789abcdef",
        "name": "nightly",
        "status": "Running",
        "message": "runs",
        "cause": None,
        "exit_code": None,
        "entrypoint": "python main.py --epochs 3",
        "cluster": {"id": "ray-00000000000000bb", "name": JOB, "temporary": True, "state": "Running"},
        "runtime_env": {
            "env_vars": {"MODE": "test", "API_KEY": SECRET},
            "pip": ["emoji", f"https://ada:{SECRET}@pypi.example.com/wheel"],
        },
        "secrets": [
            {"group": "db", "key": "password", "version": "2", "variables": ["PASSWORD", "PGPASSWORD"], "file": ""}
        ],
        "metadata": {"owner": "ada"},
        "tags": {"team": "vision"},
        "resources": {"cpus": 1.0, "gpus": None, "memory": "2Gi", "custom": {}},
        "deadline_seconds": 7200.0,
        "retries": {"limit": 2, "user_error": 0, "out_of_memory": None, "infrastructure": None},
        "shutdown_after_finish": True,
        "ttl_seconds": 600.0,
        "creator": "ada",
        "submitted_at": "2026-03-01T11:58:00.000Z",
        "started_at": "2026-03-01T11:58:55.000Z",
        "ended_at": None,
        "run_seconds": 65.0,
        "attempts": [attempt()],
        "usage": {
            "node_seconds": 195.0, "cpu_hours": 0.054, "memory_gib_hours": 0.108, "gpu_hours": 0.0, "cu_hours": 0.054,
            "peak_nodes": 3,
        },
        "logs_complete": False,
        "settled": False,
        "progress": progress,
        "cluster_spec": {
            "head": SHAPE | {"env": {"INNER": SECRET}},
            "workers": [
                {"name": "workers", "replicas": 2, "min_replicas": None, "max_replicas": None, "type": "CPU", **SHAPE}
            ],
        },
        "working_dir": "package://" + "0f" * 32,
        "files": [],
        "requirements": None,
        "summary": None,
        "links": None,
        "findings": [{"path": "head.gpu", "verdict": "ignored", "message": "this machine has none"}],
    } | changes  # fmt: skip


def attempt(**changes: Any) -> dict[str, Any]:
    return {
        "number": 1, "submission_id": JOB, "instance": "ray-00000000000000bb-00000001", "status": "RUNNING",
        "cause": None, "message": "", "exit_code": None, "created_at": "2026-03-01T11:58:50.000Z",
        "submitted_at": "2026-03-01T11:58:50.000Z", "started_at": "2026-03-01T11:58:55.000Z", "ended_at": None,
        "ray_job_id": "01000000", "log": f"{JOB}_driver.log", "log_complete": False,
    } | changes  # fmt: skip


def waiting(step: str, detail: str = "", *, up: int = 0, seconds: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A job that has not begun."""
    progress = {"step": step, "detail": detail, "nodes_up": up, "nodes_wanted": 3, "seconds": seconds}
    blank = {"attempts": [], "started_at": None, "run_seconds": 0.0, "message": detail or "accepted"}
    return job(status="Pending", progress=progress, **blank | changes)


def ended(status: str, message: str = "", **changes: Any) -> dict[str, Any]:
    progress = {"step": "ended", "detail": message, "nodes_up": 0, "nodes_wanted": 3, "seconds": 120.0}
    return job(
        status=status, message=message, ended_at="2026-03-01T12:00:00.000Z", progress=progress, **changes
    )  # fmt: skip


BROKEN_JOB = ended(
    "Failed", "its cluster was stopped", id="rj-fedcba9876543210", name="rj-fedcba9876543210", cause="infrastructure",
    cluster={"id": "ray-0123456789abcdef", "name": "training", "temporary": False, "state": "Deleted"}, cluster_spec=None,
    attempts=[
        attempt(status="FAILED", cause="user_error", exit_code=3, message="exit code 3\nTraceback ..."),
        attempt(number=2, status="FAILED", cause="infrastructure", message="its cluster was stopped"),
    ],
    retries={"limit": 1, "user_error": None, "out_of_memory": None, "infrastructure": None}, ttl_seconds=0.0,
    deadline_seconds=None, runtime_env={}, findings=[],
    summary={
        "tasks": [{"name": "load", "states": {"FINISHED": 8}}, {"name": "Model.fit", "states": {"FINISHED": 1, "FAILED": 1}}],
        "actors": [{"name": "Model", "states": {"DEAD": 2}}],
        "truncated": False,
    },
)  # fmt: skip
STARTING_JOB = waiting(
    "cluster", "head is up\n2 workers to come", up=1, seconds=12.0, id="rj-00000000000000cc", name="first"
)


class ToldJob:
    """What the SDK's job object is to a reader."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.info = decode(JobInfo, document)
        self.id, self.name, self.status = self.info.id, self.info.name, self.info.status


class Jobs:
    def list(self, **filters: Any) -> Iterator[ToldJob]:
        return iter([ToldJob(job()), ToldJob(STARTING_JOB), ToldJob(BROKEN_JOB)])

    def get(self, name: str) -> ToldJob:
        return ToldJob(BROKEN_JOB if name == "broken" else STARTING_JOB if name == "first" else job())

    def logs(self, name: str) -> list[LogFile]:
        rows = [
            {"name": f"{JOB}_driver.log", "size": 3600, "complete": False, "note": ""},
            {"name": f"{JOB}-2_driver.log", "size": 12, "complete": True, "note": "only the end was kept"},
        ]
        return [decode(LogFile, {"owner": JOB, "modified_at": "2026-03-01T12:00:00.000Z"} | row) for row in rows]

    def events(self, name: str, *, limit: int = 100) -> list[Event]:
        return Clusters().events(name)

    def why(self, name: str) -> Explanation:
        return Clusters().why(name)


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

    def logs(self, name: str, *, instance: str | None = None) -> list[LogFile]:
        rows = [
            {"name": "nodes/head/raylet.out", "size": 5_000_000, "note": ""},
            {"name": "nodes/head/gcs_server.out", "size": 900, "note": "only the end was kept"},
        ]
        same = {"owner": "ray-0123456789abcdef-00000001", "modified_at": "2026-03-01T11:59:00.000Z", "complete": True}
        return [decode(LogFile, same | row) for row in rows]

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


def queue(name: str, **fields: Any) -> dict[str, Any]:
    nothing = {"cpu": None, "memory": None, "gpu": None}
    taken = {"cpu": "4", "memory": "8Gi", "gpu": 0}
    return {
        "workspace": "w-0123456789abcdef", "name": name, "description": "", "created_at": "2026-02-01T00:00:00.000Z",
        "minimum": nothing, "maximum": nothing, "priority": 0, "backfill": True, "held": taken, "used": taken, "waiting": 0,
        "notes": [],
    } | fields  # fmt: skip


class Queues:
    def list(self) -> list[Queue]:
        bounded = {"cpu": "16", "memory": "64Gi", "gpu": 2}
        rows = [
            queue(
                "research", minimum={"cpu": "2", "memory": "4Gi", "gpu": None}, maximum=bounded, waiting=2, priority=10
            ),
            queue("root_queue", description="all of this machine"),
        ]
        return [decode(Queue, row) for row in rows]

    def get(self, name: str) -> Queue:
        held = {"cpu": "4", "memory": "8Gi", "gpu": 0}
        holder = {
            "cluster": "ray-0123456789abcdef", "name": "training", "job": None, "instance": "ray-0123456789abcdef-00000001",
            "nodes": 3, "held": held,
        }  # fmt: skip
        note = "4 CPU is held, more than the maximum of 2: nothing is ended for it"
        return decode(Queue, queue(name, maximum={"cpu": "2"}, notes=[note], holders=[holder]))


def secrets() -> list[SecretInfo]:
    rows = [
        {"group": "db", "key": "password", "version": ""},
        {"group": "db", "key": "password", "version": "2"},
    ]
    return [decode(SecretInfo, row | {"modified_at": "2026-03-01T09:00:00.000Z", "modifier": "ada"}) for row in rows]


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
        self.jobs = Jobs()
        self.keys = Keys()
        self.releases = Directory(releases())
        workspace = {
            "id": "w-0123456789abcdef",
            "name": "default",
            "created_at": "2026-02-01T00:00:00Z",
            "role": "owner",
        }
        self.workspaces = Directory([decode(Workspace, workspace)])
        self.queues = Queues()
        self.secrets = Directory(secrets())

    def usage(self, **options: Any) -> UsageReport:
        hours = {"node_hours": 3.5, "cpu_hours": 7.0, "memory_gib_hours": 14.0, "gpu_hours": 0.0, "cu_hours": 7.0}
        idle = {"node_hours": 0.25, "cpu_hours": 0.5, "memory_gib_hours": 1.0, "gpu_hours": 0.0, "cu_hours": 0.5}
        whole = {name: value + idle[name] for name, value in hours.items()}
        none = dict.fromkeys(hours, 0.0)
        sums = {"starting": none, "useful": hours, "idle": idle, "total": whole}
        keys = dict.fromkeys(("cluster", "cluster_name", "principal", "principal_name", "hour"))
        row = {"queue": "research", **keys, **sums}
        span = {"since": "2026-02-22T12:00:00.000Z", "until": "2026-03-01T12:00:00.000Z"}
        return decode(UsageReport, {**span, "by": ["queue"], "rows": [row], "total": sums})

    def version(self) -> ServerVersion:
        return decode(ServerVersion, {"version": "9.9.9", "api": "v1"})

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *exception: object) -> None:
        pass
