"""What a person does with ``vertex_ray``, from a fresh process whose environment ``heliostat login --vertex`` has printed.

``story.py PROJECT TRANSPORT FOLDER``: the copy-paste text of the Vertex contract, section 3.4, with a look at everything
on the way. The last line of the output is what was seen, as JSON.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import ray
import vertex_ray
from google.cloud import aiplatform
from google.cloud.aiplatform import persistent_resource
from ray.job_submission import JobSubmissionClient

project, transport, folder = sys.argv[1:]
marker = Path(folder) / f"seen-{transport}"
seen = {"transport": transport}

aiplatform.init(
    project=project,
    location="us-central1",
    api_endpoint=os.environ["GOOGLE_CLOUD_UNIVERSE_DOMAIN"],
    api_transport=transport,
)
name = vertex_ray.create_ray_cluster(
    cluster_name=f"demo-{transport}",
    head_node_type=vertex_ray.Resources(machine_type="n1-standard-4"),
    worker_node_types=[vertex_ray.Resources(machine_type="n1-standard-8", node_count=1)],
    labels={"team": "heliostat"},
)
seen["returned"] = time.time()
seen["name"] = name

cluster = vertex_ray.get_ray_cluster(name)
seen["cluster"] = {
    "state": cluster.state,
    "ray": cluster.ray_version,
    "python": cluster.python_version,
    "labels": dict(cluster.labels),
    "head": cluster.head_node_type.machine_type,
    "workers": [(row.machine_type, row.node_count) for row in cluster.worker_node_types],
    "dashboard": cluster.dashboard_address,
}
resource = persistent_resource.PersistentResource(name)
seen["started"] = resource.start_time.timestamp()
seen["uris"] = dict(resource.gca_resource.resource_runtime.access_uris)
seen["listed"] = [row.cluster_resource_name for row in vertex_ray.list_ray_clusters()]

workers = cluster.worker_node_types
workers[0].node_count = 2
seen["updated"] = vertex_ray.update_ray_cluster(name, workers)
seen["workers"] = [row.node_count for row in vertex_ray.get_ray_cluster(name).worker_node_types]

jobs = JobSubmissionClient("vertex_ray://" + name)
job = jobs.submit_job(entrypoint=f"sh -c 'echo hello; until [ -e {marker} ]; do sleep 0.1; done; echo bye'")


async def follow() -> str:
    """The job's log as it is written: the job goes on only when its first word has been read."""
    text = ""
    async for part in jobs.tail_job_logs(job):
        text += part
        if "hello" in text and not marker.exists():
            seen["while followed"] = jobs.get_job_status(job)
            marker.touch()
    return text


seen["log"] = asyncio.run(follow())
seen["ended"] = jobs.get_job_status(job)

with ray.init("vertex_ray://" + name.rpartition("/")[2]):
    seen["task"] = ray.get(ray.remote(lambda x: x + 1).remote(41))
    seen["nodes"] = sorted(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])

vertex_ray.delete_ray_cluster(name)
while True:
    try:
        seen["on the way out"] = vertex_ray.get_ray_cluster(name).state
    except ValueError as error:
        seen["gone"] = str(error.args[-1])
        break
    time.sleep(0.2)
seen["left"] = [row.cluster_resource_name for row in vertex_ray.list_ray_clusters()]
print(json.dumps(seen))
