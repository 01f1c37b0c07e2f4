"""How large a node is: what was asked for under Kubernetes' names, and the GPU that a number of devices means.

An overlay goes over the task's own amounts name by name; a limit stands for a missing request and the other way round; what
nobody says is the platform's default (Flyte contract, section 5.6). Nodes are as large as the larger of the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from heliostat.domain.engine import GpuType
from heliostat.domain.installation import ACCELERATORS, accelerator_row

from ..errors import FAILED_PRECONDITION, FlyteError, invalid
from ..settings import FlyteSettings
from .notes import Notes
from .quantities import parse_bytes, parse_cores, parse_devices

T = TypeVar("T", Decimal, int)

CPU, MEMORY, GPU, DISK = "cpu", "memory", "nvidia.com/gpu", "ephemeral-storage"
ALSO_GPU = "gpu"
"""What flytekit writes into the pod of a task that has a pod template."""
_DEVICES = re.compile(r"nvidia\.com/.*|amd\.com/gpu.*|.*/(?:tpu|gpu|gaudi|neuron|neuroncore|neurondevice)|gpu\..*")
"""Devices that a task cannot do without, unlike a network card."""
_ALIASES = {
    "NVIDIA_H100": "NVIDIA_H100_80GB",
    "NVIDIA_H200": "NVIDIA_H200_141GB",
    "NVIDIA_A100": "NVIDIA_TESLA_A100",
    "NVIDIA_T4": "NVIDIA_TESLA_T4",
    "NVIDIA_V100": "NVIDIA_TESLA_V100",
    "NVIDIA_P100": "NVIDIA_TESLA_P100",
    "NVIDIA_P4": "NVIDIA_TESLA_P4",
}


@dataclass(frozen=True)
class Amount:
    value: object
    """As it arrived: text or a number."""
    path: str


Amounts = Mapping[str, Amount]


@dataclass(frozen=True)
class Resources:
    """By Kubernetes' names."""

    requests: Amounts = field(default_factory=dict)
    limits: Amounts = field(default_factory=dict)

    def under(self, overlay: Resources) -> Resources:
        return Resources({**self.requests, **overlay.requests}, {**self.limits, **overlay.limits})

    def most(self, name: str, parse: Callable[[object], T]) -> tuple[T, str] | None:
        """The larger of limit and request, and where it is said; None when neither is, or both are 0."""
        found: tuple[T, str] | None = None
        for amounts in (self.limits, self.requests):
            if name in amounts:
                value = read(amounts[name], parse)
                if value and (found is None or value > found[0]):
                    found = value, amounts[name].path
        return found


@dataclass(frozen=True)
class Size:
    cpu: Decimal
    memory: int
    gpu: str | None
    """Name of a row of the GPU catalogue."""


@dataclass(frozen=True)
class Accelerator:
    """The kind of GPU that a task asks for, under the name of Kubernetes' label."""

    device: str
    path: str


def read(amount: Amount, parse: Callable[[object], T]) -> T:
    """The amount. Raises FlyteError."""
    try:
        return parse(amount.value)
    except ValueError as error:
        raise invalid(amount.path, str(error)) from None


def size_of(
    wanted: Resources,
    accelerator: Accelerator | None,
    settings: FlyteSettings,
    gpus: Mapping[str, GpuType],
    notes: Notes,
) -> Size:
    """What a node gets. Raises FlyteError."""
    cpu = wanted.most(CPU, parse_cores)
    memory = wanted.most(MEMORY, parse_bytes)
    devices = wanted.most(GPU, parse_devices)
    _others(wanted, notes)
    return Size(
        cpu[0] if cpu else _default("cpu", settings.cpu, parse_cores),
        memory[0] if memory else _default("memory", settings.memory, parse_bytes),
        _gpu(devices[0], devices[1], accelerator, gpus, notes) if devices else None,
    )


def _default(name: str, text: str, parse: Callable[[object], T]) -> T:
    try:
        value = parse(text)
    except ValueError as error:
        raise FlyteError(FAILED_PRECONDITION, f"the operator's setting flyte.{name} cannot be used: {error}") from None
    if not value:
        raise FlyteError(FAILED_PRECONDITION, f"the operator's setting flyte.{name} must be more than 0")
    return value


def _others(wanted: Resources, notes: Notes) -> None:
    for amounts in (wanted.limits, wanted.requests):
        for name, amount in amounts.items():
            if name in (CPU, MEMORY, GPU):
                continue
            if not read(amount, lambda value: min(1, parse_bytes(value))):
                continue
            if name == DISK:
                notes.unused(amount.path, "nodes share the machine's disk, of which none is set aside")
            elif _DEVICES.fullmatch(name):
                raise invalid(amount.path, f"there are no such devices here; nodes have CPUs and, as {GPU}, whole GPUs")
            else:
                notes.unused(amount.path, "nodes have no such resource; rayStartParams 'resources' gives them own ones")


def _gpu(count: int, path: str, accelerator: Accelerator | None, gpus: Mapping[str, GpuType], notes: Notes) -> str:
    """The catalogue's row for so many GPUs, of the kind that is asked for or of the first that an operator lists."""
    fitting = [row for row in gpus.values() if row.count == count]
    listed = [row for row in gpus.values() if row.listed]
    if accelerator is not None:
        name = _vendor_name(accelerator.device)
        exact = gpus.get(accelerator_row(name, count))
        if exact is not None:
            return exact.name
        kind = re.sub(r"^NVIDIA_(TESLA_)?", "", name).replace("_", "-")
        named = [row for row in fitting if row.accelerator.upper() == kind]
        if named:
            return min(named, key=lambda row: not row.listed).name
        raise invalid(
            accelerator.path,
            f"no node can have {count} of {accelerator.device[:80]!r}; there are {_offered(gpus)}; an operator adds GPU types "
            "below [[gpus]] in the configuration file",
        )
    alike = {row.accelerator for row in listed}
    chosen = min(fitting, key=lambda row: (not row.listed, row.accelerator not in alike), default=None)
    if chosen is None:
        raise invalid(
            path,
            f"no node can have {count} GPUs; there are {_offered(gpus)}; an operator adds GPU types below [[gpus]]",
        )
    notes.warn(
        f"{path}: the task does not say which GPU it wants, so its nodes have {chosen.count} of type {chosen.accelerator}; "
        "say it with accelerator= in the task's decorator"
    )
    return chosen.name


def _vendor_name(device: str) -> str:
    """``nvidia-tesla-t4`` -> ``NVIDIA_TESLA_T4``."""
    name = re.sub(r"[^A-Z0-9]", "_", device.upper())
    return name if name in ACCELERATORS else _ALIASES.get(name, name)


def _offered(gpus: Mapping[str, GpuType]) -> str:
    kinds: dict[str, set[int]] = {}
    for row in gpus.values():
        kinds.setdefault(row.accelerator, set()).add(row.count)
    return ", ".join(f"{kind} ({' or '.join(map(str, sorted(counts)))})" for kind, counts in kinds.items()) or "none"
