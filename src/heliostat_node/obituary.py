"""Tells the head's GCS that a node is dead, at the moment that its shim knows, or the engine if the shim was killed itself.

The GCS would find out by itself after some failed health checks, 5 to 20 seconds later, and send work to the dead node until
then: jobs submitted in that time fail. The message is the one that a raylet sends when it is asked to end.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import NoReturn

from heliostat_node import gcs

log = logging.getLogger("heliostat.obituary")


def run(gcs_address: str, ray_node_id: str, token_path: str | None, reason: str) -> NoReturn:
    """Be a process that reports a node of which nothing runs any more; never returns."""
    code = 70
    try:
        # Its standard input is the zygote's conversation, whose end would be seen late.
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        cluster = gcs.cluster_id(gcs_address, token_path)
        told = cluster is not None and report(gcs_address, cluster, ray_node_id, token_path, reason)
        code = 0 if told else 1
    except BaseException:  # noqa: BLE001  # the process boundary: anything that escapes belongs in the log, and this must not return
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def report(gcs_address: str, cluster_id: str, ray_node_id: str, token_path: str | None, reason: str) -> bool:
    """Mark a Ray node dead; ids in hex. False when the GCS could not be told, which is then left to its own checks."""
    import grpc
    from ray.core.generated import common_pb2, gcs_service_pb2, gcs_service_pb2_grpc

    metadata = [("ray_cluster_id", cluster_id), *gcs.authorization(token_path)]
    death = common_pb2.NodeDeathInfo(
        reason=common_pb2.NodeDeathInfo.UNEXPECTED_TERMINATION, reason_message=reason[:1000]
    )
    request = gcs_service_pb2.UnregisterNodeRequest(node_id=bytes.fromhex(ray_node_id), node_death_info=death)
    try:
        with gcs.connect(gcs_address) as channel:
            stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
            stub.UnregisterNode(request, timeout=gcs.SECONDS, metadata=metadata)
    except grpc.RpcError as error:
        log.warning("the GCS could not be told of the node's death: %s", error)
        return False
    return True
