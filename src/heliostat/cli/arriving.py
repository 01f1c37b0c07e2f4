"""What commands on a cluster end with: a wait with progress, and the cluster as it is then."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .app import App

if TYPE_CHECKING:
    from heliostat.client import Client, ClusterInfo


def arrived(app: App, /, client: Client, info: ClusterInfo, until: str, timeout: timedelta | None) -> ClusterInfo:
    """Wait with progress; what it ends with goes to stderr with the cluster's name in the remedy."""
    from heliostat.client.errors import ClusterFailed, DeadlineExceeded

    from .exits import ExitCode
    from .failures import Failure
    from .progress import board
    from .waiting import arrive

    verb = {"Running": "starting", "Stopped": "stopping", "renewed": "replacing nodes of"}[until]
    try:
        with board(app, f"{verb} {info.name}") as shown:
            return arrive(client, info.id, until, shown, timeout=timeout)
    except ClusterFailed as error:
        raise Failure(str(error), remedy=f"heliostat cluster why {info.name}") from error
    except DeadlineExceeded as error:
        remedy = f"it goes on; follow it with: heliostat cluster get {info.name} --watch"
        raise Failure(str(error), code=ExitCode.TIMEOUT, remedy=remedy) from error
    except KeyboardInterrupt:
        app.say(f"{info.name} goes on {verb}; follow it with: heliostat cluster get {info.name} --watch")
        raise


def print_cluster(app: App, /, info: ClusterInfo, *, show_secrets: bool = False) -> None:
    from . import tables
    from .output import emit, without_secrets

    document = dict(info.raw) if show_secrets else without_secrets(info.raw)
    emit(app, document, lambda: tables.cluster(info, app.now(), show_secrets=show_secrets))
