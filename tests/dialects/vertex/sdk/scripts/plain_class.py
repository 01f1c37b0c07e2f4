"""What a person does with the plain ``PersistentResource`` class, which speaks v1 and waits for operations.

``plain_class.py PROJECT TRANSPORT``; the last line of the output is what was seen, as JSON.
"""

import json
import os
import sys

from google.api_core import exceptions
from google.cloud import aiplatform
from google.cloud.aiplatform import persistent_resource

project, transport = sys.argv[1:]
aiplatform.init(
    project=project,
    location="europe-west4",
    api_endpoint=os.environ["GOOGLE_CLOUD_UNIVERSE_DOMAIN"],
    api_transport=transport,
)
POOL = {"machine_spec": {"machine_type": "n1-standard-2"}, "replica_count": 2}
made = persistent_resource.PersistentResource.create(
    persistent_resource_id=f"plain-{transport}",
    display_name="A plain one",
    labels={"team": "heliostat"},
    resource_pools=[{"id": "first", **POOL}],
    service_account="robot@helio-demo.iam.gserviceaccount.com",
)


def facts(resource: persistent_resource.PersistentResource) -> dict:
    return {
        "name": resource.resource_name,
        "display name": resource.display_name,
        "state": resource.state.name,
        "labels": dict(resource.labels),
        "error": resource.error.message,
        "pools": [(row.id, row.replica_count) for row in resource.gca_resource.resource_pools],
        "started": resource.start_time.timestamp(),
    }


seen = {"made": facts(made)}
made.reboot()
again = persistent_resource.PersistentResource(f"plain-{transport}")
seen["rebooted"] = facts(again)
again.delete()
try:
    persistent_resource.PersistentResource(f"plain-{transport}")
except exceptions.NotFound as error:
    seen["gone"] = error.message
print(json.dumps(seen))
