"""Queues in this dialect's words (EMR contract, section 9).

Amounts come in compute units: one is one core and 4 GiB. ``cu`` is what is guaranteed, ``maxCu`` the most that may be held;
``cu`` alone is both, as the vendor describes it as the upper limit. ``gpu`` bounds the GPUs. What has no place in a queue
of ours is kept in its ``extras`` and given back.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson

from heliostat.domain.engine import GpuType
from heliostat.domain.errors import InvalidRequest
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.quantities import GIB, format_cores
from heliostat.domain.quota import ROOT
from heliostat.domain.records import Amount, Queue, Role
from heliostat.services import Holder, QueueView

from ..errors import EmrError, invalid, missing
from .clusters import Json, milliseconds
from .fields import Fields, to_integer
from .spec import format_memory

ENVIRONMENTS = ("dev", "production")
LONGEST_SPAN = timedelta(days=31)
LARGEST_TOP = 10
_EXTRA = "emr.queue."
_PAYMENTS = ("PayAsYouGo", "Pre")
_CATEGORIES = ("CPU", "GPU")
_GIB_OF_UNIT = 4
_LARGEST_CU = 100_000
_LARGEST_GPUS = 100_000
_LONGEST_TEXT = 256
_PATHS = {
    "name": "workspaceQueueName",
    "minimum": "resourceSpec.cu",
    "maximum": "resourceSpec.maxCu",
    "minimum.gpu": "resourceSpec.gpu",
    "maximum.gpu": "resourceSpec.gpu",
}
_ARCHITECTURES = {"x86_64": "x86", "amd64": "x86", "aarch64": "arm", "arm64": "arm"}
_ACTIONS = {
    Role.VIEWER: ("ListQueueTopJobs", "GetCuHours"),
    Role.EDITOR: ("CreateRayCluster", "SubmitRayJob"),
    Role.OWNER: ("EditWorkspaceQueue", "DeleteWorkspaceQueue"),
}
"""What may be done with a queue, by the least role for it."""


def place_and_name(fields: Fields) -> tuple[WorkspaceId, str]:
    """Which queue a body is about. Raises EmrError."""
    found = []
    for key in ("workspaceId", "workspaceQueueName"):
        text = fields.text(key)
        if not text:
            raise missing(fields.at(key))
        found.append(text)
    return WorkspaceId(found[0]), found[1]


def read_new(fields: Fields, workspace: WorkspaceId, name: str, gpus: Mapping[str, GpuType], now: datetime) -> Queue:
    """The queue that CreateWorkspaceQueue asks for. Raises EmrError."""
    return _read(fields, gpus, creating=True)(Queue(workspace, name, now))


def read_change(fields: Fields, gpus: Mapping[str, GpuType]) -> Callable[[Queue], Queue]:
    """The change that EditWorkspaceQueue means: what is absent stays, ``resourceSpec`` is replaced as a whole."""
    return _read(fields, gpus, creating=False)


def told(error: InvalidRequest) -> EmrError:
    """An error of our rules with its path in this dialect's spelling."""
    path = error.path or "body"
    return invalid(_PATHS.get(path) or _PATHS.get(path.partition(".")[0]) or path, error.message)


def _read(fields: Fields, gpus: Mapping[str, GpuType], *, creating: bool) -> Callable[[Queue], Queue]:
    description = fields.text("description")
    resources = fields.nested("resourceSpec")
    amounts = None if resources is None else _amounts(resources)
    listed = [gpu.name for gpu in gpus.values() if gpu.listed]
    extras: dict[str, str] = {}

    def keep(key: str, value: str | bool | int | list[str] | None) -> None:
        if value is not None:
            extras[f"{_EXTRA}{key}"] = orjson.dumps(value).decode()

    if resources is not None:
        keep("gpuMachineNum", resources.integer("gpuMachineNum", 0, _LARGEST_GPUS))
    instance = fields.text("instanceId")
    if instance is not None and len(instance) > _LONGEST_TEXT:
        raise fields.error("instanceId", f"must have at most {_LONGEST_TEXT} characters")
    keep("instanceId", instance)
    keep("gpuSpec", _among(fields, "gpuSpec", listed, "GPU types of this installation"))
    if creating:
        keep("queueCategory", _one_of(fields, "queueCategory", _CATEGORIES))
        keep("paymentType", _one_of(fields, "paymentType", _PAYMENTS))
        keep("preheat", fields.flag("preheat"))
    else:
        keep("environments", _among(fields, "environments", ENVIRONMENTS, "environments"))

    def apply(before: Queue) -> Queue:
        after = replace(before, extras={**before.extras, **extras})
        if description is not None:
            after = replace(after, description=description)
        if amounts is not None:
            after = replace(after, minimum=amounts[0], maximum=amounts[1])
        return after

    return apply


def _amounts(resources: Fields) -> tuple[Amount, Amount]:
    """Minimum and maximum."""
    least = resources.integer("cu", 0, _LARGEST_CU)
    most = resources.integer("maxCu", 1, _LARGEST_CU)
    gpus = resources.integer("gpu", 0, _LARGEST_GPUS)
    if most is None and least:
        most = least
    if least is not None and most is not None and least > most:
        raise resources.error("maxCu", f"must be at least cu, which is {least}, given {most}")
    return _units(least or None), replace(_units(most), gpu=gpus)


def _units(cu: int | None) -> Amount:
    return Amount() if cu is None else Amount(Decimal(cu), cu * _GIB_OF_UNIT * GIB)


def _one_of(fields: Fields, key: str, known: Collection[str]) -> str | None:
    value = fields.text(key)
    if value is not None and value not in known:
        raise fields.error(key, f"must be one of {', '.join(known)}, given {value!r}")
    return value


def _among(fields: Fields, key: str, known: Collection[str], what: str) -> list[str] | None:
    values = fields.texts(key)
    for index, value in enumerate(values or ()):
        if value not in known:
            raise invalid(
                f"{fields.at(key)}[{index}]", f"{value!r} is none of the {what}: {', '.join(known) or 'none'}"
            )
    return values


def queue(view: QueueView, installation: Installation, role: Role) -> Json:
    """One of ``queues[]``. What a resource text does not name is not limited: ``{}`` means no limit at all."""
    record = view.queue
    machine = platform.machine()
    shown: Json = {
        "queueName": record.name,
        "workspaceId": record.workspace,
        "regionId": installation.region,
        "queueStatus": "RUNNING",
        "queueType": "instance" if record.name == ROOT else "instanceChildren",
        "queueCategory": "GPU" if record.maximum.gpu else "CPU",
        "queueScope": orjson.dumps({"arch": _ARCHITECTURES.get(machine, machine)}).decode(),
        "paymentType": "PayAsYouGo",
        "description": record.description,
        "minResource": _text(_at_least(record.minimum)),
        "maxResource": _text(record.maximum),
        "usedResource": _text(view.used),
        "environments": list(ENVIRONMENTS),
        "preheat": False,
        "createTime": milliseconds(record.created_at),
        "allowActions": [_action(record.workspace, name) for name in _allowed(record.name, role)],
    }
    if record.creator is not None:
        shown["creator"] = record.creator
    listed = [gpu.name for gpu in installation.gpus.values() if gpu.listed]
    if record.maximum.gpu != 0 and listed:
        shown["gpuSpec"] = listed
    kept = {key.removeprefix(_EXTRA): text for key, text in record.extras.items() if key.startswith(_EXTRA)}
    return shown | {key: orjson.loads(text) for key, text in kept.items()}


def environments(view: QueueView) -> Collection[str]:
    """For which kinds of work the queue is."""
    text = view.queue.extras.get(f"{_EXTRA}environments")
    return ENVIRONMENTS if text is None else orjson.loads(text)


def top_jobs(name: str, holders: Sequence[Holder], count: int) -> Json:
    """``queueTopJobs``: temporary clusters stand for their jobs, others for themselves."""
    return {
        "queueName": name,
        "maxResults": str(count),
        "totalCu": _cu(sum(row.milli_cu for row in holders)),
        "totalJobCount": len(holders),
        "jobs": [
            {
                "jobId": row.job or row.cluster,
                "jobType": "RayJob" if row.job else "RayCluster",
                "cu": _cu(row.milli_cu),
                "cpuCores": format_cores(row.held.cores),
                "memoryGiB": _gib(row.held.memory),
            }
            for row in holders[:count]
        ],
    }


def top_count(parameters: Mapping[str, str]) -> int:
    """How many ListQueueTopJobs wants. Raises EmrError."""
    text = parameters.get("topN")
    return LARGEST_TOP if not text else to_integer(text, "topN", 1, LARGEST_TOP)


def span(parameters: Mapping[str, str]) -> tuple[datetime, datetime]:
    """``startTime`` and ``endTime`` of GetCuHours, in UTC. Raises EmrError."""
    since, until = (_time(parameters, key) for key in ("startTime", "endTime"))
    if since > until:
        raise invalid("startTime", "must not be later than endTime")
    if until - since > LONGEST_SPAN:
        raise invalid("endTime", f"must be at most {LONGEST_SPAN.days} days after startTime")
    return since, until


def _time(parameters: Mapping[str, str], key: str) -> datetime:
    text = parameters.get(key)
    if not text:
        raise missing(key)
    try:
        found = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise invalid(key, f"must be written as 2026-01-02 03:04:05, given {text[:40]!r}") from None
    if not 2000 <= found.year < 9000:
        raise invalid(key, "must lie between the years 2000 and 9000")
    return found


def _allowed(queue: str, role: Role) -> list[str]:
    """What somebody of this role may do with the queue."""
    found = [name for least, names in _ACTIONS.items() if role.includes(least) for name in names]
    return [name for name in found if queue != ROOT or name != "DeleteWorkspaceQueue"]


def _action(workspace: WorkspaceId, name: str) -> Json:
    return {
        "actionArn": f"acs:emr::{workspace}:action/{name}",
        "actionName": f"emr-serverless-spark:{name}",
        "displayName": name,
        "description": "",
        "dependencies": [],
    }


def _at_least(minimum: Amount) -> Amount:
    """A guarantee that is not set guarantees nothing."""
    return Amount(minimum.cpu or Decimal(0), minimum.memory or 0, minimum.gpu)


def _text(amount: Amount) -> str:
    """The vendor's JSON text, ``{"cpu": "2","memory": "2Gi"}``."""
    shown = {}
    if amount.cpu is not None:
        shown["cpu"] = format_cores(amount.cpu)
    if amount.memory is not None:
        shown["memory"] = format_memory(amount.memory)
    if amount.gpu:
        shown["gpu"] = str(amount.gpu)
    return orjson.dumps(shown).decode()


def _cu(milli: int) -> str:
    return format_cores(Decimal(milli) / 1000)


def _gib(size: int) -> str:
    return f"{(Decimal(size) / GIB).quantize(Decimal('0.001')).normalize():f}"
