"""What sync and async cluster objects have in common: everything that needs no call."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .errors import ClusterFailed, NotRunning
from .models import ClusterInfo, Endpoints, Finding, Progress

SETTLED = {"Running", "Stopped", "Error"}
RENEWED = "renewed"
"""What a wait for the end of a rolling restart waits for: it runs, and no older node is left."""


class ClusterFacts:
    """A cluster as it was at the last look (``info``); reading an attribute never asks the server."""

    def __init__(self, info: ClusterInfo) -> None:
        self.info = info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.id}) {self.state}>"

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
    def state(self) -> str:
        """``Stopped``, ``Starting``, ``Running``, ``Stopping`` or ``Error``."""
        return self.info.state

    @property
    def message(self) -> str:
        return self.info.message

    @property
    def generation(self) -> int:
        return self.info.generation

    @property
    def modified(self) -> bool:
        return self.info.modified

    @property
    def release(self) -> str:
        return self.info.release

    @property
    def spec(self) -> Mapping[str, Any]:
        return self.info.spec

    @property
    def instance_id(self) -> str | None:
        return self.info.instance.id if self.info.instance else None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Fields that the engine does not honour literally."""
        return self.info.findings or ()

    @property
    def endpoints(self) -> Endpoints | None:
        """None while the cluster is not running, and when it comes from a list."""
        return self.info.endpoints

    @property
    def dashboard_url(self) -> str:
        """A link for a browser, good for an hour. Raises NotRunning, as the next three do."""
        return self._endpoints().dashboard_url

    @property
    def job_url(self) -> str:
        """The address of the Jobs API."""
        return self._endpoints().job_url

    @property
    def ray_url(self) -> str:
        """The address for ``ray.init``; :func:`heliostat.ray_init` also brings the token, and checks versions first."""
        url = self._endpoints().ray_url
        if url is None:
            raise NotRunning(f"cluster {self.name} does not offer ray:// (yet): its Ray Client server does not answer")
        return url

    @property
    def submit_token(self) -> str:
        """Opens the Jobs API and the dashboard of this run; for editors."""
        token = self._endpoints().submit_token
        if token is None:
            raise NotRunning(f"the submit token of {self.name} is for editors of the workspace only", code="forbidden")
        return token

    def progress(self, since: float) -> Progress:
        """The present state as a progress report; ``since`` is a ``time.monotonic()``."""
        instance = self.info.instance
        return Progress(
            cluster=self.info,
            state=self.state,
            message=self.message,
            steps=instance.steps if instance else (),
            nodes_up=instance.nodes_up if instance else 0,
            nodes_wanted=instance.nodes_wanted if instance else 0,
            elapsed_seconds=time.monotonic() - since,
        )

    def arrived(self, until: str, *, deleting: bool = False) -> bool:
        """Whether the cluster is where a wait wants it. Raises ClusterFailed when it will not get there by itself."""
        if until == RENEWED:
            instance = self.info.instance
            if self.state == "Running" and instance is not None:
                return instance.renewing == 0 and instance.nodes_up >= instance.nodes_wanted
            until = "Running"
            if self.state == until:
                return False
        if self.state == until and not deleting:
            return True
        if self.state == "Error" and until != "Error" and not (deleting and self.info.wanted == "deleted"):
            raise ClusterFailed(f"cluster {self.name} failed: {self.message}")
        expected = {"Running": "running", "Stopped": "stopped"}.get(until)
        if self.state in SETTLED and expected and self.info.wanted != expected and not deleting:
            raise ClusterFailed(
                f"cluster {self.name} is {self.state} and wanted {self.info.wanted}; it will not be {until}"
            )
        return False

    def _endpoints(self) -> Endpoints:
        if self.info.endpoints is None and self.info.findings is None:
            raise NotRunning(f"cluster {self.name} comes from a list, which tells no addresses; refresh() it first")
        if self.info.endpoints is None:
            why = "" if self.message == "ok" else f": {self.message}"
            raise NotRunning(f"cluster {self.name} is {self.state}{why}; it has addresses while it is Running")
        return self.info.endpoints
