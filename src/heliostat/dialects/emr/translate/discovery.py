"""Workspaces, queues, releases and networks as this dialect shows them (EMR contract, section 9).

Fields that mean nothing here (payment, storage, quotas bought ahead) are left out rather than invented.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal

import orjson

from heliostat.domain.engine import GpuType
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.quantities import format_cores
from heliostat.domain.records import Amount, Instance, NetworkService, Queue, Workspace
from heliostat.services import ReleaseView

from .clusters import Json, milliseconds
from .spec import format_memory

ROOT_QUEUE = "root_queue"
ENVIRONMENTS = ("dev", "production")
"""Every queue serves both kinds of work."""
RUNNING = "RUNNING"
_ARCHITECTURES = {"x86_64": "x86", "amd64": "x86", "aarch64": "arm", "arm64": "arm"}


def workspace(record: Workspace, region: str) -> Json:
    """One of ``workspaces[]``."""
    shown: Json = {
        "workspaceId": record.id,
        "workspaceName": record.name,
        "workspaceStatus": RUNNING,
        "regionId": region,
        "paymentType": "PayAsYouGo",
        "autoRenew": False,
        "createTime": milliseconds(record.created_at),
        "tags": [{"tagKey": key, "tagValue": value} for key, value in record.tags.items()],
    }
    return shown


def workspace_detail(record: Workspace, region: str) -> Json:
    """``workspace`` of GetWorkspace."""
    shown = workspace(record, region)
    if record.creator is not None:
        shown["resourceOwnerId"] = record.creator
    return shown


def usage(instances: Iterable[Instance], gpus: Mapping[str, GpuType]) -> dict[str, Amount]:
    """What the nodes of these instances take of each queue."""
    used: defaultdict[str, Amount] = defaultdict(lambda: Amount(Decimal(0), 0, 0))
    for instance in instances:
        spec = instance.spec
        for shape, count in ((spec.head, 1), *((group.shape, group.replicas) for group in spec.workers)):
            before = used[shape.queue]
            gpu = gpus.get(shape.gpu) if shape.gpu else None
            used[shape.queue] = Amount(
                (before.cpu or Decimal(0)) + shape.cpu * count,
                (before.memory or 0) + shape.memory * count,
                (before.gpu or 0) + (gpu.count if gpu else 0) * count,
            )
    return dict(used)


def queue(record: Queue, used: Amount | None, installation: Installation) -> Json:
    """One of ``queues[]``. What a resource text does not name is not limited: ``{}`` means no limit at all."""
    machine = platform.machine()
    nothing = Amount(Decimal(0), 0, 0)
    shown: Json = {
        "queueName": record.name,
        "workspaceId": record.workspace,
        "regionId": installation.region,
        "queueStatus": RUNNING,
        "queueType": "instance" if record.name == ROOT_QUEUE else "instanceChildren",
        "queueCategory": "GPU" if record.maximum.gpu else "CPU",
        "queueScope": orjson.dumps({"arch": _ARCHITECTURES.get(machine, machine)}).decode(),
        "paymentType": "PayAsYouGo",
        "description": record.description,
        "minResource": _amount(_at_least(record.minimum)),
        "maxResource": _amount(record.maximum),
        "usedResource": _amount(used or nothing),
        "environments": list(ENVIRONMENTS),
        "preheat": False,
        "createTime": milliseconds(record.created_at),
    }
    if record.creator is not None:
        shown["creator"] = record.creator
    if record.maximum.gpu != 0 and installation.gpus:
        shown["gpuSpec"] = list(installation.gpus)
    return shown


def release(view: ReleaseView) -> Json:
    """One of ``releaseVersions[]``; OFFLINE when this machine cannot run it."""
    row = view.release
    return {
        "displayReleaseVersion": row.display,
        "releaseVersion": row.name,
        "communityVersion": f"Ray {row.ray}",
        "type": "stable" if row.stable else "Beta",
        "state": "ONLINE" if view.problem is None else "OFFLINE",
        "cpuArchitectures": [platform.machine()],
        "fusion": False,
        "isCustom": False,
    }


def network_service(row: NetworkService, workspace: WorkspaceId) -> Json:
    """One of ``networkServices[]``."""
    shown: Json = {
        "networkServiceId": row.id,
        "name": row.name,
        "type": "NetworkService",
        "state": "running",
        "workspaceId": workspace,
        "vswitchIds": list(row.vswitch_ids),
    }
    if row.vpc_id:
        shown["vpcId"] = row.vpc_id
    return shown


def _at_least(minimum: Amount) -> Amount:
    """A guarantee that is not set guarantees nothing."""
    return Amount(minimum.cpu or Decimal(0), minimum.memory or 0, minimum.gpu)


def _amount(amount: Amount) -> str:
    """The vendor's JSON text, ``{"cpu": "2","memory": "2Gi"}``."""
    shown = {}
    if amount.cpu is not None:
        shown["cpu"] = format_cores(amount.cpu)
    if amount.memory is not None:
        shown["memory"] = format_memory(amount.memory)
    if amount.gpu:
        shown["gpu"] = str(amount.gpu)
    return orjson.dumps(shown).decode()
