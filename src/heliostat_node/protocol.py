"""The words that the control plane and a node's shim exchange. Standard library only; imported by both sides.

A node lives in one directory, and everything about it can be read there after a crash of anybody:

``spec.json``    what to start (:class:`NodeSpec`), written by the control plane before the shim exists
``status.json``  how far it has come (:class:`NodeStatus`), replaced by rename at every change, written by the shim alone
``shim.log``     the shim's and the launcher's own output, for people
``drain.json``   what Ray said to the last request to drain the node (:mod:`heliostat_node.drain`)
``token``        Ray's authentication token of the instance, mode 0600 (absent where the release has none)
``shim.lock``    held (flock) by the shim for its whole life, so that a node is never started twice

A shim that cannot even read its spec, or finds the lock taken, ends without touching ``status.json``; ``shim.log`` has why.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

SPEC_FILE = "spec.json"
STATUS_FILE = "status.json"
LOG_FILE = "shim.log"
DRAIN_FILE = "drain.json"

Phase = Literal["starting", "registered", "exited"]


@dataclass(frozen=True)
class NodeSpec:
    """One Ray node to start. Sizes in bytes; ports are already reserved for it and are on 127.0.0.1."""

    instance: str
    """Id of the instance (one run of a cluster) that the node belongs to."""
    node: str
    """Id of the node, unique on this machine; becomes ``RAY_CLOUD_INSTANCE_ID``."""
    kind: Literal["head", "worker"]
    group: str
    """Name of the node group; becomes ``RAY_NODE_TYPE_NAME``."""
    directory: str
    """The node's own directory, mode 0700."""
    temp_dir: str
    """Ray's temp dir of this node; short enough for AF_UNIX paths (see ray-engine 1.3), mode 0700."""
    gcs_port: int
    """Port of the instance's GCS: bound by a head, joined by a worker."""
    dashboard_port: int = 0
    """Head only: port of the dashboard and the Jobs API."""
    client_port: int | None = None
    """Head only: port of the Ray Client server; None starts none."""
    dashboard_metrics_port: int = 0
    autoscaler_metrics_port: int = 0
    metrics_export_port: int = 0
    metrics: bool = True
    """False = nothing of Ray's collects figures or listens for who would read them; the ports stay closed."""
    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int = 1 << 30
    """Ray's ``memory`` resource as the user asked for it (bookkeeping)."""
    object_store_bytes: int = 100 << 20
    """Size of the plasma store, already capped to what the machine has."""
    resources: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    token_path: str | None = None
    gcs_storage_dir: str | None = None
    """Head only: directory of the embedded GCS storage, where the release has it."""
    autoscaling_config: str | None = None
    """Head only: file for Ray's autoscaler, which Ray reads again every round; None = it has nothing to decide."""
    grows: bool = False
    """Born without CPUs that it will be given later (:mod:`heliostat_node.resize`): it shall start workers like a node
    that has them."""
    environment: dict[str, str] = field(default_factory=dict)
    """The whole environment of the node: a cleaned base, what the user gave, what the engine adds."""
    ray_params: dict[str, Any] = field(default_factory=dict)
    """Further ``ray start`` options by their ``RayParams`` name, from the user's ``rayStartParams``."""

    def write(self) -> None:
        """Store the spec in its directory (0600, by rename)."""
        replace_json(Path(self.directory) / SPEC_FILE, dataclasses.asdict(self))

    @classmethod
    def read(cls, directory: Path) -> NodeSpec:
        known = {f.name for f in dataclasses.fields(cls)}
        data = json.loads((directory / SPEC_FILE).read_text())
        return cls(**{key: value for key, value in data.items() if key in known})


@dataclass(frozen=True)
class NodeStatus:
    """How far a node has come. Times are Unix seconds."""

    instance: str
    node: str
    pid: int
    """The shim's process id; it is also its own session and the root of all the node's processes."""
    start_ticks: int
    """Field 22 of ``/proc/<pid>/stat``: with the pid it names the process for ever."""
    phase: Phase = "starting"
    """``registered`` = the raylet is ALIVE in the GCS."""
    ray_node_id: str = ""
    session_name: str = ""
    raylet_pid: int = 0
    gcs_pid: int = 0
    gcs_ready_at: float = 0.0
    registered_at: float = 0.0
    dashboard_ready_at: float = 0.0
    """Head only: when ``/api/version`` of the dashboard first answered (the Jobs API is usable)."""
    client_ready_at: float = 0.0
    """Head only: when the Ray Client server first took a connection."""
    exit_reason: str = ""
    """Why the shim ended, as a sentence for the user; empty while it lives or when it was killed."""
    death: str = ""
    """Ray's word for why it ended the node by itself and in order (``AUTOSCALER_DRAIN_IDLE``, for example): it was told to,
    by its autoscaler, by the engine or by a user. Empty where the node failed or the shim was stopped."""
    exited_at: float = 0.0
    restarts: dict[str, int] = field(default_factory=dict)
    """How often the shim restarted each helper process (dashboard, monitor, log monitor, client server)."""

    def write(self, directory: Path) -> None:
        replace_json(directory / STATUS_FILE, dataclasses.asdict(self))

    @classmethod
    def read(cls, directory: Path) -> NodeStatus | None:
        """The status, or None when the shim has not written one yet."""
        try:
            data = json.loads((directory / STATUS_FILE).read_text())
        except FileNotFoundError:
            return None
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})


# --- the zygote's line protocol -------------------------------------------------------------------------------------
# The control plane starts ``<environment>/bin/python <copy of this package>/bootstrap.py zygote`` with a socketpair as
# standard input, and writes one JSON object per line; each is answered by one line with the same "id":
#   {"id": 1, "op": "start", "directory": "<node directory with spec.json>"}   -> {"id": 1, "pid": 4711}
#   {"id": 3, "op": "mourn", "gcs_address": "127.0.0.1:6379", "ray_node_id": "<hex>", "token_path": "<file>" or null,
#    "reason": "sentence"}                                                      -> {"id": 3, "pid": 4712}
#   {"id": 4, "op": "drain", "directory": "<node directory>", "deadline_ms": 1700000000000, "reason": "sentence"}
#                                                                              -> {"id": 4, "pid": 4713}, then drain.json
#   {"id": 5, "op": "resize", "gcs_address": "127.0.0.1:6379", "token_path": "<file>" or null,
#    "steps": [{"<Ray node id>": {"CPU": 2.0}}], "result": "<file>"}            -> {"id": 5, "pid": 4714}, then the file
#   {"id": 2, "op": "ping"}                                                     -> {"id": 2, "ray": "2.60.0", "python": "3.11.7"}
# A failure is {"id": N, "error": "sentence"}. End of file ends the zygote; nodes that it forked live on.
# ``bootstrap.py node <directory>`` is the same shim without a zygote: by exec, and its helpers too, so several CPU seconds
# slower. The copy of this package must stay where it is for as long as nodes that were started from it live.


def replace_json(path: Path, value: object) -> None:
    """Write JSON to a private file so that a reader sees the old or the new text, never a part."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file)
    temporary.replace(path)


def start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot, or None when it is gone or a zombie (Linux /proc)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])
