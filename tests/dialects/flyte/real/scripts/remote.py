"""FlyteRemote, used as its documentation says: register, execute, wait, outputs, terminate. Prints what it saw as JSON."""

import datetime
import json
import sys

import flows
import sleeping
from flytekit.configuration import Config, FastSerializationSettings, ImageConfig, SerializationSettings
from flytekit.remote import FlyteRemote

remote = FlyteRemote(Config.auto(), default_project="flytesnacks", default_domain="development")
ImageConfig.auto_default_image()
seen = {}

_, location = remote.fast_package(".")
settings = SerializationSettings(
    image_config=ImageConfig.auto_default_image(),
    project="flytesnacks",
    domain="development",
    version="v1",
    fast_serialization_settings=FastSerializationSettings(
        enabled=True, destination_dir=".", distribution_location=location
    ),
)
flow = remote.register_workflow(flows.three_steps, serialization_settings=settings)
seen["registered"] = [flow.id.name, flow.id.version]
execution = remote.execute(flow, inputs={"n": 4})
execution = remote.wait(
    execution, timeout=datetime.timedelta(seconds=100), poll_interval=datetime.timedelta(seconds=0.3)
)
seen["outputs"] = execution.outputs["o0"]
seen["nodes"] = {name: node.closure.phase for name, node in sorted(execution.node_executions.items())}
seen["inner"] = execution.node_executions["n0"].outputs["o0"]

fetched = remote.fetch_workflow(name="flows.three_steps", version="v1")
seen["fetched"] = sorted(node.id for node in fetched.flyte_nodes)

task = remote.register_task(sleeping.asleep, serialization_settings=settings)
execution = remote.execute(task, inputs={"path": sys.argv[1]})
remote.terminate(execution, cause="it sleeps too long")
execution = remote.wait(
    execution, timeout=datetime.timedelta(seconds=60), poll_interval=datetime.timedelta(seconds=0.3)
)
seen["terminated"] = [execution.closure.phase, execution.closure.abort_metadata.cause]
print(json.dumps(seen))
