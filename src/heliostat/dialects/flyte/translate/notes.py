"""What a task asks for and does not get: findings by path, and warnings that say so to whoever only sees a message."""

from __future__ import annotations


class Notes:
    """Collects while a template is read."""

    def __init__(self) -> None:
        self.unhonoured: dict[str, str] = {}
        """Path -> why it has no effect."""
        self._warnings: dict[str, None] = {}

    def unused(self, path: str, why: str) -> None:
        """A field that is kept and has no effect."""
        self.unhonoured.setdefault(path, why)

    def warn(self, sentence: str) -> None:
        """Something that is done in another way than the user may think."""
        self._warnings.setdefault(sentence)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Each reason once, with all fields that it is about."""
        paths: dict[str, list[str]] = {}
        for path, why in self.unhonoured.items():
            paths.setdefault(why, []).append(path)
        return (*self._warnings, *(f"{', '.join(found)}: {why}" for why, found in paths.items()))
