"""Tells the head's GCS that a node is dead, at the moment that its shim knows, or the engine if the shim was killed itself.

The GCS would find out by itself after some failed health checks, 5 to 20 seconds later, and send work to the dead node until
then: jobs submitted in that time fail. The message is the one that a raylet sends when it is asked to end.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

GCS_SECONDS = 2.0

log = logging.getLogger("heliostat.obituary")


def run(gcs_address: str, ray_node_id: str, token_path: str | None, reason: str) -> NoReturn:
    """Be a process that reports a node of which nothing runs any more; never returns."""
    code = 70
    try:
        # Its standard input is the zygote's conversation, whose end would be seen late.
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        cluster_id = _cluster_id(gcs_address, token_path)
        told = cluster_id is not None and report(gcs_address, cluster_id, ray_node_id, token_path, reason)
        code = 0 if told else 1
    except BaseException:  # noqa: BLE001  # the process boundary: anything that escapes belongs in the log, and this must not return
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _cluster_id(gcs_address: str, token_path: str | None) -> str | None:
    """What the GCS calls its cluster, in hex; None when it does not answer."""
    import grpc
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    try:
        with _channel(gcs_address) as channel:
            stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            request = gcs_service_pb2.GetClusterIdRequest()
            reply = stub.GetClusterId(request, timeout=GCS_SECONDS, metadata=_authorization(token_path))
    except grpc.RpcError as error:
        log.warning("the GCS does not tell its cluster: %s", error)
        return None
    identity: bytes = reply.cluster_id
    return identity.hex()


def report(gcs_address: str, cluster_id: str, ray_node_id: str, token_path: str | None, reason: str) -> bool:
    """Mark a Ray node dead; ids in hex. False when the GCS could not be told, which is then left to its own checks."""
    import grpc
    from ray.core.generated import common_pb2, gcs_service_pb2, gcs_service_pb2_grpc

    metadata = [("ray_cluster_id", cluster_id), *_authorization(token_path)]
    death = common_pb2.NodeDeathInfo(
        reason=common_pb2.NodeDeathInfo.UNEXPECTED_TERMINATION, reason_message=reason[:1000]
    )
    request = gcs_service_pb2.UnregisterNodeRequest(node_id=bytes.fromhex(ray_node_id), node_death_info=death)
    try:
        with _channel(gcs_address) as channel:
            stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            stub.UnregisterNode(request, timeout=GCS_SECONDS, metadata=metadata)
    except grpc.RpcError as error:
        log.warning("the GCS could not be told of the node's death: %s", error)
        return False
    return True


def _channel(gcs_address: str) -> Any:  # grpc is untyped
    import grpc

    return grpc.insecure_channel(gcs_address, options=[("grpc.enable_http_proxy", 0)])


def _authorization(token_path: str | None) -> list[tuple[str, str]]:
    return [] if token_path is None else [("authorization", f"Bearer {Path(token_path).read_text().strip()}")]
