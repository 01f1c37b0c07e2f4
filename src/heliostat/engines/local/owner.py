"""What every part of a supervisor needs of the whole."""

from __future__ import annotations

from typing import Protocol

from heliostat.domain.engine import InstancePlan

from .records import InstanceRecord


class Owner(Protocol):
    """The supervisor. After an ``await`` its record may be another one."""

    @property
    def record(self) -> InstanceRecord: ...

    @property
    def plan(self) -> InstancePlan: ...

    def save(self, record: InstanceRecord) -> None: ...
