"""``vertex_ray`` as a user of it: makes and removes clusters of one node, as lines of the input say.

It runs in the SDK's environment. A line is ``TRANSPORT NAME``; the answer is a line with the seconds that
``create_ray_cluster`` took. The cluster is gone then.
"""

import contextlib
import os
import sys
import time

import vertex_ray
from google.cloud import aiplatform

PLACE = os.environ["GOOGLE_CLOUD_UNIVERSE_DOMAIN"]


def seconds(transport: str, name: str) -> float:
    aiplatform.init(project="default", location="us-central1", api_endpoint=PLACE, api_transport=transport)
    head = vertex_ray.Resources(machine_type="custom-1-2048")
    began = time.perf_counter()
    made = vertex_ray.create_ray_cluster(cluster_name=name, head_node_type=head, worker_node_types=[])
    took = time.perf_counter() - began
    vertex_ray.delete_ray_cluster(made)
    with contextlib.suppress(ValueError):  # not found
        while vertex_ray.get_ray_cluster(made):
            time.sleep(0.1)
    return took


for line in sys.stdin:
    with contextlib.redirect_stdout(sys.stderr):
        took = seconds(*line.split())
    print(took, flush=True)
