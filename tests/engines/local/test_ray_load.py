"""Several real clusters at once, one of them with an environment that cannot be built."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from heliostat.domain.engine import InstancePlan, Observation, Step
from heliostat.domain.releases import Catalogue, Release
from heliostat.engines.local import LocalSettings
from tests.environments import Ready

from ..conformance import plan, until
from .kit import Lab

pytestmark = [pytest.mark.ray, pytest.mark.slow]

BROKEN = Release("broken", "2.60.0", "3.11", packages=("heliostat-package-that-is-not-there==1",))
START_SECONDS = 120.0


async def test_clusters_created_at_once_come_up_one_after_the_other(
    ray_environments: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which they were asked for; the one whose environment fails holds up none of the others."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    settings = LocalSettings(
        tmp_path / "state",
        catalogue=Catalogue(),
        concurrent_starts=1,
        client_server=False,
        ready_environment=lambda release: None if release.packages else ray_environments.of(release),
    )
    lab = Lab(settings, within=START_SECONDS)
    await lab.open()
    try:
        plans = [plan(workers=0) for _ in range(5)]
        plans[1] = dataclasses.replace(plans[1], release=BROKEN)
        for wanted in plans:
            await lab.engine.apply(wanted)
        broken = plans.pop(1)
        began = [begin_of_head(await up(lab, wanted)) for wanted in plans]
        assert began == sorted(began)
        ended = [await up_since(lab, wanted) for wanted in plans]
        assert all(next_one >= last for last, next_one in zip(ended, began[1:], strict=False)), "one at a time"
        seen = await until(lab.engine, broken.instance, lambda seen: seen.failure is not None, "failed", START_SECONDS)
        assert seen.failure is not None
        assert "cannot be built" in seen.failure
        assert "heliostat-package-that-is-not-there" in seen.failure
    finally:
        await lab.close()


async def up(lab: Lab, wanted: InstancePlan) -> Observation:
    return await until(
        lab.engine, wanted.instance, lambda seen: seen.complete and seen.step is Step.UP, "it is up", START_SECONDS
    )


def begin_of_head(seen: Observation) -> float:
    return next(entry.started_at.timestamp() for entry in seen.progress if entry.step is Step.HEAD)


async def up_since(lab: Lab, wanted: InstancePlan) -> float:
    seen = await lab.engine.observe(wanted.instance)
    return next(entry.started_at.timestamp() for entry in seen.progress if entry.step is Step.UP)
