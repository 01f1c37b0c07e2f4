"""What sync and async job objects have in common: everything that needs no call."""

from __future__ import annotations

from .errors import JobFailed
from .models import JobInfo, JobProgress

FINAL = {"Succeeded", "Failed", "Cancelled", "Timeout"}


class JobFacts:
    """A job as it was at the last look (``info``); reading an attribute never asks the server."""

    def __init__(self, info: JobInfo) -> None:
        self.info = info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.id}) {self.status}>"

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def workspace(self) -> str:
        return self.info.workspace

    @property
    def status(self) -> str:
        """``Submitted``, ``Pending``, ``Running``, ``Succeeded``, ``Failed``, ``Cancelling``, ``Cancelled``, ``Timeout``."""
        return self.info.status

    @property
    def message(self) -> str:
        """What it waits for, or how it ended."""
        return self.info.message

    @property
    def exit_code(self) -> int | None:
        """Of its entry point; None before its end, and when it never ran to one."""
        return self.info.exit_code

    @property
    def cluster_id(self) -> str:
        return self.info.cluster.id

    @property
    def progress(self) -> JobProgress:
        """How far it is."""
        return self.info.progress

    @property
    def ended(self) -> bool:
        return self.status in FINAL

    def check(self) -> None:
        """Raises JobFailed when it ended otherwise than well."""
        if self.ended and self.status != "Succeeded":
            cause = f" ({self.info.cause.replace('_', ' ')})" if self.info.cause else ""
            raise JobFailed(f"job {self.name} is {self.status}{cause}: {self.message}")
