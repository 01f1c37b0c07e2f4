"""Which log files there are in the log storage, and how much of each: the table that readers and collectors agree by.

A collector first appends to the storage and then advances the row, so that readers never see more than is there; after a
crash in between, the same bytes are written to the same place once more.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select, union_all, update

from ..domain.ids import ClusterId, WorkspaceId
from ..domain.jobs import EXPIRED, LogFile
from .schema import instances, jobs, log_files
from .statements import AnyRow, changed, insert_new

_L = log_files.c
_BY_NAME = (_L.owner == bindparam("of"), _L.name == bindparam("file"))
_GET = select(log_files).where(*_BY_NAME)
_OF = select(log_files).where(_L.owner == bindparam("of")).order_by(_L.name)
_OF_RUNS = (
    select(log_files).where(_L.owner > bindparam("low"), _L.owner < bindparam("high")).order_by(_L.owner, _L.name)
)
_SAVE = update(log_files).where(*_BY_NAME, _L.source_offset == bindparam("expected"), _L.complete.is_(False))
_STILL_WRITING = union_all(
    select(jobs.c.id).where(jobs.c.settled.is_(False)), select(instances.c.id).where(instances.c.ended_at.is_(None))
)


class LogFiles:
    """The repository of log files."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, owner: str, name: str) -> LogFile | None:
        row = self._connection.execute(_GET, {"of": owner, "file": name}).first()
        return None if row is None else _file(row)

    def of(self, owner: str) -> list[LogFile]:
        """All files of a job or an instance, by name."""
        return [_file(row) for row in self._connection.execute(_OF, {"of": owner})]

    def of_runs(self, cluster: ClusterId) -> list[LogFile]:
        """All files of all runs of a cluster, by run and name."""
        return [_file(row) for row in self._connection.execute(_OF_RUNS, {"low": f"{cluster}-", "high": f"{cluster}."})]

    def add(self, file: LogFile) -> bool:
        """False when there is one with the name."""
        return insert_new(self._connection, log_files, {"owner": file.owner, "name": file.name, **_values(file)})

    def advance(self, file: LogFile, expected: int) -> bool:
        """Replaces the row if its ``source_offset`` is still ``expected`` and it is not complete; False when somebody else
        was faster."""
        return changed(
            self._connection, _SAVE, {"of": file.owner, "file": file.name, "expected": expected, **_values(file)}
        )

    def modified_before(self, time: datetime, *, limit: int) -> list[LogFile]:
        """Oldest first; none of jobs and instances that are not over."""
        old = select(log_files).where(_L.modified_at < time, _L.owner.not_in(_STILL_WRITING))
        query = old.order_by(_L.modified_at).limit(limit)
        return [_file(row) for row in self._connection.execute(query)]

    def expire(self, owner: str) -> None:
        """Make all files of an owner as old as can be, so that retention takes them next."""
        self._connection.execute(update(log_files).where(_L.owner == owner).values(modified_at=EXPIRED))

    def remove(self, files: Iterable[LogFile]) -> None:
        for file in files:
            self._connection.execute(delete(log_files).where(_L.owner == file.owner, _L.name == file.name))


def _values(file: LogFile) -> dict[str, object]:
    return {
        "workspace": file.workspace,
        "size": file.size,
        "source_offset": file.source_offset,
        "modified_at": file.modified_at,
        "complete": file.complete,
        "note": file.note,
    }


def _file(row: AnyRow) -> LogFile:
    return LogFile(
        owner=row.owner,
        workspace=WorkspaceId(row.workspace),
        name=row.name,
        size=row.size,
        source_offset=row.source_offset,
        modified_at=row.modified_at,
        complete=row.complete,
        note=row.note,
    )
