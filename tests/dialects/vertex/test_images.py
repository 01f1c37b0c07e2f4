"""Images to releases, and releases to the vendor's names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heliostat.dialects.vertex.translate.images import image_of, release_of
from heliostat.domain.releases import Catalogue, Release

from .resources import CPU, GPU, OFFICIAL

CATALOGUE = Catalogue()


@pytest.mark.parametrize(
    ("image", "release"),
    [
        (CPU, "ray-1.0.1"),
        (GPU, "ray-1.0.1"),
        (f"{OFFICIAL}cpu.2-47.py312", "ray-1.0.0"),
        (f"{OFFICIAL}gpu.2-60.py311@sha256:0", "ray-1.3.1"),
        (CPU.replace("us-", "asia-"), "ray-1.0.1"),
        ("localhost:5000/mirror/vertex-ai/training/ray-cpu.2-60.py312:latest", "ray-1.3.0"),
        ("vertex-ai/training/ray-cpu.2-60.py312", "ray-1.3.0"),
    ],
)
def test_the_vendors_names_choose_by_ray_and_python(image: str, release: str) -> None:
    assert release_of(image, {}, CATALOGUE).name == release


@pytest.mark.parametrize(
    "image",
    [
        "", "python:3.11", "ray-cpu.2-47.py311", "team/ray-cpu.2-47.py311:latest", f"{OFFICIAL}cpu.2-47.py310:latest",
        f"{OFFICIAL}cpu.2-9.py310", f"{OFFICIAL}tpu.2-47.py311", f"{OFFICIAL}cpu.2-47.py311-own:1",
        f"{OFFICIAL}cpu.2-47.py311:latest\n", f"{OFFICIAL}cpu.2-4.py311",
    ],
)  # fmt: skip
def test_other_images_are_refused_with_what_is_offered(image: str) -> None:
    with pytest.raises(ValueError, match=r"offered are ray-cpu\.2-47\.py312, .*\[vertex\.images\]"):
        release_of(image, {}, CATALOGUE)


def test_an_operators_map_goes_first_and_whole_names_before_patterns() -> None:
    images = {"team/*": "ray-1.3.0", "team/special:*": "ray-1.0.0", "team/special:1": "2.60.0", CPU: "ray-1.3.0"}
    for image, release in (
        ("team/a:1", "ray-1.3.0"),
        ("team/special:2", "ray-1.3.0"),
        ("team/special:1", "ray-1.3.1"),
        (CPU, "ray-1.3.0"),
        (GPU, "ray-1.0.1"),
    ):
        assert release_of(image, images, CATALOGUE).name == release
    with pytest.raises(ValueError, match="ray-9, which is not offered"):
        release_of("a", {"a": "ray-9"}, CATALOGUE)


def test_among_several_the_stable_plain_newest_one() -> None:
    rows = [
        Release("ray-1.0.0", "2.47.3", "3.11", stable=False), Release("ray-1.0.1", "2.47.9", "3.11", packages=("a==1",)),
        Release("ray-1.0.2", "2.47.1", "3.11"), Release("ray-1.0.3", "2.47.10", "3.11"), Release("ray-1.0.4", "2.47.2", "3.11"),
    ]  # fmt: skip
    for chosen in ("ray-1.0.3", "ray-1.0.4", "ray-1.0.2", "ray-1.0.1", "ray-1.0.0"):
        assert release_of(CPU, {}, Catalogue.of(rows)).name == chosen
        rows = [row for row in rows if row.name != chosen]


@pytest.mark.parametrize("location", ["us-central1", "europe-west4", "asia-east1", "global", "eu", "me-west1"])
def test_a_synthesized_name_leads_back(location: str) -> None:
    for release in CATALOGUE.releases:
        for gpu in (False, True):
            image = image_of(release, gpu, location)
            found = release_of(image, {}, CATALOGUE)
            assert found == release or (release.packages and found == replace(release, name=found.name, packages=()))
            assert f"ray-{'gpu' if gpu else 'cpu'}." in image
            continent = location.split("-")[0]
            assert image.startswith(f"{continent if continent in ('europe', 'asia') else 'us'}-")
