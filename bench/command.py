"""CPU of ``heliostat --help``, against an empty Python in the same run."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

RUNS = 15


def cpu(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> list[dict[str, object]]:
    program = str(Path(sys.executable).parent / "heliostat")
    rows = []
    for what, command in (
        ("heliostat --help", [program, "--help"]),
        ("python -c pass", [sys.executable, "-c", "pass"]),
    ):
        cpu(command)
        rows.append({"what": what, "cpu_s": round(statistics.median(cpu(command) for _ in range(RUNS)), 3)})
    return rows


if __name__ == "__main__":
    for row in main():
        print(row)
