"""Environments of vendors' SDKs, whose dependencies clash with ours: built once per checkout by uv, from pinned requirements.

They are known by the content of the requirements and shared by all tests that run at once. The packages are linked from
uv's cache, so that what takes the time is the compilation of the bytecode.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import uv

CACHE = Path(__file__).parents[1] / ".cache"


def sdk_python(name: str, requirements: Path) -> Path:
    """The interpreter of the environment below ``.cache/<name>``, or of the one that ``HELIOSTAT_TEST_<NAME>`` names."""
    given = os.environ.get(f"HELIOSTAT_TEST_{name.upper().replace('-', '_')}")
    if given:
        return Path(given) / "bin" / "python"
    cache = CACHE / name
    folder = cache / hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of one run may all come at once
        if not folder.exists():
            _build(folder, requirements)
    return folder / "bin" / "python"


def _build(folder: Path, requirements: Path) -> None:
    building = Path(tempfile.mkdtemp(dir=folder.parent))
    python = building / "bin" / "python"
    program = uv.find_uv_bin()
    subprocess.run([program, "venv", "-q", "--relocatable", "--allow-existing", "-p", "3.11", building], check=True)
    subprocess.run(
        [program, "pip", "install", "-q", "--compile-bytecode", "-p", python, "-r", requirements], check=True
    )
    building.rename(folder)
