"""What jobs need beside the store and an engine, for tests that put services together themselves."""

from __future__ import annotations

from pathlib import Path

from heliostat.domain.errors import InvalidSpec
from heliostat.services import JobTools
from heliostat.services.seams import WakeJob
from heliostat.storage.folder import FolderStorage


class AnySource:
    """Takes every URL but those that begin with ``refused://``."""

    def check(self, url: str, path: str) -> None:
        if url.startswith("refused://"):
            raise InvalidSpec(path, "this source is refused")


def job_tools(folder: Path, wake: WakeJob = lambda job: None) -> JobTools:
    """Storage and scratch space below ``folder``."""
    return JobTools(FolderStorage(folder / "storage"), AnySource(), wake, folder / "scratch")
