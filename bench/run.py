"""All figures of docs/performance.md, one after the other; about fifteen minutes on two cores."""

from __future__ import annotations

import os
import platform
import time

import admissions
import autoscaling
import calls
import cluster_start
import command
import flyte
import idle
import scale
import submissions
import vertex
import warm_start

PARTS = (
    ("start", cluster_start.main),
    ("warm", warm_start.main),
    ("calls", calls.main),
    ("idle", idle.main),
    ("scale", scale.main),
    ("jobs", submissions.main),
    ("scaling", autoscaling.main),
    ("admissions", admissions.main),
    ("vertex", vertex.main),
    ("flyte", flyte.main),
    ("cli", command.main),
)


def main() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name, part in PARTS:
        print(f"\n{name} (load before: {os.getloadavg()[0]:.2f}, {time.strftime('%H:%M:%S')})")
        for row in part():
            print("  " + "  ".join(f"{key}={value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
