"""Talking to a head's GCS by plain gRPC: what Ray's own client asks of it, without that client's threads and long waits."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

SECONDS = 2.0
"""What an answer may take; the GCS is on this machine."""

log = logging.getLogger("heliostat.gcs")


def connect(address: str) -> Any:  # grpc is untyped
    """A channel to a GCS (``host:port``), never through a proxy."""
    import grpc

    return grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])


def authorization(token_path: str | None) -> list[tuple[str, str]]:
    """What Ray wants to see in a request's metadata where it checks tokens."""
    return [] if token_path is None else [("authorization", f"Bearer {Path(token_path).read_text().strip()}")]


def cluster_id(address: str, token_path: str | None) -> str | None:
    """What the GCS calls its cluster, in hex; None when it does not answer."""
    import grpc
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    try:
        with connect(address) as channel:
            stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            request = gcs_service_pb2.GetClusterIdRequest()
            reply = stub.GetClusterId(request, timeout=SECONDS, metadata=authorization(token_path))
    except grpc.RpcError as error:
        log.warning("the GCS does not tell its cluster: %s", error)
        return None
    identity: bytes = reply.cluster_id
    return identity.hex()


def death(address: str, cluster: str, ray_node_id: str, token_path: str | None) -> tuple[str, str]:
    """Why a node is dead in the GCS's book: its word for the reason, and its message. Two empty texts if it is not."""
    import grpc
    from ray.core.generated import common_pb2, gcs_pb2, gcs_service_pb2, gcs_service_pb2_grpc

    metadata = [("ray_cluster_id", cluster), *authorization(token_path)]
    try:
        with connect(address) as channel:
            stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            reply = stub.GetAllNodeInfo(gcs_service_pb2.GetAllNodeInfoRequest(), timeout=SECONDS, metadata=metadata)
    except grpc.RpcError as error:
        log.warning("the GCS does not tell how the node died: %s", error)
        return "", ""
    for node in reply.node_info_list:
        if node.node_id.hex() == ray_node_id and node.state == gcs_pb2.GcsNodeInfo.DEAD:
            return common_pb2.NodeDeathInfo.Reason.Name(node.death_info.reason), node.death_info.reason_message
    return "", ""
