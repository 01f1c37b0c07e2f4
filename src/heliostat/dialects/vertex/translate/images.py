"""Container images to releases: there are no containers here, but the name of an image says which Ray and Python are meant.

An operator's map goes first, then the vendor's own names (Vertex contract, section 9.2). Everything else is refused with
what is offered, since running another Ray than the image's would be worse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from heliostat.domain.releases import Catalogue, Release

_OFFICIAL = re.compile(
    r"(?:[^\s/]+/)*vertex-ai/training/ray-(?:cpu|gpu)\.([0-9]{1,4})-([0-9]{1,4})\.py([0-9])([0-9]{1,3})(?:[:@]\S*)?",
    re.ASCII,
)
_REGISTRY = ".".join(("docker", "pkg", "dev"))
_CONTINENTS = ("us", "europe", "asia")


def release_of(image: str, images: Mapping[str, str], catalogue: Catalogue) -> Release:
    """The release that an image stands for. Raises ValueError with a sentence."""
    mapped = images.get(image) or next((name for like, name in images.items() if fnmatchcase(image, like)), None)
    if mapped is not None:
        release = catalogue.find(mapped)
        if release is None:
            raise ValueError(f"{image!r} stands for the release {mapped}, which is not offered; {_offered(catalogue)}")
        return release
    official = _OFFICIAL.fullmatch(image)
    if official is None:
        raise ValueError(
            f"{image!r} is no image of the vendor's for Ray, and stands for no release; {_offered(catalogue)}. An operator says "
            "what other images stand for below [vertex.images] in the configuration file"
        )
    wanted = f"{official[1]}.{official[2]}.", f"{official[3]}.{official[4]}"
    found = [row for row in catalogue.releases if row.ray.startswith(wanted[0]) and row.python == wanted[1]]
    if not found:
        raise ValueError(
            f"Ray {wanted[0][:-1]} with Python {wanted[1]} is not offered; {_offered(catalogue)}. An operator adds releases "
            "below [[releases]], or says what an image stands for below [vertex.images], in the configuration file"
        )
    return min(found, key=lambda row: (not row.stable, bool(row.packages), -int(row.ray.rpartition(".")[2])))


def image_of(release: Release, gpu: bool, location: str) -> str:
    """The vendor's name for an image with the Ray and Python of a release."""
    continent = location.partition("-")[0]
    ray = "-".join(release.ray.split(".")[:2])
    name = f"ray-{'gpu' if gpu else 'cpu'}.{ray}.py{release.python.replace('.', '')}"
    return f"{continent if continent in _CONTINENTS else _CONTINENTS[0]}-{_REGISTRY}/vertex-ai/training/{name}:latest"


def _offered(catalogue: Catalogue) -> str:
    pairs = dict.fromkeys(
        f"ray-cpu.{'-'.join(row.ray.split('.')[:2])}.py{row.python.replace('.', '')}" for row in catalogue.releases
    )
    return f"offered are {', '.join(pairs)}"
