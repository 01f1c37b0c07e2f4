"""The engine, as Ray's autoscaler sees it: a cloud that has nodes, makes more of them, and takes them back.

Runs in the monitor of a head (:mod:`heliostat_node.monitor`). Ray's autoscaler v2 wraps this class of its older interface;
of that it uses what is here and nothing else. Once a round it asks for all nodes; that question goes to the engine's door,
an HTTP server on a Unix socket, and carries what the autoscaler knows of the cluster: the work that waits, and for how long
each node has been idle. The other questions of a round are answered from the same reply. The door may be closed while the
server restarts: then a method raises, and Ray tries again in its next round.

Called from several threads: the round's, and those in which Ray asks for nodes and gives them back.
"""

from __future__ import annotations

import http.client
import json
import logging
import socket
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray._raylet import GcsClient
from ray.autoscaler import tags
from ray.autoscaler.node_provider import NodeProvider
from ray.core.generated import autoscaler_pb2

HOST = "127.0.0.1"
TIMEOUT_SECONDS = 10.0
"""For an answer of the door, which never waits for anything."""

PATIENCE_SECONDS = 20.0
"""How long a request for nodes is repeated while the door does not answer. It is known by its id, so nothing is made twice;
given up, Ray would ask under another."""

PAUSE_SECONDS = 0.5
GCS_SECONDS = 5

MOST_ROWS = 100
MOST_FAILURES = 10
MOST_LETTERS = 500
IDLE = autoscaler_pb2.NodeStatus.IDLE
GONE = autoscaler_pb2.NodeStatus.DEAD

log = logging.getLogger(__name__)


class Refused(Exception):
    """The door's answer is no; the message is its reason."""


class Door:
    """The way to the engine: one connection per request, so that a restart of the server is nothing special."""

    def __init__(self, path: str, instance: str, secret: str) -> None:
        self._path = path
        self._instance = instance
        self._secret = secret

    def ask(self, question: str, body: object) -> Any:  # any JSON
        """Send a request and return its answer. Raises OSError, HTTPException, ValueError or Refused."""
        connection = _UnixConnection(self._path)
        try:
            headers = {"Authorization": f"Bearer {self._secret}", "Content-Type": "application/json"}
            path = f"/instances/{self._instance}/{question}"
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != http.client.OK:
                raise Refused(text.decode(errors="replace") or f"the engine answered {answer.status}")
            return json.loads(text)
        finally:
            connection.close()

    def insist(self, question: str, body: object) -> Any:
        """The same, again and again while nobody opens. Only for what may be asked twice."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.ask(question, body)
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_SECONDS)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Known:
    """One node of the last round."""

    tags: dict[str, str]
    running: bool


class HeliostatNodeProvider(NodeProvider):  # type: ignore[misc]  # Ray is untyped
    """See the module."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._config = Path(option("--autoscaling-config", sys.argv))
        self._gcs = option("--gcs-address", sys.argv)
        self._client: Any = None
        self._reporting = True
        self._nodes: dict[str, Known] = {}
        """Replaced as a whole every round, so that other threads see one or the other."""

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """The round's exchange with the engine."""
        settings = self._settings()
        answer = self._door(settings).ask("round", self._report())
        self._nodes = {node["node"]: _known(node, settings["head_type"]) for node in answer["nodes"]}
        return [name for name, node in self._nodes.items() if tag_filters.items() <= node.tags.items()]

    def node_tags(self, node_id: str) -> dict[str, str]:
        return dict(self._nodes[node_id].tags)

    def is_running(self, node_id: str) -> bool:
        return node_id in self._nodes and self._nodes[node_id].running

    def is_terminated(self, node_id: str) -> bool:
        return node_id not in self._nodes

    def internal_ip(self, node_id: str) -> str:
        return HOST

    def external_ip(self, node_id: str) -> str:
        return HOST

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Tags are what the engine knows; Ray's own notes on a node are kept by the autoscaler itself."""

    def create_node(self, node_config: dict[str, Any], node_tags: dict[str, str], count: int) -> None:
        request, group = node_tags[tags.TAG_RAY_LAUNCH_REQUEST], node_tags[tags.TAG_RAY_USER_NODE_TYPE]
        # Ray asks in parts of at most five nodes, which all have the name of the whole
        self._door(self._settings()).insist(
            "create", {"request": f"{request}/{uuid.uuid4().hex}", "group": group, "count": count}
        )

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        node_tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> None:
        self.create_node(node_config, node_tags, count)

    def terminate_node(self, node_id: str) -> None:
        self.terminate_nodes([node_id])

    def terminate_nodes(self, node_ids: list[str]) -> None:
        self._door(self._settings()).insist("terminate", {"nodes": list(node_ids)})

    def _settings(self) -> dict[str, Any]:
        """Our part of the engine's file. As it is now, for a head of the warm pool is told later whose it is."""
        settings: dict[str, Any] = json.loads(self._config.read_text())["provider"]
        return settings

    def _door(self, settings: dict[str, Any]) -> Door:
        return Door(settings["door"], settings["instance"], Path(settings["secret_file"]).read_text())

    def _report(self) -> dict[str, Any] | None:
        """What the autoscaler knows of the cluster; None when that cannot be had, which is no reason to stop scaling."""
        try:
            if self._client is None:
                self._client = GcsClient(address=self._gcs)
            reply = autoscaler_pb2.GetClusterStatusReply()
            reply.ParseFromString(self._client.get_cluster_status(timeout_s=GCS_SECONDS))
            report = report_of(reply)
        except Exception:  # what is told to the engine must never keep Ray from scaling
            if self._reporting:
                log.exception("the state of the cluster cannot be reported")
            self._reporting = False
            self._client = None
            return None
        self._reporting = True
        return report


def option(name: str, arguments: list[str]) -> str:
    """What the monitor was told with an option."""
    return next((word.removeprefix(f"{name}=") for word in arguments if word.startswith(f"{name}=")), "")


def _known(node: dict[str, Any], head_type: str) -> Known:
    head = node["kind"] == "head"
    return Known(
        tags={
            tags.TAG_RAY_NODE_KIND: tags.NODE_KIND_HEAD if head else tags.NODE_KIND_WORKER,
            tags.TAG_RAY_USER_NODE_TYPE: head_type if head else node["group"],
            tags.TAG_RAY_NODE_NAME: node["node"],
            tags.TAG_RAY_NODE_STATUS: tags.STATUS_UP_TO_DATE if node["running"] else tags.STATUS_UNINITIALIZED,
            tags.TAG_RAY_LAUNCH_REQUEST: node["request"].partition("/")[0],
        },
        running=node["running"],
    )


def report_of(reply: Any) -> dict[str, Any]:
    """A cluster's state as the door takes it. ``reply`` is Ray's ``GetClusterStatusReply``."""
    cluster, scaling = reply.cluster_resource_state, reply.autoscaling_state
    constraints = cluster.cluster_resource_constraints
    return {
        "tasks": _rows((row.request, row.count) for row in cluster.pending_resource_requests),
        "groups": _rows(_bundles(cluster.pending_gang_resource_requests)),
        "requested": _rows((row.request, row.count) for one in constraints for row in one.resource_requests),
        "unplaceable_tasks": _rows((request, 1) for request in scaling.infeasible_resource_requests),
        "unplaceable_groups": _rows(_bundles(scaling.infeasible_gang_resource_requests)),
        "failures": [
            {
                "group": row.ray_node_type_name,
                "count": row.count,
                "reason": row.reason[:MOST_LETTERS],
                "at": row.failed_ts,
            }
            for row in sorted(scaling.failed_instance_requests, key=lambda row: row.failed_ts)[-MOST_FAILURES:]
        ],
        "nodes": {
            node.instance_id: {
                "idle": node.idle_duration_ms / 1000 if node.status == IDLE else 0.0,
                "resources": dict(node.total_resources),
            }
            for node in cluster.node_states
            if node.status != GONE
        },
    }


def _bundles(gangs: Any) -> Iterator[tuple[Any, int]]:
    """The bundles of placement groups: in a list of their own, or in that of the first way to place them."""
    for gang in gangs:
        requests = gang.requests
        if not requests and gang.bundle_selectors:
            requests = gang.bundle_selectors[0].resource_requests
        yield from ((request, 1) for request in requests)


def _rows(requests: Iterable[tuple[Any, int]]) -> list[dict[str, Any]]:
    """Requests of one shape in one row, those with the largest count first, and no more rows than anybody reads."""
    counts: Counter[tuple[tuple[str, float], ...]] = Counter()
    for request, count in requests:
        counts[tuple(sorted(request.resources_bundle.items()))] += count
    return [{"resources": dict(shape), "count": count} for shape, count in counts.most_common(MOST_ROWS)]
