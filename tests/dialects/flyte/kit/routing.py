"""Which connector serves which type of task (Flyte contract, section 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DEFAULT = "default"
"""Name of the connector that serves whatever nothing else does."""


@dataclass(frozen=True)
class Endpoint:
    """A connector as the propeller's configuration has it."""

    address: str
    """``host:port``."""
    default_timeout: float | None = None
    """Seconds for methods that ``timeouts`` does not name; None = no deadline at all."""
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """Seconds by ``CreateTask``, ``GetTask``, ``DeleteTask``, ``ListConnectors``."""
    credentials: Any = None  # grpc ships no types
    """``grpc.ChannelCredentials``; None = plaintext."""
    metadata: Sequence[tuple[str, str]] = ()
    """Propellers send none; a proxy before the connector may."""

    def timeout(self, method: str) -> float | None:
        return self.timeouts.get(method, self.default_timeout)


@dataclass(frozen=True)
class Configuration:
    """The propeller's section ``plugins.connector-service``."""

    default: Endpoint
    """Its ``default_timeout`` is 10 s in a propeller, which whoever makes it here gives."""
    connectors: Mapping[str, Endpoint] = field(default_factory=dict)
    for_task_types: Mapping[str, str] = field(default_factory=dict)
    """Type -> name in ``connectors``."""
    supported_types: Sequence[str] = ("ray",)

    def endpoint(self, name: str) -> Endpoint:
        return self.default if name == DEFAULT else self.connectors[name]

    def names(self) -> list[str]:
        return [DEFAULT, *self.connectors]


@dataclass(frozen=True)
class Route:
    """Where a type of task goes."""

    connector: str
    is_sync: bool = False


Routes = Mapping[str, Mapping[int, Route]]
"""By type and version."""


def routes(configuration: Configuration, listed: Iterable[tuple[str, Sequence[Any]]]) -> Routes:
    """From what the connectors say of themselves: (name, its ``admin.Agent``) of those that answered.

    A later entry for a type replaces all versions of an earlier one, so of several categories of the same name only the
    last survives.
    """
    made: dict[str, dict[int, Route]] = {}
    for connector, agents in listed:
        for agent in agents:
            for task_type in agent.supported_task_types:
                made[task_type] = {0: Route(connector, agent.is_sync)}
            for category in agent.supported_task_categories:
                made[category.name] = {category.version: Route(connector, agent.is_sync)}
    for task_type, connector in configuration.for_task_types.items():
        made[task_type] = {0: Route(connector)}
    for task_type in configuration.supported_types:
        made.setdefault(task_type, {0: Route(DEFAULT)})
    return made


def route(found: Routes, task_type: str, version: int) -> Route:
    """For one task. Who is not found goes to the default connector without a word."""
    return found.get(task_type, {}).get(version, Route(DEFAULT))
