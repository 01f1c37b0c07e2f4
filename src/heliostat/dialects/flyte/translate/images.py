"""Images to releases: there are no containers here, so an image says which environment is meant.

An operator's map goes first, then the names of flytekit's own images, then the installation's release for Flyte: a task
whose image nobody has heard of is run, with a warning, since most images of Flyte's users are their own builds.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from heliostat.domain.releases import Catalogue, Release

from ..errors import FAILED_PRECONDITION, FlyteError, invalid
from ..settings import FlyteSettings
from .notes import Notes

BUILT_IN: Mapping[str, str] = {"*flytekit:py3.11-*": "flyte-1.3.1", "*flytekit:py3.12-*": "flyte-1.3.0"}


def release_of(
    image: str, settings: FlyteSettings, catalogue: Catalogue, path: str, notes: Notes, otherwise: Release | None = None
) -> Release:
    """The release that an image stands for; ``otherwise``, or the one for Flyte, when it stands for none. Raises FlyteError."""
    mapped = _mapped(image, settings.images)
    if mapped is not None:
        release = catalogue.find(mapped)
        if release is None:
            raise invalid(
                path, f"{image[:200]!r} stands for the release {mapped}, which is not offered; {_offered(catalogue)}"
            )
        return release
    known = _mapped(image, BUILT_IN)
    release = None if known is None else catalogue.find(known)
    if release is not None:
        return release
    release = otherwise or catalogue.find(settings.release)
    if release is None:
        raise FlyteError(
            FAILED_PRECONDITION,
            f"the release for Flyte's tasks, {settings.release}, is not offered; {_offered(catalogue)}. An operator chooses one "
            "as 'release' below [flyte] in the configuration file",
        )
    if image:
        notes.warn(
            f"{path}: {image[:200]!r} stands for no release here, so the task runs in {release.display}; an operator says what "
            "images stand for below [flyte.images] in the configuration file"
        )
    return release


def _mapped(image: str, images: Mapping[str, str]) -> str | None:
    """Whole names before patterns, those in their order."""
    return images.get(image) or next((name for like, name in images.items() if fnmatchcase(image, like)), None)


def _offered(catalogue: Catalogue) -> str:
    return f"offered are {', '.join(row.name for row in catalogue.releases)}"
