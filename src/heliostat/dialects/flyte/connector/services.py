"""The connector's methods by their paths, on both of Flyte's wires. Imports flyteidl.

The first wire's service is ``AsyncAgentService``: "connector" is a word of Python's and Go's classes there, and of the second
wire (Flyte contract, section 0).
"""

from __future__ import annotations

from typing import Any

from flyteidl.admin import agent_pb2

from heliostat.services import Services

from ..errors import UNIMPLEMENTED, FlyteError
from ..places import Places
from ..rpc import Method, Methods, RpcCall
from ..runs.runs import Runs
from .health import Health
from .metrics import ConnectorMetrics
from .tasks import Tasks

ASYNC = "flyteidl.service.AsyncAgentService"
SYNC = "flyteidl.service.SyncAgentService"
METADATA = "flyteidl.service.AgentMetadataService"
SECOND_ASYNC = "flyteidl2.connector.AsyncConnectorService"
SECOND_METADATA = "flyteidl2.connector.ConnectorMetadataService"
SERVICES = (ASYNC, SYNC, METADATA, SECOND_ASYNC, SECOND_METADATA)
PREFIXES = (*(f"/{name}/" for name in SERVICES), "/grpc.health.v1.Health/")


def methods(services: Services, runs: Runs, places: Places, metrics: ConnectorMetrics, health: Health) -> Methods:
    """The whole table. Which connector there is and whether it answers may be asked by anybody."""
    first = Tasks(services, runs, places, metrics, first=True)
    second = Tasks(services, runs, places, metrics, first=False)
    return {
        **_of_tasks(ASYNC, first),
        **_of_tasks(SECOND_ASYNC, second),
        f"/{METADATA}/ListAgents": Method(agent_pb2.ListAgentsRequest, first.listed, public=True),
        f"/{METADATA}/GetAgent": Method(agent_pb2.GetAgentRequest, first.described),
        f"/{SECOND_METADATA}/ListConnectors": Method(agent_pb2.ListAgentsRequest, second.listed, public=True),
        f"/{SECOND_METADATA}/GetConnector": Method(agent_pb2.GetAgentRequest, second.described),
        f"/{SYNC}/ExecuteTaskSync": Method(agent_pb2.ExecuteTaskSyncRequest, _no_sync),
        **health.methods(),
    }


def _of_tasks(service: str, tasks: Tasks) -> dict[str, Method]:
    return {
        f"/{service}/CreateTask": Method(agent_pb2.CreateTaskRequest, tasks.create),
        f"/{service}/GetTask": Method(agent_pb2.GetTaskRequest, tasks.get),
        f"/{service}/DeleteTask": Method(agent_pb2.DeleteTaskRequest, tasks.delete),
        f"/{service}/GetTaskMetrics": Method(agent_pb2.GetTaskMetricsRequest, tasks.metrics),
        f"/{service}/GetTaskLogs": Method(agent_pb2.GetTaskLogsRequest, stream=tasks.logs),
    }


async def _no_sync(call: RpcCall, request: Any) -> Any:
    raise FlyteError(UNIMPLEMENTED, "tasks of type ray take their time: they are created by AsyncAgentService")
