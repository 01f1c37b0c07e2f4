"""Machine types and accelerators: what a ``machineSpec`` gives a node, and which one a node of another dialect is shown as.

The catalogue is data (Vertex contract, sections 9.4 and 9.5); an operator adds to it. Sizes may also be said in the name, as
``custom-4-8192`` (cores and MiB) or ``n2-custom-4-8192``. Accelerators become rows of the GPU catalogue, by type and count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from difflib import get_close_matches
from enum import Enum, auto
from typing import Self

from heliostat.domain.engine import GpuType
from heliostat.domain.errors import InvalidRequest
from heliostat.domain.installation import ACCELERATORS, accelerator_row
from heliostat.domain.quantities import MAX_CORES, MAX_MEMORY
from heliostat.domain.spec import NodeShape

from ..models import AcceleratorType, ReservationAffinityType
from .fields import Fields, Json, only

MIB = 1 << 20


class Accepts(Enum):
    """Which accelerators can be attached to a machine that has none of its own."""

    NOTHING = auto()
    N1 = auto()
    """Those of :data:`N1_LIMITS`."""
    ANYTHING = auto()
    """Whatever the GPU catalogue has: machines that are no vendor's."""


@dataclass(frozen=True)
class Machine:
    """A machine type."""

    name: str
    cpus: int
    memory: int
    """Bytes, whole MiB."""
    gpu: str | None = None
    """Row of the GPU catalogue that it always has."""
    accepts: Accepts = Accepts.NOTHING

    @classmethod
    def configured(cls, name: str, cpus: int, memory_gib: float, gpu: str | None = None) -> Self:
        """An operator's own."""
        return cls(name, cpus, _mebibytes(str(memory_gib)), gpu, Accepts.ANYTHING)


@dataclass(frozen=True)
class Size:
    """What a node gets."""

    cpu: Decimal
    memory: int
    gpu: str | None

    @classmethod
    def of(cls, shape: NodeShape) -> Self:
        return cls(shape.cpu, shape.memory, shape.gpu)


def _mebibytes(gibibytes: str) -> int:
    """Bytes, down to a whole MiB: the vendor's 0.9 GiB per core are no whole bytes."""
    return int(Decimal(gibibytes) * 1024) * MIB


_SMALL = (2, 4, 8, 16, 32, 48, 64, 80, 96)
_PER_CORE: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("n1-standard", "3.75", (1, 2, 4, 8, 16, 32, 64, 96)),
    ("n1-highmem", "6.5", (2, 4, 8, 16, 32, 64, 96)),
    ("n1-highcpu", "0.9", (2, 4, 8, 16, 32, 64, 96)),
    ("n2-standard", "4", (*_SMALL, 128)),
    ("n2-highmem", "8", _SMALL),
    ("n2-highcpu", "1", _SMALL),
    ("n2d-standard", "4", (*_SMALL, 128, 224)),
    ("n2d-highmem", "8", _SMALL),
    ("n2d-highcpu", "1", (*_SMALL, 128, 224)),
    ("e2-standard", "4", (2, 4, 8, 16, 32)),
    ("e2-highmem", "8", (2, 4, 8, 16)),
    ("e2-highcpu", "1", (2, 4, 8, 16, 32)),
    ("c2-standard", "4", (4, 8, 16, 30, 60)),
    ("c2d-standard", "4", (2, 4, 8, 16, 32, 56, 112)),
    ("c2d-highcpu", "2", (2, 4, 8, 16, 32, 56, 112)),
    ("c2d-highmem", "8", (2, 4, 8, 16, 32, 56, 112)),
    ("c3-standard", "4", (4, 8, 22, 44, 88, 176)),
    ("c3-highcpu", "2", (4, 8, 22, 44, 88, 176)),
    ("c3-highmem", "8", (4, 8, 22, 44, 88, 176)),
)
"""Family, GiB per core, cores."""
_SINGLE: tuple[tuple[str, int, str, str, int], ...] = (
    ("n2-highmem-128", 128, "864", "", 0),
    ("m1-ultramem-40", 40, "961", "", 0),
    ("m1-ultramem-80", 80, "1922", "", 0),
    ("m1-ultramem-160", 160, "3844", "", 0),
    ("m1-megamem-96", 96, "1433.6", "", 0),
    ("a2-highgpu-1g", 12, "85", "NVIDIA_TESLA_A100", 1),
    ("a2-highgpu-2g", 24, "170", "NVIDIA_TESLA_A100", 2),
    ("a2-highgpu-4g", 48, "340", "NVIDIA_TESLA_A100", 4),
    ("a2-highgpu-8g", 96, "680", "NVIDIA_TESLA_A100", 8),
    ("a2-megagpu-16g", 96, "1360", "NVIDIA_TESLA_A100", 16),
    ("a2-ultragpu-1g", 12, "170", "NVIDIA_A100_80GB", 1),
    ("a2-ultragpu-2g", 24, "340", "NVIDIA_A100_80GB", 2),
    ("a2-ultragpu-4g", 48, "680", "NVIDIA_A100_80GB", 4),
    ("a2-ultragpu-8g", 96, "1360", "NVIDIA_A100_80GB", 8),
    ("a3-highgpu-1g", 26, "234", "NVIDIA_H100_80GB", 1),
    ("a3-highgpu-2g", 52, "468", "NVIDIA_H100_80GB", 2),
    ("a3-highgpu-4g", 104, "936", "NVIDIA_H100_80GB", 4),
    ("a3-highgpu-8g", 208, "1872", "NVIDIA_H100_80GB", 8),
    ("a3-megagpu-8g", 208, "1872", "NVIDIA_H100_MEGA_80GB", 8),
    ("a3-ultragpu-8g", 224, "2952", "NVIDIA_H200_141GB", 8),
    ("a4-highgpu-8g", 224, "3968", "NVIDIA_B200", 8),
    ("a4x-highgpu-4g", 140, "884", "NVIDIA_GB200", 4),
    ("g2-standard-4", 4, "16", "NVIDIA_L4", 1),
    ("g2-standard-8", 8, "32", "NVIDIA_L4", 1),
    ("g2-standard-12", 12, "48", "NVIDIA_L4", 1),
    ("g2-standard-16", 16, "64", "NVIDIA_L4", 1),
    ("g2-standard-32", 32, "128", "NVIDIA_L4", 1),
    ("g2-standard-24", 24, "96", "NVIDIA_L4", 2),
    ("g2-standard-48", 48, "192", "NVIDIA_L4", 4),
    ("g2-standard-96", 96, "384", "NVIDIA_L4", 8),
    ("g4-standard-48", 48, "180", "NVIDIA_RTX_PRO_6000", 1),
    ("g4-standard-96", 96, "360", "NVIDIA_RTX_PRO_6000", 2),
    ("g4-standard-192", 192, "720", "NVIDIA_RTX_PRO_6000", 4),
    ("g4-standard-384", 384, "1440", "NVIDIA_RTX_PRO_6000", 8),
)
"""Name, cores, GiB, accelerator, how many of it."""
N1_LIMITS: Mapping[str, Mapping[int, int]] = {
    "NVIDIA_TESLA_T4": {1: 48, 2: 48, 4: 96},
    "NVIDIA_TESLA_P4": {1: 24, 2: 48, 4: 96},
    "NVIDIA_TESLA_P100": {1: 16, 2: 32, 4: 96},
    "NVIDIA_TESLA_V100": {1: 12, 2: 24, 4: 48, 8: 96},
}
"""What can be attached to machines of the family n1: accelerator -> count -> the most cores."""


def _built_in() -> Iterator[Machine]:
    for family, gibibytes, sizes in _PER_CORE:
        accepts = Accepts.N1 if family.startswith("n1-") else Accepts.NOTHING
        for cpus in sizes:
            yield Machine(f"{family}-{cpus}", cpus, _mebibytes(str(Decimal(gibibytes) * cpus)), None, accepts)
    for name, cpus, gibibytes, accelerator, count in _SINGLE:
        yield Machine(name, cpus, _mebibytes(gibibytes), accelerator_row(accelerator, count) if accelerator else None)


BUILT_IN: Mapping[str, Machine] = {machine.name: machine for machine in _built_in()}

_CUSTOM = re.compile(r"(?:([a-z][a-z0-9]{0,7})-)?custom-([0-9]{1,6})-([0-9]{1,10})(?:-ext)?", re.ASCII)
_TPU_MACHINES = re.compile(r"(?:cloud-tpu|ct[0-9]+[a-z]*-|tpu)", re.ASCII)
_NO_TPU = "there are no TPUs here: nodes have CPUs and NVIDIA GPUs"
_UNSPECIFIED = AcceleratorType.ACCELERATOR_TYPE_UNSPECIFIED.value
_BY_RAY_NAME = {
    "K80": "NVIDIA_TESLA_K80",
    "A100-80G": "NVIDIA_A100_80GB",
    "A100-40G": "NVIDIA_TESLA_A100",
    **{ray: name for name, (ray, _) in reversed(list(ACCELERATORS.items()))},
}
"""The accelerator that a GPU of another dialect is shown as; the first that Ray calls so."""


def find(name: str, machines: Mapping[str, Machine]) -> Machine | None:
    """The machine type of this name, if it is in the catalogue or says its size."""
    if name in machines:
        return machines[name]
    found = _CUSTOM.fullmatch(name)
    if found is None:
        return None
    cpus, memory = int(found[2]), int(found[3]) * MIB
    if not (0 < cpus <= MAX_CORES and 0 < memory <= MAX_MEMORY):
        return None
    accepts = {None: Accepts.ANYTHING, "n1": Accepts.N1}.get(found[1], Accepts.NOTHING)
    return Machine(name, cpus, memory, None, accepts)


def read_machine(fields: Fields, machines: Mapping[str, Machine], gpus: Mapping[str, GpuType]) -> tuple[Json, Size]:
    """A ``machineSpec``, with the accelerator filled in that its machine always has, and what a node gets by it.

    Raises InvalidRequest.
    """
    name, accelerator = fields.text("machineType"), fields.text("acceleratorType")
    accelerator = "" if accelerator == _UNSPECIFIED else accelerator
    count = fields.integer("acceleratorCount") or 0
    if not name:
        raise fields.error("machineType", "is required")
    if accelerator and accelerator not in AcceleratorType.__members__:
        raise fields.error("acceleratorType", f"must be one of {', '.join(AcceleratorType.__members__)}")
    for key, is_tpu in (
        ("acceleratorType", accelerator.startswith("TPU_")),
        ("machineType", name not in machines and _TPU_MACHINES.match(name) is not None),
        ("tpuTopology", fields.text("tpuTopology") != ""),
    ):
        if is_tpu:
            raise fields.error(key, _NO_TPU)
    machine = find(name, machines)
    if machine is None:
        raise fields.error("machineType", _unknown(name, machines))
    if count < 0:
        raise fields.error("acceleratorCount", f"must not be negative, given {count}")
    if machine.gpu is not None:
        accelerator, count = _own(fields, machine, machine.gpu, accelerator, count, gpus)
        gpu: str | None = machine.gpu
    elif accelerator or count:
        gpu = _attached(fields, machine, accelerator, count, gpus)
    else:
        gpu = None
    partition = fields.text("gpuPartitionSize")
    if partition and (gpu is None or gpus[gpu].count != 1):
        raise fields.error("gpuPartitionSize", "needs a machine with exactly one accelerator")
    spec = only(
        machineType=name,
        acceleratorType=accelerator,
        acceleratorCount=count,
        reservationAffinity=_reservation(fields.nested("reservationAffinity")),
        multihostGpuNodeCount=fields.integer("multihostGpuNodeCount") or 0,
        gpuPartitionSize=partition,
        minGpuDriverVersion=fields.text("minGpuDriverVersion"),
    )
    return spec, Size(Decimal(machine.cpus), machine.memory, gpu)


def meant(spec: Json, machines: Mapping[str, Machine], gpus: Mapping[str, GpuType]) -> Size | None:
    """What a ``machineSpec`` that was read earlier gives a node now; None when it means nothing any more."""
    try:
        return read_machine(Fields(spec), machines, gpus)[1]
    except InvalidRequest:
        return None


def write_machine(size: Size, gpus: Mapping[str, GpuType]) -> Json:
    """A ``machineSpec`` for a node of any size."""
    cores = int(size.cpu.to_integral_value(ROUND_CEILING))
    shown = {"machineType": f"custom-{cores}-{max(1, size.memory // MIB)}"}
    accelerator, count = named(size.gpu, gpus)
    return shown | only(acceleratorType=accelerator, acceleratorCount=count)


def named(gpu: str | None, gpus: Mapping[str, GpuType]) -> tuple[str, int]:
    """A row of the GPU catalogue as accelerator and count; ``("", 0)`` for none, and for what has no name here."""
    if gpu is None:
        return "", 0
    name, _, count = gpu.rpartition("-")
    if name in ACCELERATORS and count.isdecimal():
        return name, int(count)
    row = gpus.get(gpu)
    accelerator = "" if row is None else _BY_RAY_NAME.get(row.accelerator, "")
    return (accelerator, row.count) if row is not None and accelerator else ("", 0)


def without_effect(spec: Json) -> Iterator[tuple[str, str]]:
    """Of a ``machineSpec``, the fields that nothing here follows, with why."""
    affinity = spec.get("reservationAffinity", {})
    idle = ReservationAffinityType.NO_RESERVATION.value
    if affinity.get("reservationAffinityType", idle) != idle or affinity.keys() & {"key", "values"}:
        yield "reservationAffinity", "there are no reserved machines; queues guarantee capacity here"
    if "multihostGpuNodeCount" in spec:
        yield "multihostGpuNodeCount", "nodes are not joined to larger ones"
    if "gpuPartitionSize" in spec:
        yield "gpuPartitionSize", "GPUs are not partitioned: the node has the whole one"
    if "minGpuDriverVersion" in spec:
        yield "minGpuDriverVersion", "the driver is the one that this machine has"


def _unknown(name: str, machines: Mapping[str, Machine]) -> str:
    near = get_close_matches(name, machines, 1, 0.75)
    hint = f"did you mean {near[0]}? Or give" if near else "give one such as n1-standard-4 or"
    return (
        f"there is no machine type {name[:80]!r}; {hint} the size as custom-<cores>-<MiB>; an operator adds own ones below "
        "[vertex.machines] in the configuration file"
    )


def _own(
    fields: Fields, machine: Machine, gpu: str, accelerator: str, count: int, gpus: Mapping[str, GpuType]
) -> tuple[str, int]:
    """The accelerator of a machine that always has one. The request may say the same, or nothing."""
    own, own_count = named(gpu, gpus)
    if accelerator and accelerator != own:
        raise fields.error("acceleratorType", f"{machine.name} has {own or gpu}; leave it out or say so")
    if count and count != (own_count or gpus[gpu].count):
        raise fields.error("acceleratorCount", f"{machine.name} has {own_count or gpus[gpu].count}")
    return own, own_count


def _attached(fields: Fields, machine: Machine, accelerator: str, count: int, gpus: Mapping[str, GpuType]) -> str:
    """The row of the GPU catalogue for an accelerator that is put into a machine."""
    if not accelerator:
        raise fields.error("acceleratorType", "is required with acceleratorCount")
    if accelerator == AcceleratorType.NVIDIA_TESLA_K80.value:
        raise fields.error("acceleratorType", "the K80 is no longer offered; take NVIDIA_TESLA_T4")
    if count < 1:
        raise fields.error("acceleratorCount", "must be at least 1 with acceleratorType")
    if machine.accepts is Accepts.NOTHING:
        raise fields.error(
            "acceleratorType",
            f"{machine.name} takes no accelerators; n1 and custom-<cores>-<MiB> do, and a2, a3, a4, g2 and g4 have theirs",
        )
    if machine.accepts is Accepts.N1:
        limits = N1_LIMITS.get(accelerator)
        if limits is None:
            raise fields.error("acceleratorType", f"{machine.name} takes {', '.join(N1_LIMITS)} only")
        if count not in limits:
            raise fields.error(
                "acceleratorCount", f"{machine.name} takes {_counts(limits)} of {accelerator}, not {count}"
            )
        if machine.cpus > limits[count]:
            raise fields.error(
                "acceleratorCount", f"a machine with {count} of {accelerator} has at most {limits[count]} cores"
            )
    row = accelerator_row(accelerator, count)
    if row not in gpus:
        counts = sorted(number for name, number in map(_split, gpus) if name == accelerator)
        raise fields.error("acceleratorCount", f"a node has {_counts(counts)} of {accelerator}, not {count}")
    return row


def _split(row: str) -> tuple[str, int]:
    name, _, count = row.rpartition("-")
    return (name, int(count)) if count.isdecimal() else ("", 0)


def _counts(counts: Mapping[int, int] | list[int]) -> str:
    return " or ".join(map(str, counts))


def _reservation(fields: Fields | None) -> Json | None:
    if fields is None:
        return None
    kind = fields.text("reservationAffinityType")
    if kind and kind not in ReservationAffinityType.__members__:
        raise fields.error(
            "reservationAffinityType", f"must be one of {', '.join(ReservationAffinityType.__members__)}"
        )
    unspecified = ReservationAffinityType.TYPE_UNSPECIFIED.value
    return only(
        reservationAffinityType="" if kind == unspecified else kind,
        key=fields.text("key"),
        values=fields.texts("values"),
    )
