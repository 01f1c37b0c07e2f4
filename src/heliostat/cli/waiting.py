"""Waiting for a cluster with progress on a board, with a check in between whether waiting still makes sense."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from .progress import Board

if TYPE_CHECKING:
    from heliostat.client import Client, ClusterInfo

SLICE_SECONDS = 5.0
"""A wait is cut into pieces of this length, with ``check`` between them."""
FOREVER = timedelta(days=30)


def nothing() -> None:
    """The check of a wait that needs none."""


def arrive(
    client: Client,
    cluster: str,
    until: str,
    board: Board[ClusterInfo],
    *,
    timeout: timedelta | None,
    check: Callable[[], None] = nothing,
) -> ClusterInfo:
    """Wait until the cluster has the state ``until``, at most ``timeout`` (None: as long as it takes).

    ``check`` may raise to end the wait. Raises ClusterFailed, DeadlineExceeded and what any call raises.
    """
    from heliostat.client.errors import DeadlineExceeded

    end = time.monotonic() + (timeout or FOREVER).total_seconds()
    seen = client.clusters.get(cluster)
    while True:
        left = end - time.monotonic()
        try:
            seen.wait(
                until, deadline=max(0.1, min(left, SLICE_SECONDS)), on_progress=lambda now: board.show(now.cluster)
            )
            return seen.info
        except DeadlineExceeded as error:
            check()
            if left <= SLICE_SECONDS:
                raise _late(seen.info, until, timeout) from error
            seen.refresh()


def vanish(
    client: Client,
    cluster: str,
    board: Board[ClusterInfo],
    *,
    timeout: timedelta | None,
    check: Callable[[], None] = nothing,
) -> None:
    """Wait until nothing of a deleted cluster is left, likewise."""
    from heliostat.client.errors import NotFound

    end = time.monotonic() + (timeout or FOREVER).total_seconds()
    last: ClusterInfo | None = None
    while True:
        left = end - time.monotonic()
        began = time.monotonic()
        length = max(0.1, min(left, SLICE_SECONDS))
        try:
            for seen in client.clusters.watch(cluster, seconds=length):
                last = seen.info
                board.show(last)
        except NotFound:
            return
        if time.monotonic() - began < length:
            return
        check()
        if left <= SLICE_SECONDS:
            raise _late(last, "gone", timeout)


def _late(info: ClusterInfo | None, until: str, timeout: timedelta | None) -> Exception:
    from heliostat.client.errors import DeadlineExceeded

    name, state = (info.name, info.state) if info is not None else ("the cluster", "there")
    message = f": {info.message}" if info is not None and info.message != "ok" else ""
    return DeadlineExceeded(
        f"{name} is {state}, not {until}, after {(timeout or FOREVER).total_seconds():g} s{message}"
    )
