"""Tells the head's GCS that a node is dead, at the moment that its shim knows.

The GCS would find out by itself after some failed health checks, 5 to 20 seconds later, and send work to the dead node until
then: jobs submitted in that time fail. The message is the one that a raylet sends when it is asked to end.
"""

from __future__ import annotations

import logging
from pathlib import Path

GCS_SECONDS = 2.0

log = logging.getLogger("heliostat.obituary")


def report(gcs_address: str, cluster_id: str, ray_node_id: str, token_path: str | None, reason: str) -> bool:
    """Mark a Ray node dead; ids in hex. False when the GCS could not be told, which is then left to its own checks."""
    import grpc
    from ray.core.generated import common_pb2, gcs_service_pb2, gcs_service_pb2_grpc

    metadata = [("ray_cluster_id", cluster_id)]
    if token_path is not None:
        metadata.append(("authorization", f"Bearer {Path(token_path).read_text().strip()}"))
    death = common_pb2.NodeDeathInfo(
        reason=common_pb2.NodeDeathInfo.UNEXPECTED_TERMINATION, reason_message=reason[:1000]
    )
    request = gcs_service_pb2.UnregisterNodeRequest(node_id=bytes.fromhex(ray_node_id), node_death_info=death)
    try:
        with grpc.insecure_channel(gcs_address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            stub.UnregisterNode(request, timeout=GCS_SECONDS, metadata=metadata)
    except grpc.RpcError as error:
        log.warning("the GCS could not be told of the node's death: %s", error)
        return False
    return True
