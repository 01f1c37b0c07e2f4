"""Finding a Python of the wanted version on this machine.

uv knows most places, but gives up at a pyenv shim that has no such version selected; so the usual homes of interpreters
are searched as well. Nothing is ever downloaded here: where that is allowed, uv does it while it makes the environment.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from .clock import Clock

PROBE_TIMEOUT_SECONDS = 15.0
ABSENCE_REMEMBERED_SECONDS = 10.0
"""After this somebody may have installed it."""

_HOMES = (
    "/usr/bin/python{v}",
    "/usr/local/bin/python{v}",
    "/opt/homebrew/bin/python{v}",
    "/opt/python/{v}*/bin/python{v}",
    "/opt/hostedtoolcache/Python/{v}.*/x64/bin/python{v}",
)


class Interpreters:
    """What was found, remembered: every start of a cluster asks, and a search starts processes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._found: dict[str, Path] = {}
        self._absent_at: dict[str, float] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def find(self, uv: str, version: str) -> Path | None:
        """As :func:`find_python`. One that was found is known until it vanishes, an absence for some seconds."""
        async with self._locks.setdefault(version, asyncio.Lock()):
            known = self._found.get(version)
            if known is not None and os.access(known, os.X_OK):
                return known
            since = self._now() - self._absent_at.get(version, float("-inf"))
            if known is None and 0 <= since < ABSENCE_REMEMBERED_SECONDS:  # less than 0: the clock was set back
                return None
            found = await find_python(uv, version)
            if found is None:
                self._found.pop(version, None)
                self._absent_at[version] = self._now()
            else:
                self._found[version] = found
            return found

    def _now(self) -> float:
        return self._clock.now().timestamp()


async def find_python(uv: str, version: str) -> Path | None:
    """An interpreter with this major and minor version (``3.12``), or None."""
    found = await _output(uv, "python", "find", "--system", "--no-project", "--no-python-downloads", version)
    if found and await _is(Path(found), version):
        return Path(found)
    for candidate in _candidates(version):
        if await _is(candidate, version):
            return candidate
    return None


def _candidates(version: str) -> Iterator[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted((pyenv / "versions").glob(f"{version}.*/bin/python{version}"), reverse=True)
    for pattern in _HOMES:
        yield from sorted(Path("/").glob(pattern.format(v=version).lstrip("/")), reverse=True)


async def _is(python: Path, version: str) -> bool:
    code = "import sys, ctypes, ssl; print('%d.%d' % sys.version_info[:2])"
    return await _output(str(python), "-I", "-c", code) == version


async def _output(*command: str) -> str:
    """What a command prints; empty when it fails or hangs."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
        )
    except OSError:
        return ""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return output.decode(errors="replace").strip() if process.returncode == 0 else ""
