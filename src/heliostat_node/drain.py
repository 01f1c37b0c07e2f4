"""Asks the head's GCS to drain a node: it takes no new work, and its raylet ends by itself once nothing runs on it.

The reason PREEMPTION is the one that Ray accepts for a node that is busy (ray-engine, section 7). The answer is left in the
node's directory, so that the engine knows whether it must ask again; a second request is as good as the first.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from heliostat_node import gcs
from heliostat_node.protocol import DRAIN_FILE, NodeSpec, NodeStatus, replace_json

GCS_SECONDS = 5.0
HOST = "127.0.0.1"

log = logging.getLogger("heliostat.drain")


def run(directory: str, deadline_ms: int, reason: str) -> NoReturn:
    """Be a process that asks for the drain of the node in this directory; never returns."""
    code = 70
    try:
        # Its standard input is the zygote's conversation, whose end would be seen late.
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        problem = drain(Path(directory), deadline_ms, reason)
        replace_json(Path(directory) / DRAIN_FILE, {"accepted": not problem, "problem": problem})
        code = 1 if problem else 0
    except BaseException:  # noqa: BLE001  # the process boundary: anything that escapes belongs in the log, and this must not return
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def drain(directory: Path, deadline_ms: int, reason: str) -> str:
    """Ask once; what was in the way, or empty. ``deadline_ms`` is Unix time in milliseconds."""
    import grpc
    from ray.core.generated import autoscaler_pb2, autoscaler_pb2_grpc

    spec, status = NodeSpec.read(directory), NodeStatus.read(directory)
    if status is None or not status.ray_node_id:
        return "The node is not known to Ray yet."
    address = f"{HOST}:{spec.gcs_port}"
    cluster = gcs.cluster_id(address, spec.token_path)
    if cluster is None:
        return "The head does not answer."
    request = autoscaler_pb2.DrainNodeRequest(
        node_id=bytes.fromhex(status.ray_node_id),
        reason=autoscaler_pb2.DRAIN_NODE_REASON_PREEMPTION,
        reason_message=reason[:1000],
        deadline_timestamp_ms=deadline_ms,
    )
    metadata = [("ray_cluster_id", cluster), *gcs.authorization(spec.token_path)]
    try:
        with gcs.connect(address) as channel:
            stub = autoscaler_pb2_grpc.AutoscalerStateServiceStub(channel)
            reply = stub.DrainNode(request, timeout=GCS_SECONDS, metadata=metadata)
    except grpc.RpcError as error:
        log.warning("the node could not be drained: %s", error)
        return f"Ray's head did not take the request: {error.code().name}."
    return "" if reply.is_accepted else f"Ray refused: {reply.rejection_reason_message}"
