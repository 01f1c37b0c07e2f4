"""Tasks from their creation to their end, as a propeller sees them (Flyte contract, sections 4.4, 5.4 and 8)."""

from __future__ import annotations

import json

from heliostat.dialects.flyte.runs import Phase

from .propeller import Propeller, write_outputs


async def test_a_task_that_succeeds(propeller: Propeller) -> None:
    meta = await propeller.create()
    assert meta == json.dumps({"v": 1, "id": json.loads(meta)["id"]}, separators=(",", ":")).encode()
    first = await propeller.get(meta)
    assert first.phase in (Phase.QUEUED, Phase.INITIALIZING, Phase.RUNNING)
    dashboard = first.log_links[0]
    assert dashboard.name == "Ray dashboard" and dashboard.ShowWhilePending and "token" not in dashboard.uri
    running = await propeller.until(meta, Phase.RUNNING)
    assert running.custom_info["heliostatJobId"] == json.loads(meta)["id"]
    assert running.log_links == first.log_links
    write_outputs(propeller.prefix(), o0=3)
    propeller.job(meta).finish(0)
    done = await propeller.until(meta, Phase.SUCCEEDED)
    assert not done.HasField("outputs") and not done.HasField("agent_error")
    assert done.custom_info["rayStatus"] == "SUCCEEDED"
