"""The enumerations of the Vertex API: each member is its name in JSON and knows its number on the wire.

A member is text, so it goes wherever a model or a JSON body wants the name; answers that were asked for with
``enum-encoding=int`` carry numbers, which :meth:`ApiEnumeration.of` turns into members.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class ApiEnumeration(StrEnum):
    """Names with the numbers that they have in the protocol (Vertex contract, sections 2, 4.1 and 9.4)."""

    number: int

    def __new__(cls, name: str, number: int) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.number = number
        return member

    @classmethod
    def of(cls, value: str | int) -> Self:
        """The member of this name or number; ValueError when there is none."""
        for member in cls:
            if value == member.value or (value == member.number and not isinstance(value, bool)):
                return member
        raise ValueError(f"{value!r} is no {cls.__name__}")

    @classmethod
    def check(cls, value: str) -> str:
        """The value itself when it names a member; ValueError otherwise."""
        if value not in cls.__members__:
            raise ValueError(f"must be one of enum values ({', '.join(map(repr, cls.__members__))})")
        return value


class PersistentResourceState(ApiEnumeration):
    """Where a persistent resource is in its life. The number 2 is not used."""

    STATE_UNSPECIFIED = "STATE_UNSPECIFIED", 0
    PROVISIONING = "PROVISIONING", 1
    RUNNING = "RUNNING", 3
    STOPPING = "STOPPING", 4
    ERROR = "ERROR", 5
    REBOOTING = "REBOOTING", 6
    UPDATING = "UPDATING", 7


class ReservationAffinityType(ApiEnumeration):
    """Which reserved machines may be used."""

    TYPE_UNSPECIFIED = "TYPE_UNSPECIFIED", 0
    NO_RESERVATION = "NO_RESERVATION", 1
    ANY_RESERVATION = "ANY_RESERVATION", 2
    SPECIFIC_RESERVATION = "SPECIFIC_RESERVATION", 3


class AcceleratorType(ApiEnumeration):
    """The accelerators that machines can have."""

    ACCELERATOR_TYPE_UNSPECIFIED = "ACCELERATOR_TYPE_UNSPECIFIED", 0
    NVIDIA_TESLA_K80 = "NVIDIA_TESLA_K80", 1
    NVIDIA_TESLA_P100 = "NVIDIA_TESLA_P100", 2
    NVIDIA_TESLA_V100 = "NVIDIA_TESLA_V100", 3
    NVIDIA_TESLA_P4 = "NVIDIA_TESLA_P4", 4
    NVIDIA_TESLA_T4 = "NVIDIA_TESLA_T4", 5
    TPU_V2 = "TPU_V2", 6
    TPU_V3 = "TPU_V3", 7
    NVIDIA_TESLA_A100 = "NVIDIA_TESLA_A100", 8
    NVIDIA_A100_80GB = "NVIDIA_A100_80GB", 9
    TPU_V4_POD = "TPU_V4_POD", 10
    NVIDIA_L4 = "NVIDIA_L4", 11
    TPU_V5_LITEPOD = "TPU_V5_LITEPOD", 12
    NVIDIA_H100_80GB = "NVIDIA_H100_80GB", 13
    NVIDIA_H100_MEGA_80GB = "NVIDIA_H100_MEGA_80GB", 14
    NVIDIA_H200_141GB = "NVIDIA_H200_141GB", 15
    NVIDIA_B200 = "NVIDIA_B200", 16
    NVIDIA_GB200 = "NVIDIA_GB200", 17
    NVIDIA_RTX_PRO_6000 = "NVIDIA_RTX_PRO_6000", 18
