"""What an operation is given, and what it is.

An operation reads the request, calls the use case and translates what that returns. It is given an authenticated caller
whose role was found sufficient, and returns the JSON of a success without its ``requestId``. The use cases check the role
again, in their own transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from heliostat.domain.ids import ClusterId, JobId, WorkspaceId
from heliostat.domain.records import Role
from heliostat.services import Caller

from .request import Request
from .translate.clusters import Json
from .translate.fields import to_integer

DEFAULT_PAGE = 20
LARGEST_PAGE = 100
LAST_PAGE = 10**9
"""Far beyond the last row; the offset still fits a database's integer."""


@dataclass(frozen=True)
class Call:
    """One authenticated request to an operation."""

    caller: Caller
    request: Request
    ids: Mapping[str, str]

    @property
    def workspace(self) -> WorkspaceId:
        return WorkspaceId(self.ids["workspaceId"])

    @property
    def cluster(self) -> ClusterId:
        return ClusterId(self.ids["clusterId"])

    @property
    def job(self) -> JobId:
        return JobId(self.ids["submissionId"])

    def number(self, name: str, default: int, maximum: int) -> int:
        """A positive integer of the query. Raises EmrError."""
        text = self.request.parameters.get(name)
        return default if text is None else to_integer(text, name, 1, maximum)

    def page(self) -> tuple[int, int]:
        """The size of the wanted page, and how many rows come before it. Raises EmrError."""
        size = self.number("pageSize", DEFAULT_PAGE, LARGEST_PAGE)
        return size, (self.number("pageNum", 1, LAST_PAGE) - 1) * size

    def filter(self, name: str) -> str | None:
        """A value of the query to filter by, in lower case; None when there is nothing to filter."""
        return self.request.parameters.get(name, "").lower() or None


@dataclass(frozen=True)
class Operation:
    perform: Callable[[Call], Awaitable[Json]]
    needs: Role
    """In the workspace of the path, if there is one."""
    request_id: str = "requestId"
    """How its answer spells that (EMR contract, section 9)."""
