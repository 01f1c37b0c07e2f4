"""Sets the resources of live nodes, and waits until the head's GCS offers them.

A warm node is born without CPUs, so that nothing can run on it; when a cluster is given it, it gets what the cluster's group
asks for. The request is the one by which Ray's own autoscaler lets a node grow in place: the GCS passes it on to the raylet
(``ResizeLocalResourceInstances``). Amounts are totals, so a repeated request is harmless. Ray refuses it for resources that
are handed out one by one, as GPUs are. It is internal to Ray and absent from older releases.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from heliostat_node.gcs import authorization, cluster_id, connect
from heliostat_node.protocol import replace_json

GCS_SECONDS = 5.0
SHOWN_SECONDS = 10.0
"""For the GCS to offer what a raylet has said to have; it takes a tenth of a second."""
POLL_SECONDS = 0.01

RAYLET = "/raylet"
CONCURRENCY = "--maximum_startup_concurrency"
"""How many workers a raylet starts at once."""
PRESTART = "--num_prestart_python_workers"
"""How many it starts with its first job, before anything asks for them."""

Amounts = Mapping[str, float]
"""By resource, in Ray's names and units; 0 takes it away."""

log = logging.getLogger("heliostat.resize")


def growing(command: list[str]) -> list[str]:
    """The command of a raylet without CPUs with the options that it would have had with some; others as they are."""
    changes = {CONCURRENCY: str(max(1, os.cpu_count() or 1)), PRESTART: "1"}
    return [
        f"{name}={changes[name]}"
        if (name := word.partition("=")[0]) in changes and command[0].endswith(RAYLET)
        else word
        for word in command
    ]


def run(gcs_address: str, token_path: str | None, steps: Sequence[Mapping[str, Amounts]], result: str) -> NoReturn:
    """Be a process that does the steps one after the other; each has amounts by Ray node id. Never returns.

    What was in the way, or an empty text, is left as ``problem`` in the file ``result``.
    """
    code = 70
    try:
        # Its standard input is the zygote's conversation, whose end would be seen late.
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        problem = resize(gcs_address, token_path, steps)
        replace_json(Path(result), {"problem": problem})
        code = 1 if problem else 0
    except BaseException:  # noqa: BLE001  # the process boundary: anything that escapes belongs in the log, and this must not return
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def resize(gcs_address: str, token_path: str | None, steps: Sequence[Mapping[str, Amounts]]) -> str:
    """Do the steps; what was in the way, or empty."""
    import grpc
    from ray.core.generated import autoscaler_pb2, autoscaler_pb2_grpc, gcs_service_pb2_grpc

    if not hasattr(autoscaler_pb2, "ResizeRayletResourceInstancesRequest"):
        return "This release of Ray cannot change the resources of a live node."
    cluster = cluster_id(gcs_address, token_path)
    if cluster is None:
        return "The head does not answer."
    metadata = [("ray_cluster_id", cluster), *authorization(token_path)]
    try:
        with connect(gcs_address) as connection:
            resizer = autoscaler_pb2_grpc.AutoscalerStateServiceStub(connection)
            resources = gcs_service_pb2_grpc.NodeResourceInfoGcsServiceStub(connection)
            for step in steps:
                for node, amounts in step.items():
                    request = autoscaler_pb2.ResizeRayletResourceInstancesRequest(
                        node_id=bytes.fromhex(node), resources=amounts
                    )
                    reply = resizer.ResizeRayletResourceInstances(request, timeout=GCS_SECONDS, metadata=metadata)
                    if not _has(reply.total_resources, amounts):
                        return f"Node {node} was told to have {dict(amounts)} and has {dict(reply.total_resources)}."
                problem = _wait(resources, metadata, step)
                if problem:
                    return problem
    except grpc.RpcError as error:
        log.warning("the resources could not be set: %s", error)
        return f"Ray did not take the request: {error.code().name}: {error.details()}"
    return ""


def _wait(stub: Any, metadata: list[tuple[str, str]], step: Mapping[str, Amounts]) -> str:  # grpc is untyped
    """Until the GCS offers what was set; what is missing after a while, or empty."""
    from ray.core.generated import gcs_service_pb2

    deadline = time.monotonic() + SHOWN_SECONDS
    while True:
        request = gcs_service_pb2.GetAllTotalResourcesRequest()
        reply = stub.GetAllTotalResources(request, timeout=GCS_SECONDS, metadata=metadata)
        totals = {row.node_id.hex(): row.resources_total for row in reply.resources_list}
        missing = [node for node, amounts in step.items() if node not in totals or not _has(totals[node], amounts)]
        if not missing:
            return ""
        if time.monotonic() > deadline:
            return f"The head does not show the new resources of node {missing[0]} after {SHOWN_SECONDS:.0f} seconds."
        time.sleep(POLL_SECONDS)


def _has(totals: Mapping[str, float], amounts: Amounts) -> bool:
    """Whether a node has these amounts. Ray keeps four decimal places."""
    return all(abs(totals.get(name, 0.0) - amount) < 1e-3 for name, amount in amounts.items())
