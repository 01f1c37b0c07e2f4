"""Calls the connector as Flyte 2 does, with its real package; runs in an environment of its own, and prints JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import grpc
from flyteidl2.connector import connector_pb2, service_pb2_grpc
from google.protobuf import json_format


def request(prefix: str) -> Any:
    made = connector_pb2.CreateTaskRequest(output_prefix=prefix)
    template = made.template
    template.type = "ray"
    template.id.project, template.id.domain, template.id.name, template.id.version = "p", "d", "t", "v"
    template.container.image = "cr.flyte.org/flyteorg/flytekit:py3.11-1.16.31"
    template.container.args.extend(["a0", "--inputs", "x"])
    group = {"groupName": "w", "replicas": 1.0}
    template.custom.update({"rayCluster": {"workerGroupSpec": [group]}, "reusePolicy": {"replicas": 2}})
    output = template.interface.outputs.variables.add(key="o0")
    output.value.type.simple = 1
    value = made.inputs.literals.add(name="x").value
    value.scalar.primitive.integer = 42
    made.inputs.context.add(key="trace", value="1")
    made.connection.task_type = "ray"
    told = made.task_execution_metadata
    told.task_execution_id.node_execution_id.node_id = "n0"
    execution = told.task_execution_id.node_execution_id.execution_id
    execution.project, execution.domain, execution.name = "flytesnacks", "development", "r1"
    told.environment_variables["A"] = "B"
    return made


def unknown_fields(message: Any) -> int:
    """How many bytes of an answer this package does not know."""
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    return int(message.ByteSize() - known.ByteSize())


def main(port: str, prefix: str) -> None:
    found: dict[str, Any] = {}
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        metadata = service_pb2_grpc.ConnectorMetadataServiceStub(channel)
        tasks = service_pb2_grpc.AsyncConnectorServiceStub(channel)
        listed = metadata.ListConnectors(connector_pb2.ListConnectorsRequest())
        found["listed"] = json_format.MessageToDict(listed)
        name = connector_pb2.GetConnectorRequest(name="heliostat-ray")
        described = metadata.GetConnector(name)
        found["described"] = json_format.MessageToDict(described)
        made = tasks.CreateTask(request(prefix), timeout=20)
        again = tasks.CreateTask(request(prefix), timeout=20)
        found["same"] = made.resource_meta == again.resource_meta
        category = connector_pb2.TaskCategory(name="ray", version=1)
        asked = connector_pb2.GetTaskRequest(resource_meta=made.resource_meta, task_category=category)
        asked.connection.secrets["k"] = "v"
        end = time.monotonic() + 20
        while (shown := tasks.GetTask(asked, timeout=20)).resource.phase != 3 and time.monotonic() < end:
            time.sleep(0.05)
        found["done"] = json_format.MessageToDict(shown)
        logs = connector_pb2.GetTaskLogsRequest(resource_meta=made.resource_meta, lines=1)
        answers = list(tasks.GetTaskLogs(logs, timeout=20))
        found["parts"] = [answer.WhichOneof("part") for answer in answers]
        figures = tasks.GetTaskMetrics(
            connector_pb2.GetTaskMetricsRequest(resource_meta=made.resource_meta), timeout=20
        )
        gone = tasks.DeleteTask(connector_pb2.DeleteTaskRequest(resource_meta=made.resource_meta), timeout=20)
        missing = connector_pb2.GetTaskRequest(resource_meta=b'{"v":1,"id":"rj-0000000000000000"}')
        found["missing"] = json_format.MessageToDict(tasks.GetTask(missing, timeout=20))
        everything = (listed, described, made, shown, figures, gone, *answers)
        found["unknown"] = sum(unknown_fields(message) for message in everything)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
