"""Finds the moment from which a head's dashboard, and with it the Jobs API, can be used."""

from __future__ import annotations

import http.client
import threading
import time
from pathlib import Path

from heliostat_node.protocol import NodeSpec
from heliostat_node.status import Status

HOST = "127.0.0.1"
PROBE_SECONDS = 0.04


class DashboardProbe(threading.Thread):
    """Asks the dashboard for its version until it answers, and reports the moment."""

    def __init__(self, spec: NodeSpec, status: Status) -> None:
        super().__init__(name="dashboard-probe", daemon=True)
        self._port = spec.dashboard_port
        self._headers = {"User-Agent": "heliostat"}
        if spec.token_path:
            self._headers["Authorization"] = f"Bearer {Path(spec.token_path).read_text().strip()}"
        self._status = status

    def run(self) -> None:
        while self._status.current.phase != "exited":
            if self._answers():
                self._status.update(dashboard_ready_at=time.time())
                return
            time.sleep(PROBE_SECONDS)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=5)
        try:
            connection.request("GET", "/api/version", headers=self._headers)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
