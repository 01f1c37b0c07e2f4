"""A server that a test kills: opens an engine, applies the plan of the conformance suite for one instance, and goes on.

``python -m tests.engines.local.victim <state> <runtime> <environment> <instance> [destroy]``
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from heliostat.domain.ids import InstanceId
from heliostat.engines.local import LocalEngine, LocalSettings

from ..conformance import plan
from .kit import Healthy


async def main(state: str, runtime: str, environment: str, instance: str, *destroy: str) -> None:
    settings = LocalSettings(
        Path(state), node_runtime=Path(runtime), ready_environment=lambda release: Path(environment)
    )
    engine = LocalEngine(settings, health=Healthy())
    await engine.open()
    if destroy:
        await engine.destroy(InstanceId(instance))
    else:
        await engine.apply(plan(InstanceId(instance)))
    print("begun", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
