"""Where Prometheus may read the figures of clusters that run."""

from __future__ import annotations

from dataclasses import dataclass

from heliostat.domain.engine import NodeObservation
from heliostat.domain.ids import WorkspaceId
from heliostat.domain.records import Cluster, Instance, Role
from heliostat.store import Store, Transaction

from .caller import Caller, authorise

COMPONENTS = ("node", "dashboard", "autoscaler")
"""What answers at the addresses of a node, in their order (:attr:`NodeObservation.metrics`)."""


@dataclass(frozen=True)
class MetricsTarget:
    """One address that answers ``GET /metrics``."""

    address: str
    """``host:port``, as seen from the machine that the node runs on."""
    component: str
    """``node``; of a head also ``dashboard`` and ``autoscaler``."""
    cluster: Cluster
    instance: Instance
    node: NodeObservation


class MonitoringService:
    """The use cases of those who watch clusters from outside."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def targets(self, caller: Caller, workspace: WorkspaceId | None = None) -> list[MetricsTarget]:
        """Of all running clusters that the caller may see (in ``workspace``, if that is given) and whose metrics are on.

        What was last seen of their nodes counts; no cluster is asked. Raises NotFound for an unknown workspace.
        """

        def work(tx: Transaction) -> list[tuple[Cluster, Instance]]:
            if workspace is not None:
                authorise(tx, caller, workspace, Role.VIEWER, "see clusters")
                return tx.clusters.running({workspace})
            return tx.clusters.running(None if caller.principal.admin else set(caller.principal.roles))

        return [
            MetricsTarget(address, component, cluster, instance, node)
            for cluster, instance in await self._store.read(work)
            if instance.spec.metrics
            for node in instance.nodes
            for component, address in zip(COMPONENTS, node.metrics, strict=False)
        ]
