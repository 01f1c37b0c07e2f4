"""Flyte 2's connector services, called with its real package: our messages of Flyte 1 are the same bytes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from flyteidl.core import literals_pb2

from heliostat.engines.simulated_jobs import Script
from tests.sdk_environment import sdk_python

from .conftest import Serve
from .propeller import Served, write_outputs

HERE = Path(__file__).parent
CLIENT = HERE / "second_wire_client.py"
RAY = [{"name": "ray"}]


@pytest.fixture(scope="module")
def second_wire_python() -> Path:
    return sdk_python("flyteidl2", HERE / "second_wire.txt")


@pytest.mark.slow
async def test_the_official_stubs_of_the_second_wire(second_wire_python: Path, serve: Serve, tmp_path: Path) -> None:
    async with serve(Served({"staging": True})) as propeller:
        given: list[literals_pb2.LiteralMap] = []

        def behave(submission: object) -> Script:
            (inputs,) = (propeller.up.home / "flyte" / "staged").rglob("inputs.pb")
            given.append(literals_pb2.LiteralMap.FromString(inputs.read_bytes()))
            write_outputs(inputs.parent / "outputs", o0=7)
            return Script(output="hello\n")

        propeller.world.job_behaviour = behave
        port = str(propeller.up.running.propellers_port)
        client = await asyncio.create_subprocess_exec(
            second_wire_python, CLIENT, port, f"file://{tmp_path}/o", stdout=asyncio.subprocess.PIPE
        )
        said, _ = await client.communicate()
        assert client.returncode == 0
    found = json.loads(said)
    connector = {"name": "heliostat-ray", "supportedTaskCategories": RAY}
    assert found["listed"] == {"connectors": [connector]} and found["described"] == {"connector": connector}
    assert found["same"] is True and found["unknown"] == 0
    done = found["done"]["resource"]
    assert done["phase"] == "SUCCEEDED"
    value = {"scalar": {"primitive": {"integer": "7"}}}
    assert done["outputs"] == {"literals": [{"name": "o0", "value": value}]}
    assert {row["name"] for row in done["logLinks"]} == {"Ray dashboard", "Driver log"}
    assert done["customInfo"]["rayStatus"] == "SUCCEEDED"
    assert found["parts"][0] == "header"
    assert found["missing"]["resource"] == {"message": "job not found", "phase": "RETRYABLE_FAILED"}
    assert given[0].literals["x"].scalar.primitive.integer == 42
