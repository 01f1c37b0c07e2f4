"""Releases: which Ray with which Python a user may ask for.

A release is known by its display text, ``ray-1.0.0 (Ray 2.47.1, Python 3.12)``, and by the part before the blank (EMR
contract, section 8). The catalogue is configuration; :data:`BUILT_IN` is what a fresh installation offers.

A release for Flyte's tasks has flytekit and its Ray plugin in its environment (Flyte contract, section 5.4); nothing else
tells it from the others, so every client may run on one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .requirements import name_of

_DISPLAY = re.compile(
    r"(?P<name>(?:ray|err|flyte)-[0-9]+\.[0-9]+\.[0-9]+) \(Ray (?P<ray>[0-9]+\.[0-9]+\.[0-9]+), Python (?P<python>3\.[0-9]+)\)"
)


@dataclass(frozen=True)
class Release:
    """One row of the catalogue."""

    name: str
    """``ray-1.0.0``: prefix ``ray``, ``err`` or ``flyte`` and our own version number."""
    ray: str
    """``2.47.1``."""
    python: str
    """``3.12``: major and minor."""
    stable: bool = True
    packages: tuple[str, ...] = ()
    """Further requirements for the environment, in pip's syntax."""

    @property
    def display(self) -> str:
        return f"{self.name} (Ray {self.ray}, Python {self.python})"

    @property
    def runs_flyte(self) -> bool:
        """Whether its environment has flytekit, without which no task of Flyte runs."""
        return "flytekit" in map(name_of, self.packages)

    @classmethod
    def parse(cls, display: str) -> Release:
        """The release that a display text describes. Raises ValueError."""
        match = _DISPLAY.fullmatch(display)
        if match is None:
            raise ValueError(f"{display!r} is not of the form 'ray-1.0.0 (Ray 2.47.1, Python 3.12)'")
        return cls(match["name"], match["ray"], match["python"])


FLYTE = ("flytekit==1.16.31", "flytekitplugins-ray==1.16.31", "kubernetes")
"""What an environment for Flyte's tasks needs beside Ray. Tasks with pod templates or resources per group import
``kubernetes`` when they are loaded, and neither of the others requires it."""

BUILT_IN = (
    Release("ray-1.0.0", "2.47.1", "3.12"),
    Release("ray-1.0.1", "2.47.1", "3.11"),
    Release("ray-1.3.0", "2.60.0", "3.12"),
    Release("ray-1.3.1", "2.60.0", "3.11"),
    Release("flyte-1.3.0", "2.60.0", "3.12", packages=FLYTE),
    Release("flyte-1.3.1", "2.60.0", "3.11", packages=FLYTE),
)
"""What a fresh installation offers: the newest Ray, and 2.47.1, each for two Pythons; and the newest for Flyte's tasks."""

DEFAULT = "ray-1.3.1"


@dataclass(frozen=True)
class Catalogue:
    """The releases of an installation. ``default`` serves whoever names none."""

    releases: tuple[Release, ...] = BUILT_IN
    default: str = DEFAULT

    def find(self, text: str) -> Release | None:
        """By display text, by name, or by a Ray version alone.

        ``2.47.1`` gives a row that is not made for Flyte, and one for the default's Python, if there is any.
        """
        for release in self.releases:
            if text in (release.name, release.display):
                return release
        same_ray = [release for release in self.releases if release.ray == text]
        preferred = self.default_release.python
        return min(same_ray, key=lambda row: (row.name.startswith("flyte-"), row.python != preferred), default=None)

    @property
    def default_release(self) -> Release:
        return next(release for release in self.releases if release.name == self.default)

    @classmethod
    def of(cls, releases: Iterable[Release], default: str | None = None) -> Catalogue:
        """A checked catalogue: names unique, default among them. Raises ValueError."""
        rows = tuple(releases)
        names = [release.name for release in rows]
        if not rows or len(set(names)) != len(names):
            raise ValueError("the release catalogue is empty or names a release twice")
        chosen = default or rows[0].name
        if chosen not in names:
            raise ValueError(f"the default release {chosen!r} is not in the catalogue")
        return cls(rows, chosen)
