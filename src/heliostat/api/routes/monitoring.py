"""Where the figures of running clusters are, for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from heliostat.domain.ids import WorkspaceId

from ..context import Here, answer
from ..documents import metrics_targets
from ..models.answers import MetricsTargets
from ..models.base import Text

router = APIRouter(tags=["monitoring"])


@router.get("/v1/metrics/targets", response_model=list[MetricsTargets], summary="Find what Prometheus shall scrape")
async def targets(
    here: Here,
    workspace: Annotated[
        Text | None, Query(min_length=1, description="Only this one; all that you see when left out.")
    ] = None,
) -> Response:
    """Prometheus' HTTP service discovery: every node of every running cluster whose `metrics` are on, and of heads the
    dashboard and the autoscaler. Takes a viewer. Addresses are those of the machine that the nodes run on.
    """
    place = None if workspace is None else WorkspaceId(workspace)
    return answer(metrics_targets(await here.services.monitoring.targets(here.caller, place)))
