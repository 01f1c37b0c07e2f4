"""What is refused, through the SDK: its own clients in both versions on both transports, and ``vertex_ray``.

``refusals.py PROJECT FOREIGN_KEY``; the last line of the output is JSON: way -> case -> what was raised. The server's
clusters take a moment to start, and one that is named ``broken`` never does.
"""

import json
import sys
import time
from collections.abc import Callable

import requests
from common import PARENT, PLACE, PROJECT, name, outcome, signed
from google.cloud import aiplatform, aiplatform_v1, aiplatform_v1beta1
from google.oauth2 import service_account

IMAGE = "us-docker.pkg.dev/vertex-ai/training/ray-cpu.2-47.py311:latest"
RUNTIME = {"ray_spec": {"image_uri": IMAGE}}
POOL = {"id": "head", "machine_spec": {"machine_type": "n1-standard-2"}, "replica_count": 1}


def client(module, transport: str, credentials=None):
    return module.PersistentResourceServiceClient(
        transport=transport, client_options={"api_endpoint": PLACE}, credentials=credentials
    )


def create(api, identity: str, parent: str = PARENT, **fields):
    return api.create_persistent_resource(
        parent=parent,
        persistent_resource_id=identity,
        persistent_resource={"resource_pools": [POOL], "resource_runtime_spec": RUNTIME} | fields,
    )


def cancel(operation) -> None:
    """The SDK's own cancel of this release fails on REST before it sends anything."""
    try:
        operation.cancel()
    except KeyError:
        path, headers = operation.operation.name, {"authorization": f"Bearer {signed(time.time())}"}
        requests.post(f"https://{PLACE}/ui/{path}:cancel", headers=headers, json={}, timeout=20).raise_for_status()


def end(operation) -> object:
    """Its result, without the SDK's growing pauses between two looks."""
    while not operation.done():
        time.sleep(0.1)
    return operation.result()


def by_version(module, transport: str) -> dict[str, object]:
    """The table, on resources of this way's own."""
    api, own = client(module, transport), f"{module.__name__.rpartition('_')[2]}-{transport}"
    foreign = service_account.Credentials.from_service_account_file(sys.argv[2])
    made = create(api, own)
    running = create(api, own + "-two")
    cancelled = create(api, own + "-three")
    cancel(cancelled)
    update = lambda identity, paths, **fields: api.update_persistent_resource(  # noqa: E731
        persistent_resource={"name": name(identity), "resource_pools": [POOL]} | fields, update_mask={"paths": paths}
    )
    other = "projects/no-such-project/locations/us-central1"
    cases: dict[str, Callable[[], object]] = {
        "reboot while provisioning": lambda: api.reboot_persistent_resource(name=name(own)),
        "update while provisioning": lambda: update(own, ["resource_pools.replica_count"]),
        "created twice": lambda: create(api, own),
        "a cancelled create": lambda: end(cancelled),
        "no such resource": lambda: api.get_persistent_resource(name=name("nobody")),
        "delete of none": lambda: api.delete_persistent_resource(name=name("nobody")),
        "reboot of none": lambda: api.reboot_persistent_resource(name=name("nobody")),
        "an id that is none": lambda: create(api, "My_Cluster"),
        "no pools": lambda: create(api, "x", resource_pools=[]),
        "an unknown machine": lambda: create(
            api, "x", resource_pools=[POOL | {"machine_spec": {"machine_type": "z9-standard-2"}}]
        ),
        "pools of one id": lambda: create(api, "x", resource_pools=[POOL, POOL]),
        "a head that is no pool": lambda: create(
            api, "x", resource_runtime_spec={"ray_spec": {"head_node_resource_pool_id": "tail", "image_uri": IMAGE}}
        ),
        "an unknown image": lambda: create(api, "x", resource_runtime_spec={"ray_spec": {"image_uri": "who/knows:1"}}),
        "no mask": lambda: update(own, []),
        "a mask of what cannot change": lambda: update(own, ["network"]),
        "a mask of nothing known": lambda: update(own, ["resource_pools.colour"]),
        "a negative page": lambda: api.list_persistent_resources({"parent": PARENT, "page_size": -1}),
        "a page of nobody": lambda: api.list_persistent_resources({"parent": PARENT, "page_token": "zzz"}),
        "another project": lambda: create(api, "x", parent=other),
        "another project's list": lambda: api.list_persistent_resources(parent=other),
        "a foreign key": lambda: client(module, transport, foreign).get_persistent_resource(name=name(own)),
        "a start that fails": lambda: end(create(api, "broken")),
        "a name that is none": lambda: api.get_persistent_resource(name="projects/x/persistentResources/y"),
    }
    found = {case: outcome(call) for case, call in cases.items()}
    end(made)
    end(running)
    found |= {
        "more than the largest": outcome(
            lambda: update(own, ["resource_pools.replica_count"], resource_pools=[POOL | {"replica_count": 100000}])
        ),
        "none left": outcome(
            lambda: update(own, ["resource_pools.replica_count"], resource_pools=[POOL | {"replica_count": 0}])
        ),
    }
    for identity in (own, own + "-two", "broken"):
        end(api.delete_persistent_resource(name=name(identity)))
    return found | {"gone": outcome(lambda: api.get_persistent_resource(name=name(own)))}


def by_sdk(transport: str) -> dict[str, object]:
    """What ``vertex_ray`` makes of refusals."""
    import vertex_ray

    small = vertex_ray.Resources(machine_type="n1-standard-2")
    aiplatform.init(project=PROJECT, location="us-central1", api_endpoint=PLACE, api_transport=transport)
    found = {
        "no such cluster": outcome(lambda: vertex_ray.get_ray_cluster(name("nobody"))),
        "delete of none": outcome(lambda: vertex_ray.delete_ray_cluster(name("nobody"))),
        "an id that is none": outcome(lambda: vertex_ray.create_ray_cluster(small, cluster_name="My_Cluster")),
        "a start that fails": outcome(lambda: vertex_ray.create_ray_cluster(small, cluster_name="broken")),
    }
    vertex_ray.delete_ray_cluster(name("broken"))
    while "returned" in str(outcome(lambda: vertex_ray.get_ray_cluster(name("broken")))):
        time.sleep(0.1)
    aiplatform.init(project="no-such-project", location="us-central1", api_endpoint=PLACE, api_transport=transport)
    found["another project"] = outcome(vertex_ray.list_ray_clusters)
    return found


seen: dict[str, object] = {}
for version in (aiplatform_v1, aiplatform_v1beta1):
    for way in ("grpc", "rest"):
        seen[f"{version.__name__.rpartition('_')[2]} {way}"] = by_version(version, way)
for way in ("grpc", "rest"):
    seen[f"sdk {way}"] = by_sdk(way)
print(json.dumps(seen))
