"""Starts the Ray processes of one node, in the order and with the waits that make a start short.

Ray's own ``Node`` class builds the command lines; what differs from ``ray start`` is only when things happen:

* the raylet is started before the dashboard, the monitor and the log monitor, and nobody waits for the dashboard: its
  address is known beforehand and published at once;
* a worker may be started together with its head. It polls for the head every 30 ms (Ray: 2 s), and for a note that the
  head's shim leaves in the GCS, not for the registration of the head's raylet;
* the wait for the raylet's own registration polls as often, and notices at once when the raylet or the GCS dies.

``Node`` is a private class of Ray. What is used of it here is pinned by the tests on every supported release.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ray._private.node
import ray._private.services as ray_services
import ray._raylet
from ray._private import ray_constants
from ray._private.parameter import RayParams

from heliostat_node import client_server, monitor, nursery, obituary, resize
from heliostat_node.environment import changes_imports
from heliostat_node.probe import HOST, ClientServerProbe, DashboardProbe
from heliostat_node.protocol import NodeSpec
from heliostat_node.shim import NodeFailed
from heliostat_node.status import Status

SESSION_NAME = "s"
"""Every node has its own temp dir, so one short name serves all and leaves room in AF_UNIX paths."""

NURSERY = "nursery"
"""Name of the nursery's socket in the temp dir."""

POLL_SECONDS = 0.03
START_TIMEOUT_SECONDS = 180.0
"""For each of: the GCS answers, the head is known, the raylet is registered. Long: a busy machine is slow, not broken."""

LINE_LENGTH = 200
"""Of each line of a log that goes into a message."""

KV_NAMESPACE = b"heliostat"
KV_HEAD = b"head"

log = logging.getLogger("heliostat.launch")


def parameters(spec: NodeSpec) -> RayParams:
    """Ray's own description of the node. The user's options are applied last: none of ours is among them."""
    params = RayParams(
        node_ip_address=HOST,
        node_name=spec.node,
        num_cpus=_whole(spec.cpus),
        num_gpus=_whole(spec.gpus),
        memory=spec.memory_bytes,
        object_store_memory=spec.object_store_bytes,
        resources={name: _whole(amount) for name, amount in spec.resources.items()},
        labels=dict(spec.labels),
        temp_dir=spec.temp_dir,
        session_name=SESSION_NAME,
        min_worker_port=0,
        max_worker_port=0,
        object_manager_port=0,
        node_manager_port=0,
        metrics_agent_port=None,
        runtime_env_agent_port=None,
        dashboard_agent_listen_port=None,
        metrics_export_port=spec.metrics_export_port or None,
        dashboard_host=HOST,
        _system_config={},
    )
    if spec.kind == "head":
        params.update(gcs_server_port=spec.gcs_port, dashboard_port=spec.dashboard_port)
        params.update(ray_client_server_port=spec.client_port)
        params.update(autoscaling_config=spec.autoscaling_config)
    else:
        params.update(gcs_address=f"{HOST}:{spec.gcs_port}")
    options = dict(spec.ray_params)
    params.resources.update(options.pop("resources", {}))
    params.labels.update(options.pop("labels", {}))
    if "object_store_memory" in options:
        options["object_store_memory"] = min(options["object_store_memory"], _store_limit(spec))
    params.update(**options)
    return params


class RayNode(ray._private.node.Node):  # type: ignore[misc]  # Ray is untyped
    """Ray's node, started our way. ``helpers`` has the processes that may be restarted, each with how to start it.

    The constructor only notes what to do; :meth:`start` runs Ray's constructor, which starts the processes.
    """

    def __init__(self, spec: NodeSpec, status: Status) -> None:
        self.spec = spec
        self._status = status
        self._parameters = params = parameters(spec)
        self.all_processes: dict[str, list[Any]] = {}
        wants_log_monitor = params.include_log_monitor is not False
        params.include_log_monitor = False
        self.helpers: dict[str, Callable[[], None]] = {}
        self.nursery_pid: int | None = None
        self._info: Any = None
        if spec.kind == "head":
            self.helpers[ray_constants.PROCESS_TYPE_DASHBOARD] = self._start_dashboard
            if not params.no_monitor:
                self.helpers[ray_constants.PROCESS_TYPE_MONITOR] = self.start_monitor
        if wants_log_monitor:
            self.helpers[ray_constants.PROCESS_TYPE_LOG_MONITOR] = self.start_log_monitor
        if spec.kind == "head" and spec.client_port:
            self.helpers[ray_constants.PROCESS_TYPE_RAY_CLIENT_SERVER] = self.start_ray_client_server

    def start(self) -> None:
        """Start the processes; returns when the raylet is registered. Raises NodeFailed or what Ray raises."""
        temp_dir = Path(self.spec.temp_dir)
        temp_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._run_ours()
        if self.spec.grows:
            self._make_room_to_grow()
        if "ray.dashboard.agent" in sys.modules and not changes_imports(self.spec.environment):
            self._use_nursery(temp_dir / NURSERY)
        ray._raylet.Config.initialize("")
        (temp_dir / "ray_current_cluster").write_text(f"{HOST}:{self.spec.gcs_port}")
        self._status.update(session_name=SESSION_NAME)
        self._hasten()
        super().__init__(self._parameters, head=self.spec.kind == "head", shutdown_at_exit=False, spawn_reaper=True)

    @property
    def logs(self) -> Path:
        """Where Ray's processes of this node log."""
        return Path(self.spec.temp_dir, SESSION_NAME, "logs")

    def process(self, kind: str) -> Any:
        """The ``Popen`` of a process type, or None when it was never started."""
        infos = self.all_processes.get(kind)
        return infos[0].process if infos else None

    def report_death(self, reason: str) -> None:
        """Let the GCS know at once that this node is dead."""
        obituary.report(self.gcs_address, self.cluster_id.hex(), self._node_id, self.spec.token_path, reason)

    def start_helper(self, kind: str) -> None:
        """Start, or start again, one of ``helpers``. Main thread only (see :mod:`heliostat_node.shim`)."""
        self.all_processes.pop(kind, None)
        self.helpers[kind]()

    def start_head_processes(self) -> None:
        self.start_gcs_server()
        self._status.update(gcs_pid=self.process(ray_constants.PROCESS_TYPE_GCS_SERVER).pid)
        client = self.get_gcs_client()
        self._status.update(gcs_ready_at=time.time())
        self._write_cluster_info_to_kv()
        dashboard = f"{HOST}:{self.spec.dashboard_port}".encode()
        for key in (ray_constants.DASHBOARD_ADDRESS.encode(), b"webui:url"):
            client.internal_kv_put(key, dashboard, True, ray_constants.KV_NAMESPACE_DASHBOARD)
        note = {"temp_dir": self.spec.temp_dir, "session_dir": self._session_dir}
        client.internal_kv_put(KV_HEAD, json.dumps(note).encode(), True, KV_NAMESPACE)

    def start_ray_processes(self) -> None:
        super().start_ray_processes()
        self._status.update(ray_node_id=self._node_id, raylet_pid=self.process(ray_constants.PROCESS_TYPE_RAYLET).pid)
        for kind in self.helpers:
            self.start_helper(kind)
        if self.head:
            DashboardProbe(self.spec, self._status).start()
            if self.spec.client_port:
                ClientServerProbe(self.spec.client_port, self._status).start()

    def _start_dashboard(self) -> None:
        self.start_api_server(include_dashboard=None, raise_on_failure=False)

    def _init_gcs_client(self) -> None:
        address = (HOST, self.spec.gcs_port)
        self._wait("The head's GCS did not answer", lambda: _accepts(address))
        super()._init_gcs_client()
        if not self.head:
            self._wait("The head did not come up", lambda: self._head_note() is not None)

    def _head_note(self) -> dict[str, str] | None:
        value = self._gcs_client.internal_kv_get(KV_HEAD, KV_NAMESPACE)
        return json.loads(value) if value else None

    @staticmethod
    def _run_ours() -> None:
        """Have the client server and the autoscaler's monitor run as our modules of these names."""
        original = ray_services.start_ray_process

        @functools.wraps(original)
        def start_ray_process(command: list[str], *args: Any, **options: Any) -> Any:
            return original(_ours(command), *args, **options)

        ray_services.start_ray_process = start_ray_process

    @staticmethod
    def _make_room_to_grow() -> None:
        """Have the raylet start workers as one of a node that has CPUs: Ray counts those that the node is born with."""
        original = ray_services.start_ray_process

        @functools.wraps(original)
        def start_ray_process(command: list[str], *args: Any, **options: Any) -> Any:
            return original(resize.growing(command), *args, **options)

        ray_services.start_ray_process = start_ray_process

    def _use_nursery(self, path: Path) -> None:
        """Have Ray's Python helpers forked instead of executed."""
        original = ray_services.start_ray_process
        self.nursery_pid = nursery.start(path)

        @functools.wraps(original)
        def start_ray_process(command: list[str], *args: Any, **options: Any) -> Any:
            return original(nursery.wrapped(_ours(command), path), *args, **options)

        ray_services.start_ray_process = start_ray_process

    def _hasten(self) -> None:
        """Replace Ray's slow waits in this process by ours."""

        def get_node(gcs_address: str, node_id: str) -> dict[str, Any]:
            self._wait_registered()
            return {field.name: getattr(self._info, field.name) for field in self._info.DESCRIPTOR.fields}

        def head_info(*_: object, **__: object) -> list[SimpleNamespace]:
            note = self._head_note()
            alive = ray.core.generated.gcs_pb2.GcsNodeInfo.ALIVE
            return [SimpleNamespace(state=alive, **note)] if note else []

        ray_services.get_node = get_node
        ray_services.wait_for_node = lambda *_, **__: self._wait_registered()
        ray._private.node.get_all_node_info_until_retrieved = head_info

    def _wait_registered(self) -> None:
        if self._status.current.registered_at:
            return
        self._wait("The raylet did not register", self._registered)
        self._status.update(phase="registered", registered_at=time.time())

    def _registered(self) -> bool:
        alive = ray.core.generated.gcs_pb2.GcsNodeInfo.ALIVE
        nodes = self.get_gcs_client().get_all_node_info(timeout=5)
        self._info = next((info for node, info in nodes.items() if node.hex() == self._node_id), None)
        return self._info is not None and self._info.state == alive

    def _wait(self, problem: str, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not reached():
            for kind in (ray_constants.PROCESS_TYPE_GCS_SERVER, ray_constants.PROCESS_TYPE_RAYLET):
                process = self.process(kind)
                if process is not None and process.poll() is not None:
                    raise NodeFailed(death(kind, process.returncode, self.logs))
            if time.monotonic() > deadline:
                raise NodeFailed(f"{problem} within {START_TIMEOUT_SECONDS:.0f} seconds.")
            time.sleep(POLL_SECONDS)


def _ours(command: list[str]) -> list[str]:
    """A command of Ray's as we run it."""
    return monitor.direct(client_server.direct(command))


def death(kind: str, code: int, logs: Path) -> str:
    """A sentence about a process that ended: how, and the last lines it wrote."""
    how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
    return f"The node's {kind} {how}.{_tail(kind, logs)}"


def _tail(kind: str, logs: Path, lines: int = 5) -> str:
    """The end of the newest log of a process, as a clause; empty when it wrote nothing."""
    files = [file for suffix in ("err", "out") for file in logs.glob(f"{kind}*.{suffix}") if file.stat().st_size]
    if not files:
        return ""
    newest = max(files, key=lambda file: file.stat().st_mtime)
    with newest.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        end = file.read().decode(errors="replace").strip().splitlines()[-lines:]
    return f" {newest.name} ends with: " + " | ".join(line.strip()[:LINE_LENGTH] for line in end)


def _accepts(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def _store_limit(spec: NodeSpec) -> int:
    """The largest object store that a user's option may ask for: it is memory, and Ray takes it all at once."""
    disk = os.statvfs("/dev/shm")
    return max(spec.object_store_bytes, disk.f_bavail * disk.f_frsize // 2)


def _whole(amount: float) -> float | int:
    """Ray wants whole numbers of CPUs as int."""
    return int(amount) if amount == int(amount) else amount
