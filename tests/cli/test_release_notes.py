"""What the table of releases says beside versions."""

from __future__ import annotations

from heliostat.cli.tables import release_note
from heliostat.client.models import Release


def note(*packages: str) -> str:
    return release_note(Release("flyte-1.3.1", "", "2.60.0", "3.11", True, False, "ready", packages=packages))


def test_packages_are_named_until_they_are_too_many() -> None:
    assert note() == ""
    assert note("flytekit==1.16.31", "kubernetes") == "with flytekit==1.16.31, kubernetes"
    assert note(*"abcdefg") == "with a, b, c, d, e and 2 more"
