"""Releases: the display text, finding one by what users write, and the catalogue's checks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.releases import BUILT_IN, DEFAULT, FLYTE, Catalogue, Release

NUMBER = st.integers(0, 999)
VERSION = st.tuples(NUMBER, NUMBER, NUMBER).map(lambda parts: ".".join(map(str, parts)))
RELEASE = st.builds(
    Release,
    st.tuples(st.sampled_from(["ray", "err", "flyte"]), VERSION).map("-".join),
    VERSION,
    st.integers(0, 99).map("3.{}".format),
)


@given(RELEASE)
def test_the_display_text_says_all(release: Release) -> None:
    assert Release.parse(release.display) == release


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ray-1.0.0",
        "2.47.1",
        "ray-1.0 (Ray 2.47.1, Python 3.12)",
        "ray-1.0.0 (Ray 2.47.1, Python 3.12) ",
        "spark-1.0.0 (Ray 2.47.1, Python 3.12)",
        "ray-1.0.0 (Ray 2.47.1, Python 2.7)",
    ],
)
def test_what_is_no_display_text(text: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        Release.parse(text)


def test_a_release_is_found_by_name_display_text_and_ray_version() -> None:
    catalogue = Catalogue()
    for release in BUILT_IN:
        assert catalogue.find(release.name) is release
        assert catalogue.find(release.display) is release
    for text in ("2.47.1", "2.60.0"):
        found = catalogue.find(text)
        assert found is not None and (found.ray, found.python) == (text, catalogue.default_release.python)
        assert not found.packages


@pytest.mark.parametrize("text", ["", "ray", "2.47", "ray-9.9.9", "RAY-1.0.0", "ray-1.0.0 (Ray 2.47.1, Python 3.13)"])
def test_what_is_not_offered_is_not_found(text: str) -> None:
    assert Catalogue().find(text) is None


def test_a_ray_version_is_found_though_the_default_python_is_missing_for_it() -> None:
    old, new = Release("ray-1.0.0", "2.47.1", "3.12"), Release("ray-2.0.0", "2.60.0", "3.11")
    assert Catalogue.of([old, new], new.name).find("2.47.1") is old


def test_a_ray_version_means_a_release_for_flyte_only_when_there_is_no_other() -> None:
    flyte, plain = Release("flyte-1.0.0", "2.60.0", "3.11", packages=FLYTE), Release("ray-1.0.0", "2.60.0", "3.12")
    assert Catalogue.of([flyte, plain], flyte.name).find("2.60.0") is plain
    assert Catalogue.of([flyte]).find("2.60.0") is flyte


def test_a_release_runs_flyte_when_flytekit_is_in_it() -> None:
    assert [release.name for release in BUILT_IN if release.runs_flyte] == ["flyte-1.3.0", "flyte-1.3.1"]
    for packages, runs in (
        (("FlyteKit[extra]>=1",), True),
        (("flytekit @ https://h/flytekit.whl",), True),
        (("flytekitplugins-ray", "/srv/flytekit.whl", "--pre"), False),
    ):
        assert Release("ray-1.0.0", "2.60.0", "3.11", packages=packages).runs_flyte == runs


def test_the_built_in_catalogue_is_sound() -> None:
    assert Catalogue.of(BUILT_IN, DEFAULT) == Catalogue()
    assert {release.ray for release in BUILT_IN} >= {"2.47.1", "2.60.0"}


def test_a_catalogue_is_checked() -> None:
    one = BUILT_IN[0]
    assert Catalogue.of([one]).default == one.name
    with pytest.raises(ValueError, match="empty"):
        Catalogue.of([])
    with pytest.raises(ValueError, match="twice"):
        Catalogue.of([one, one])
    with pytest.raises(ValueError, match="default release"):
        Catalogue.of([one], "ray-9.9.9")
