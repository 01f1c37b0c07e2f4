"""Machine types and accelerators: the catalogue's figures, its limits, and nodes of other dialects."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from heliostat.config import ConfigFile, Settings
from heliostat.dialects.vertex.settings import VertexSettings
from heliostat.dialects.vertex.translate.fields import Fields
from heliostat.dialects.vertex.translate.machines import (
    BUILT_IN,
    N1_LIMITS,
    Machine,
    Size,
    find,
    meant,
    named,
    read_machine,
    write_machine,
)
from heliostat.domain.engine import GpuType
from heliostat.domain.errors import InvalidRequest, NotReady
from heliostat.domain.installation import ACCELERATORS, BUILT_IN_GPUS, UNLISTED_GPUS, Installation, gpu_catalogue

GPUS = Installation().gpus
GIB = 1 << 30
MIB = 1 << 20


def size_of(machine: str, accelerator: str = "", count: int = 0, **more: Any) -> Size:
    return read_machine(Fields(spec(machine, accelerator, count, **more)), BUILT_IN, GPUS)[1]


def spec(machine: str, accelerator: str = "", count: int = 0, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"machineType": machine, **more}
    if accelerator:
        found["acceleratorType"] = accelerator
    if count:
        found["acceleratorCount"] = count
    return found


@pytest.mark.parametrize(
    ("name", "cpus", "memory", "gpu"),
    [
        ("n1-standard-1", 1, 3840 * MIB, None),
        ("n1-standard-16", 16, 60 * GIB, None),
        ("n1-highmem-96", 96, 624 * GIB, None),
        ("n1-highcpu-2", 2, 1843 * MIB, None),
        ("n2-highmem-128", 128, 864 * GIB, None),
        ("n2d-highcpu-224", 224, 224 * GIB, None),
        ("e2-standard-32", 32, 128 * GIB, None),
        ("c2-standard-60", 60, 240 * GIB, None),
        ("c2d-highcpu-112", 112, 224 * GIB, None),
        ("c3-highmem-176", 176, 1408 * GIB, None),
        ("m1-ultramem-160", 160, 3844 * GIB, None),
        ("m1-megamem-96", 96, 1468006 * MIB, None),
        ("a2-highgpu-1g", 12, 85 * GIB, "NVIDIA_TESLA_A100-1"),
        ("a2-megagpu-16g", 96, 1360 * GIB, "NVIDIA_TESLA_A100-16"),
        ("a2-ultragpu-8g", 96, 1360 * GIB, "NVIDIA_A100_80GB-8"),
        ("a3-highgpu-8g", 208, 1872 * GIB, "NVIDIA_H100_80GB-8"),
        ("a3-megagpu-8g", 208, 1872 * GIB, "NVIDIA_H100_MEGA_80GB-8"),
        ("a3-ultragpu-8g", 224, 2952 * GIB, "NVIDIA_H200_141GB-8"),
        ("a4-highgpu-8g", 224, 3968 * GIB, "NVIDIA_B200-8"),
        ("a4x-highgpu-4g", 140, 884 * GIB, "NVIDIA_GB200-4"),
        ("g2-standard-32", 32, 128 * GIB, "NVIDIA_L4-1"),
        ("g2-standard-96", 96, 384 * GIB, "NVIDIA_L4-8"),
        ("g4-standard-384", 384, 1440 * GIB, "NVIDIA_RTX_PRO_6000-8"),
        ("custom-3-5000", 3, 5000 * MIB, None),
        ("n2-custom-4-8192", 4, 8192 * MIB, None),
        ("n1-custom-4-8192-ext", 4, 8192 * MIB, None),
    ],
)
def test_what_a_machine_gives(name: str, cpus: int, memory: int, gpu: str | None) -> None:
    assert size_of(name) == Size(Decimal(cpus), memory, gpu)


def test_the_catalogue_is_whole() -> None:
    assert len(BUILT_IN) == 173
    rows = {machine.gpu for machine in BUILT_IN.values() if machine.gpu}
    assert rows <= set(GPUS) and not any(GPUS[row].listed for row in rows)
    attached = {f"{name}-{count}" for name, limits in N1_LIMITS.items() for count in limits}
    assert attached <= set(GPUS)
    assert {row.name for row in UNLISTED_GPUS} == {
        f"{name}-{n}" for name, (_, counts) in ACCELERATORS.items() for n in counts
    }
    assert [row.name for row in GPUS.values() if row.listed] == [row.name for row in BUILT_IN_GPUS]


@pytest.mark.parametrize(("accelerator", "limits"), N1_LIMITS.items())
def test_accelerators_of_n1(accelerator: str, limits: dict[int, int]) -> None:
    for count, most in limits.items():
        for cpus in (1, 2, 4, 8, 16, 32, 64, 96):
            if cpus <= most:
                assert size_of(f"n1-standard-{cpus}", accelerator, count).gpu == f"{accelerator}-{count}"
            else:
                assert refusal(f"n1-standard-{cpus}", accelerator, count)[0] == "acceleratorCount"
    assert refusal("n1-standard-1", accelerator, 3)[0] == "acceleratorCount"


def refusal(machine: str, accelerator: str = "", count: int = 0, **more: Any) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        size_of(machine, accelerator, count, **more)
    return caught.value.path or "", caught.value.message


def test_the_accelerator_of_a_machine_that_has_one_is_filled_in() -> None:
    for given in (spec("g2-standard-24"), spec("g2-standard-24", "NVIDIA_L4"), spec("g2-standard-24", "NVIDIA_L4", 2)):
        filled, size = read_machine(Fields(given), BUILT_IN, GPUS)
        assert filled == spec("g2-standard-24", "NVIDIA_L4", 2) and size.gpu == "NVIDIA_L4-2"


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("machineType", spec("")),
        ("machineType", spec("n1-standard-5")),
        ("machineType", spec("custom-0-1024")),
        ("machineType", spec("custom-1-0")),
        ("machineType", spec("custom-999999-1024")),
        ("machineType", spec("custom-1-9999999999")),
        ("machineType", spec("ct5lp-hightpu-4t")),
        ("machineType", spec("cloud-tpu")),
        ("acceleratorType", spec("n1-standard-4", "TPU_V3", 8)),
        ("tpuTopology", spec("n1-standard-4", tpuTopology="2x2")),
        ("acceleratorType", spec("n1-standard-4", "NVIDIA_TESLA_K80", 1)),
        ("acceleratorType", spec("n1-standard-4", "NVIDIA_L4", 1)),
        ("acceleratorType", spec("n1-standard-4", "T4", 1)),
        ("acceleratorType", spec("n1-standard-4", count=1)),
        ("acceleratorType", spec("n1-standard-4", "ACCELERATOR_TYPE_UNSPECIFIED", 1)),
        ("acceleratorCount", spec("n1-standard-4", "NVIDIA_TESLA_T4")),
        ("acceleratorCount", spec("n1-standard-4", "NVIDIA_TESLA_T4", -1)),
        ("acceleratorType", spec("e2-standard-4", "NVIDIA_TESLA_T4", 1)),
        ("acceleratorType", spec("n2-custom-4-8192", "NVIDIA_TESLA_T4", 1)),
        ("acceleratorCount", spec("n1-custom-64-65536", "NVIDIA_TESLA_T4", 1)),
        ("acceleratorCount", spec("custom-4-8192", "NVIDIA_L4", 3)),
        ("acceleratorType", spec("a2-highgpu-1g", "NVIDIA_L4", 1)),
        ("acceleratorCount", spec("a2-highgpu-1g", "NVIDIA_TESLA_A100", 2)),
        ("gpuPartitionSize", spec("n1-standard-4", gpuPartitionSize="1g.5gb")),
        ("gpuPartitionSize", spec("a2-highgpu-2g", gpuPartitionSize="1g.5gb")),
        ("reservationAffinity.reservationAffinityType",
         spec("n1-standard-4", reservationAffinity={"reservationAffinityType": "SOME"})),
    ],
)  # fmt: skip
def test_what_there_is_not(path: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_machine(Fields(given), BUILT_IN, GPUS)
    assert caught.value.path == path


def test_a_misspelt_machine_is_told_what_it_could_have_been() -> None:
    assert "n1-standard-4?" in refusal("n1-standart-4")[1]
    assert "[vertex.machines]" in refusal("thing")[1]
    assert "no TPUs" in refusal("n1-standard-4", "TPU_V2", 8)[1]


def test_own_machines_take_any_accelerator() -> None:
    own = VertexSettings.of(
        {"rack": {"cpus": 7, "memory_gib": 61.5, "gpu": None}, "n1-standard-1": {"cpus": 2, "memory_gib": 4, "gpu": "mine"}},
        {}, 20,
    )  # fmt: skip
    assert own.hold_seconds == 1200 and own.machines["n1-standard-2"] is BUILT_IN["n1-standard-2"]
    gpus = gpu_catalogue([GpuType("mine", "RTX-4090", 3)])
    given = spec("rack", "NVIDIA_L4", 8)
    assert read_machine(Fields(given), own.machines, gpus) == (given, Size(Decimal(7), 62976 * MIB, "NVIDIA_L4-8"))
    filled, size = read_machine(Fields(spec("n1-standard-1", count=3)), own.machines, gpus)
    assert filled == spec("n1-standard-1") and size == Size(Decimal(2), 4 * GIB, "mine")


def test_what_an_operator_writes(tmp_path: Any) -> None:
    text = (
        '[vertex]\nsession_hours = 8\n[vertex.machines]\nrack = {cpus = 8, memory_gib = 30, gpu = "NVIDIA_L4-1"}\n'
        '[vertex.images]\n"a/*" = "ray-1.0.1"\n'
    )
    file = load(tmp_path, text)
    own = VertexSettings.of(**file.vertex.model_dump(exclude={"session_hours"}))
    assert own.machines["rack"].gpu == "NVIDIA_L4-1" and own.images == {"a/*": "ray-1.0.1"}
    installation = file.installation(url="http://h", domain="h", scheme="http")
    assert installation.session_grace == timedelta(hours=8)
    assert "NVIDIA_L4-1" in installation.gpus and not installation.gpus["NVIDIA_L4-1"].listed


@pytest.mark.parametrize(
    "text",
    [
        "[vertex.machines]\nrack = {cpus = 8, memory_gib = 30, gpu = 'none'}",
        "[vertex.machines]\nRack = {cpus = 8, memory_gib = 30}",
        "[vertex.machines]\nrack = {cpus = 0, memory_gib = 30}",
        "[vertex.machines]\nrack = {cpus = 1}",
        "[vertex.images]\n'a/*' = 'ray-9.9.9'",
        "[vertex]\nhold_minutes = -1",
    ],
)
def test_what_an_operator_cannot_write(tmp_path: Any, text: str) -> None:
    with pytest.raises(NotReady, match="vertex"):
        load(tmp_path, text).installation(url="http://h", domain="h", scheme="http")


def load(folder: Any, text: str) -> ConfigFile:
    (folder / "config.toml").write_text(text)
    return ConfigFile.load(Settings(home=folder))


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (Size(Decimal("0.5"), 3 * GIB, None), spec("custom-1-3072")),
        (Size(Decimal("1.5"), 1, None), spec("custom-2-1")),
        (Size(Decimal(4), 15 * GIB, "NVIDIA_TESLA_T4-2"), spec("custom-4-15360", "NVIDIA_TESLA_T4", 2)),
        (Size(Decimal(4), GIB, "ecs.gn6i-c4g1.xlarge"), spec("custom-4-1024", "NVIDIA_TESLA_T4", 1)),
        (Size(Decimal(4), GIB, "ecs.gn7i-c8g1.2xlarge"), spec("custom-4-1024")),
        (Size(Decimal(4), GIB, "gone"), spec("custom-4-1024")),
    ],
)
def test_what_a_node_of_another_dialect_is_shown_as(size: Size, shown: dict[str, Any]) -> None:
    assert write_machine(size, GPUS) == shown
    assert find(shown["machineType"], BUILT_IN) is not None
    again = meant(shown, BUILT_IN, GPUS)
    assert again is not None and named(again.gpu, GPUS) == named(size.gpu, GPUS)


def test_every_row_of_the_gpu_catalogue_can_be_asked_for_again() -> None:
    for row in UNLISTED_GPUS:
        size = Size(Decimal(8), GIB, row.name)
        assert meant(write_machine(size, GPUS), BUILT_IN, GPUS) == size


def test_a_machine_that_means_nothing_any_more() -> None:
    assert meant(spec("rack"), BUILT_IN, GPUS) is None
    assert meant(spec("rack"), {"rack": Machine.configured("rack", 1, 1)}, GPUS) == Size(Decimal(1), GIB, None)
