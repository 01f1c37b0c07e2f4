"""Finds the moments from which a head's dashboard, and with it the Jobs API, and its client server can be used."""

from __future__ import annotations

import http.client
import socket
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


class ClientServerProbe(threading.Thread):
    """Connects to the Ray Client server until it listens, and reports the moment."""

    def __init__(self, port: int, status: Status) -> None:
        super().__init__(name="client-server-probe", daemon=True)
        self._address = (HOST, port)
        self._status = status

    def run(self) -> None:
        while self._status.current.phase != "exited":
            try:
                socket.create_connection(self._address, timeout=5).close()
            except OSError:
                time.sleep(PROBE_SECONDS)
                continue
            self._status.update(client_ready_at=time.time())
            return
