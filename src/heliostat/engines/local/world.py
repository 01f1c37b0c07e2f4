"""What the supervisors of one engine share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from heliostat.domain.ids import InstanceId

from .clock import Clock
from .crowd import Line
from .environments import Environments
from .health import Health
from .layout import Layout
from .limits import Machine
from .ports import PortBook
from .processes import ExitWatch
from .settings import LocalSettings
from .turns import Turns
from .zygotes import Zygotes


@dataclass(frozen=True)
class World:
    """The tools of a supervisor, and its ways to the engine."""

    settings: LocalSettings
    clock: Clock
    layout: Layout
    environments: Environments
    zygotes: Zygotes
    ports: PortBook
    health: Health
    machine: Machine
    base_environment: Mapping[str, str]
    changed: Callable[[InstanceId], None]
    """Tell the control loop to look."""
    promised: Callable[[], int]
    """Bytes of object store promised to all nodes of all instances."""
    turns: Turns
    """The queue of starts."""
    coming: Callable[[], int]
    """Workers that are coming up, of all instances whose head is up."""
    crowd: Line = field(default_factory=Line)
    """Instances with workers that wait for others to come up."""
    exits: ExitWatch = field(default_factory=ExitWatch)

    def now(self) -> float:
        """Unix seconds."""
        return self.clock.now().timestamp()
