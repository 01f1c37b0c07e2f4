"""``vertex_ray`` line by line, for stories that others take part in: reads a JSON command per line and answers with a JSON line.

``cross.py PROJECT``; a command is a list of words. What is printed by the SDK goes to the standard error.
"""

import contextlib
import json
import sys

import vertex_ray
from common import PLACE, PROJECT, name
from google.cloud import aiplatform, aiplatform_v1beta1

aiplatform.init(project=PROJECT, location="us-central1", api_endpoint=PLACE)
SMALL, LARGE = (vertex_ray.Resources(machine_type=f"n1-standard-{cpus}") for cpus in (2, 4))


def described(cluster) -> dict:
    return {
        "name": cluster.cluster_resource_name,
        "state": cluster.state,
        "labels": dict(cluster.labels),
        "ray": cluster.ray_version,
        "head": cluster.head_node_type.machine_type,
        "workers": [[row.machine_type, row.node_count] for row in cluster.worker_node_types],
    }


def perform(word: str, identity: str = "", *rest: str) -> object:
    if word == "create":
        return vertex_ray.create_ray_cluster(
            SMALL, cluster_name=identity, worker_node_types=[LARGE], labels={"made": "here"}
        )
    if word == "list":
        return [described(row) for row in vertex_ray.list_ray_clusters()]
    if word == "get":
        return described(vertex_ray.get_ray_cluster(name(identity)))
    if word == "error":
        client = aiplatform_v1beta1.PersistentResourceServiceClient(client_options={"api_endpoint": PLACE})
        return client.get_persistent_resource(name=name(identity)).error.message
    if word == "resize":
        workers = vertex_ray.get_ray_cluster(name(identity)).worker_node_types
        workers[0].node_count = int(rest[0])
        return vertex_ray.update_ray_cluster(name(identity), workers)
    return vertex_ray.delete_ray_cluster(name(identity))


for line in sys.stdin:
    with contextlib.redirect_stdout(sys.stderr):
        try:
            found = {"value": perform(*json.loads(line))}
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises is the answer
            found = {"error": str(error)}
    print(json.dumps(found), flush=True)
