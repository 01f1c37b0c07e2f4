"""AdminService, DataProxyService and AuthMetadataService as a table of methods for the dialect's gRPC handler.

Every method that the services have is in it: one that is not served says so by its name, and what is served.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from flyteidl.admin import common_pb2 as common
from flyteidl.admin import launch_plan_pb2 as launch_plans
from flyteidl.admin import project_pb2 as projects
from flyteidl.admin import task_pb2 as tasks
from flyteidl.admin import version_pb2 as versions
from flyteidl.admin import workflow_pb2 as workflows
from flyteidl.service import admin_pb2 as admin_service
from flyteidl.service import auth_pb2 as auth
from flyteidl.service import dataproxy_pb2 as dataproxy
from google.protobuf import message_factory

from heliostat.services import Caller, Services

from ..errors import UNIMPLEMENTED, FlyteError
from ..places import Places
from ..rpc import Method, RpcCall
from ..settings import FlyteSettings
from .auth_metadata import AuthMetadataCalls
from .data_proxy import Calls, DataProxyCalls
from .launch_plan_calls import LaunchPlanCalls
from .projects import ProjectCalls
from .registry import Registry
from .task_calls import TaskCalls
from .workflow_calls import WorkflowCalls

ADMIN = "flyteidl.service.AdminService"
DATA_PROXY = "flyteidl.service.DataProxyService"
AUTH_METADATA = "flyteidl.service.AuthMetadataService"
PREFIXES = tuple(f"/{service}/" for service in (ADMIN, DATA_PROXY, AUTH_METADATA))
DESCRIPTORS = (admin_service.DESCRIPTOR, dataproxy.DESCRIPTOR, auth.DESCRIPTOR)
# flyteidl ships no types, so messages and their classes are Any here.


def methods(
    services: Services,
    settings: FlyteSettings,
    places: Places,
    registry: Registry,
    upload_key: bytes,
    executions: Calls,
) -> Mapping[str, Method]:
    """``executions`` are the methods of AdminService for runs."""
    served = {f"/{ADMIN}/{name}": _method(*row) for name, row in executions.items()}
    served |= _registered(services, settings, registry)
    served |= _projects(services, places)
    served |= _data(services, places, upload_key, executions)
    served |= _sign_in(services)
    return {**_others(sorted(served)), **served}


def _registered(services: Services, settings: FlyteSettings, registry: Registry) -> dict[str, Method]:
    task = TaskCalls(registry, settings, services.installation)
    workflow = WorkflowCalls(registry)
    plan = LaunchPlanCalls(registry, services)
    one, many, ids = common.ObjectGetRequest, common.ResourceListRequest, common.NamedEntityIdentifierListRequest
    rows: dict[str, tuple[Any, Callable[[Caller, Any], Awaitable[Any]]]] = {
        "CreateTask": (tasks.TaskCreateRequest, task.create),
        "GetTask": (one, task.get),
        "ListTasks": (many, task.list),
        "ListTaskIds": (ids, task.list_ids),
        "CreateWorkflow": (workflows.WorkflowCreateRequest, workflow.create),
        "GetWorkflow": (one, workflow.get),
        "ListWorkflows": (many, workflow.list),
        "ListWorkflowIds": (ids, workflow.list_ids),
        "CreateLaunchPlan": (launch_plans.LaunchPlanCreateRequest, plan.create),
        "GetLaunchPlan": (one, plan.get),
        "ListLaunchPlans": (many, plan.list),
        "ListLaunchPlanIds": (ids, plan.list_ids),
        "UpdateLaunchPlan": (launch_plans.LaunchPlanUpdateRequest, plan.update),
        "GetActiveLaunchPlan": (launch_plans.ActiveLaunchPlanRequest, plan.active),
        "ListActiveLaunchPlans": (launch_plans.ActiveLaunchPlanListRequest, plan.list_active),
    }
    return {f"/{ADMIN}/{name}": _method(*row) for name, row in rows.items()}


def _projects(services: Services, places: Places) -> dict[str, Method]:
    calls = ProjectCalls(services, places)
    return {
        f"/{ADMIN}/ListProjects": _method(projects.ProjectListRequest, calls.list_projects),
        f"/{ADMIN}/GetProject": _method(projects.ProjectGetRequest, calls.get_project),
        f"/{ADMIN}/GetDomains": _method(projects.GetDomainRequest, calls.get_domains),
        f"/{ADMIN}/GetVersion": _method(versions.GetVersionRequest, calls.get_version),
    }


def _data(services: Services, places: Places, upload_key: bytes, executions: Calls) -> dict[str, Method]:
    calls = DataProxyCalls(services, places, upload_key, executions)
    upload, download = dataproxy.CreateUploadLocationRequest, dataproxy.CreateDownloadLinkRequest
    return {
        f"/{DATA_PROXY}/CreateUploadLocation": _method(upload, calls.create_upload_location),
        f"/{DATA_PROXY}/CreateDownloadLink": _method(download, calls.create_download_link),
        f"/{DATA_PROXY}/GetData": _method(dataproxy.GetDataRequest, calls.get_data),
    }


def _sign_in(services: Services) -> dict[str, Method]:
    calls = AuthMetadataCalls(services.installation)

    async def metadata(call: RpcCall, request: Any) -> Any:
        return calls.oauth2_metadata()

    async def client(call: RpcCall, request: Any) -> Any:
        return calls.public_client_config()

    return {
        f"/{AUTH_METADATA}/GetOAuth2Metadata": Method(auth.OAuth2MetadataRequest, metadata, public=True),
        f"/{AUTH_METADATA}/GetPublicClientConfig": Method(auth.PublicClientAuthConfigRequest, client, public=True),
    }


def _others(served: list[str]) -> dict[str, Method]:
    """Every other method of the services."""
    found = {}
    for file in DESCRIPTORS:
        for service in file.services_by_name.values():
            names = [path.rpartition("/")[2] for path in served if path.startswith(f"/{service.full_name}/")]
            for method in service.methods:
                request = message_factory.GetMessageClass(method.input_type)
                sentence = f"{method.name} of {service.name} is not served here; served are {', '.join(names)}"
                found[f"/{service.full_name}/{method.name}"] = Method(request, _refuse(sentence))
    return found


def _refuse(sentence: str) -> Callable[[RpcCall, Any], Awaitable[Any]]:
    async def perform(call: RpcCall, request: Any) -> Any:
        raise FlyteError(UNIMPLEMENTED, sentence)

    return perform


def _method(request: Any, calls: Callable[[Caller, Any], Awaitable[Any]]) -> Method:
    async def perform(call: RpcCall, message: Any) -> Any:
        return await calls(call.known_caller, message)

    return Method(request, perform)
