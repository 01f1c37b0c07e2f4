"""The room that the other tests of this folder rely on."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from .room import opened

CONNECT = "import socket; socket.create_connection(({host!r}, {port}), 5)"
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    os.closerange(0, 3)
    open({told!r}, "w").close()
    time.sleep(3600)
"""


def test_nothing_leaves_it_and_every_attempt_is_counted() -> None:
    with opened() as room:
        assert (
            room.run("python3", "-c", "import socket; socket.create_server(('127.0.0.1', 0)).close()").returncode == 0
        )
        assert room.attempts() == 0
        direct = room.run("python3", "-c", CONNECT.format(host="192.0.2.7", port=443))
        assert (direct.returncode, "Network is unreachable" in direct.stderr) == (1, True)
        once = room.attempts()
        assert once >= 1
        named = room.run("python3", "-c", CONNECT.format(host="example.com", port=443))
        assert (named.returncode, "name resolution" in named.stderr) == (1, True)
        assert room.attempts() > once
        assert room.run("python3", "-c", CONNECT.format(host="2001:db8::1", port=443)).returncode == 1


def test_what_was_started_in_it_ends_with_it(tmp_path: Path) -> None:
    marker = str(tmp_path / "told")
    with opened() as room:
        assert room.run("python3", "-c", DAEMON.format(told=marker)).returncode == 0
        deadline = time.monotonic() + 20
        while not Path(marker).exists():
            assert time.monotonic() < deadline
        assert living(marker)
    deadline = time.monotonic() + 20
    while living(marker):
        assert time.monotonic() < deadline


def living(marker: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if marker.encode() in entry.read_bytes():
                found.append(entry.parent.name)
    return found


def test_without_the_right_to_make_one_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(RuntimeError, match=r"no network namespace can be made here.*Operation not permitted"), opened():
        pass
