"""Data for tasks that cannot reach Flyte's bucket (Flyte contract, section 5.5).

The server writes the inputs below its own data root, copies the fast-registration archive there, has the task write there,
and brings the outputs back in the connector's answer. Works for what is in the literals themselves; what they merely point
to (files, data frames) stays below the data root, which later tasks must be able to reach.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heliostat.domain.ids import WorkspaceId
from heliostat.domain.masking import shown_url
from heliostat.services import DataService

from ..errors import FAILED_PRECONDITION, FlyteError

OUTPUTS_LIMIT = 3 << 20
"""Bytes of outputs that are brought home: clients of gRPC take messages of 4 MiB."""
ARCHIVE_LIMIT = 512 << 20
"""Bytes of a fast-registration archive: what Ray takes of a working directory."""
_ARCHIVE_OPTION = "--additional-distribution"


@dataclass(frozen=True)
class Staged:
    """Where a run's data are."""

    prefix: str
    """Below which the task writes ``outputs.pb`` and ``error.pb``."""
    argv: tuple[str, ...]


class Staging:
    def __init__(self, data: DataService) -> None:
        self._data = data

    async def bring(self, workspace: WorkspaceId, run_key: str, argv: Sequence[str], inputs: bytes) -> Staged:
        """Put everything in place. The same for the same key, so that it can be repeated; in each workspace another, since
        others may give their runs the same names there."""
        root = f"{self._data.root}/staged/{workspace}/{run_key}"
        await self._data.write(f"{root}/inputs.pb", inputs)
        archive = value_of(argv, _ARCHIVE_OPTION)
        moved = {
            "--inputs": f"{root}/inputs.pb",
            "--output-prefix": f"{root}/outputs",
            "--raw-output-data-prefix": f"{root}/raw",
            "--checkpoint-path": f"{root}/checkpoints",
        }
        if archive is not None and not _local(archive):
            moved[_ARCHIVE_OPTION] = await self._archive(archive)
        return Staged(f"{root}/outputs", rewritten(argv, moved))

    async def forget(self, prefix: str) -> None:
        """Remove what is kept for a run."""
        await self._data.remove(prefix.rpartition("/")[0])

    async def _archive(self, url: str) -> str:
        """Our copy. Archives are named by what is in them, so that a copy is good for ever."""
        folder = hashlib.sha256(url.encode()).hexdigest()[:40]
        name = url.rpartition("/")[2].partition("?")[0] or "code.tar.gz"
        target = f"{self._data.root}/staged-code/{folder}/{name}"
        if await self._data.size(target) is None:
            self._data.scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._data.scratch) as scratch:
                copy = Path(scratch) / "archive"
                if not await self._data.fetch(url, copy, ARCHIVE_LIMIT):
                    raise FlyteError(
                        FAILED_PRECONDITION,
                        f"the code of the task is not at {shown_url(url)}",
                        "template.container.args",
                    )
                await self._data.store(target, copy)
        return target


def _local(url: str) -> bool:
    """A path of this machine: the server copies none of its own files for others."""
    return "://" not in url or url.lower().startswith(("/", "file:"))


def value_of(argv: Sequence[str], option: str) -> str | None:
    """What follows an option."""
    for index, word in enumerate(argv[:-1]):
        if word == option:
            return argv[index + 1]
    return None


def rewritten(argv: Sequence[str], values: dict[str, str]) -> tuple[str, ...]:
    """The command with these options' values. An option is looked for once: what follows ``--`` twice is the user's own."""
    words = list(argv)
    for option, value in values.items():
        if option in words[:-1]:
            words[words.index(option) + 1] = value
    return tuple(words)
