"""The documented snippet of the vendor's SDK on real Ray, where nothing but ``lo`` exists: the Vertex contract, section 3.4."""

from __future__ import annotations

from pathlib import Path

import pytest

from .served import Served

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(290)]
SECONDS = 200
POLL_SECONDS = 150
"""What the SDK sleeps when it has once been told that a cluster is not there yet (section 1.3)."""
HEADS_OWN = 2
"""When a Ray head starts it asks the kernel by which address it would reach the world. Nothing is sent for that."""


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_whole_story(real: Served, transport: str, tmp_path: Path) -> None:
    before = real.room.attempts()
    seen, said = real.script("story.py", transport, tmp_path, seconds=SECONDS)
    name = seen["name"]
    number, identity = name.split("/")[1], name.split("/")[5]
    assert name == f"projects/{number}/locations/us-central1/persistentResources/demo-{transport}"
    assert len(number) == 12 and number.isdecimal()

    assert "sleeping" not in said, "the look at the cluster was held until it ran"
    assert seen["returned"] - seen["started"] < POLL_SECONDS / 10
    cluster = seen["cluster"]
    assert (cluster["state"], cluster["ray"], cluster["python"]) == ("RUNNING", "2.47", "3.11")
    assert (cluster["labels"], cluster["head"]) == ({"team": "heliostat"}, "n1-standard-4")
    assert cluster["workers"] == [["n1-standard-8", 1]]
    assert set(seen["uris"]) == {"RAY_DASHBOARD_URI", "RAY_CLIENT_ENDPOINT"}
    assert cluster["dashboard"] == seen["uris"]["RAY_DASHBOARD_URI"]
    assert "://" not in cluster["dashboard"]
    assert seen["listed"] == [name]

    assert (seen["updated"], seen["workers"]) == (name, [2])
    assert seen["while followed"] == "RUNNING", "what a job writes is read while it runs"
    assert [line for line in seen["log"].splitlines() if line in ("hello", "bye")] == ["hello", "bye"]
    assert seen["ended"] == "SUCCEEDED"
    assert seen["task"] == 42
    assert seen["nodes"] == [4, 8, 8]

    assert seen.get("on the way out", "STOPPING") == "STOPPING"
    assert "not found" in seen["gone"] and identity in seen["gone"]
    assert seen["left"] == []
    assert real.look("cluster", "list") == []
    assert real.room.attempts() - before <= HEADS_OWN, "nobody called anybody else"
