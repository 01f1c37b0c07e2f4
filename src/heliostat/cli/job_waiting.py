"""Waiting for the end of a job without its log."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from .app import App
from .exits import ExitCode
from .failures import Failure
from .job_progress import FINAL
from .waiting import FOREVER

if TYPE_CHECKING:
    from heliostat.client import Client
    from heliostat.client.models import JobInfo


def end_of(app: App, client: Client, info: JobInfo, *, timeout: timedelta | None) -> JobInfo:
    """The job when it is final; at most after ``timeout`` (None: as long as it takes). Raises Failure when it is late."""
    if info.status in FINAL:
        return info
    remedy = f"it goes on; follow it with: heliostat job get {info.id} --watch"
    end = time.monotonic() + (timeout or FOREVER).total_seconds()
    try:
        for seen in client.jobs.watch(info.id, seconds=max(0.1, end - time.monotonic())):
            info = seen.info
            if info.status in FINAL:
                return info
    except KeyboardInterrupt:
        app.say(remedy)
        raise
    raise Failure(f"{info.id} is {info.status}: {info.message}", code=ExitCode.TIMEOUT, remedy=remedy)
