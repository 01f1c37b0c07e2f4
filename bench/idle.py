"""What an idle server costs: memory and CPU with no cluster, and with three real ones (head only)."""

from __future__ import annotations

import time
from pathlib import Path

from support import BenchServer, cpu_seconds, memory_mib, server

WATCHED = 30


def watch(up: BenchServer, clusters: int) -> dict[str, object]:
    """Memory now, and CPU over half a minute in which nobody asks for anything."""
    before = cpu_seconds(up.pid)
    time.sleep(WATCHED)
    used = cpu_seconds(up.pid) - before
    return {
        "what": f"idle server, {clusters} clusters",
        "pss_mib": round(memory_mib(up.pid), 1),
        "cpu_percent": round(used / WATCHED * 100, 2),
    }


def main(home: Path | None = None) -> list[dict[str, object]]:
    with server("local", home) as up:
        time.sleep(3)
        rows = [watch(up, 0)]
        connection = up.connection()
        names = ["idle-1", "idle-2", "idle-3"]
        try:
            for name in names:
                up.native(connection, "POST", "/clusters", {"name": name, "head": {"cpu": "1", "memory": "1Gi"}})
            deadline = time.monotonic() + 600
            while up.native(connection, "GET", "/clusters?limit=1&state=Starting")["clusters"]:
                if time.monotonic() > deadline:
                    raise RuntimeError("the clusters did not come up")
                time.sleep(0.5)
            time.sleep(10)
            rows.append(watch(up, 3))
        finally:
            for row in up.native(connection, "GET", "/clusters?limit=10")["clusters"]:
                up.native(connection, "DELETE", f"/clusters/{row['id']}?stop=true")
            while up.native(connection, "GET", "/clusters?limit=10")["clusters"]:
                time.sleep(0.2)
        return rows


if __name__ == "__main__":
    for row in main():
        print(row)
