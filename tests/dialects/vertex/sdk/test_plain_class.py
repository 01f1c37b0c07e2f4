"""The vendor's plain ``PersistentResource`` class: v1, operations that are waited for, projects as given (section 1.9)."""

from __future__ import annotations

import pytest

from .served import Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_create_reboot_and_delete(simulated: Served, transport: str) -> None:
    before = simulated.room.attempts()
    seen = simulated.script("plain_class.py", transport).report
    made, rebooted = seen["made"], seen["rebooted"]
    number = made["name"].split("/")[1]
    assert len(number) == 12 and number.isdecimal()
    assert made == {
        "name": f"projects/{number}/locations/europe-west4/persistentResources/plain-{transport}",
        "display name": "A plain one",
        "state": "RUNNING",
        "labels": {"team": "heliostat"},
        "error": "",
        "pools": [["first", 2]],
        "started": made["started"],
    }
    assert rebooted == made | {"started": rebooted["started"]}
    assert f"plain-{transport}" in seen["gone"] and "not found" in seen["gone"]
    assert simulated.room.attempts() == before, "the SDK called nobody but the server"
