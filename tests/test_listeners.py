"""Ports that somebody else has: whoever cannot have one says so, also when both came at the same time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from heliostat.config import Settings
from heliostat.domain.errors import NotReady
from heliostat.listeners import bind, bind_tls
from heliostat.server import serve


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_server_whose_port_another_took_while_it_started_is_not_up(tmp_path: Path, loop: Callable[[], Any]) -> None:
    main = bind(Settings(home=tmp_path, port=0))
    settings = Settings(home=tmp_path, port=main.getsockname()[1], tls_port=-1, engine="simulated")
    other = bind(settings)  # neither listens yet
    other.listen()

    async def start() -> None:
        async with serve(settings, listener=main):
            pass

    with other, asyncio.Runner(loop_factory=loop) as runner, pytest.raises(NotReady, match="cannot listen"):
        runner.run(start())


def test_the_second_door_has_its_port_or_is_none(tmp_path: Path) -> None:
    with bind(Settings(home=tmp_path, port=0)) as main:
        port = main.getsockname()[1]
        with bind_tls(Settings(home=tmp_path, tls_port=0), port) or socket.socket() as first:
            taken = first.getsockname()[1]
            assert bind_tls(Settings(home=tmp_path), taken - 1) is None
            with pytest.raises(NotReady, match="--no-tls-port"):
                bind_tls(Settings(home=tmp_path, tls_port=taken), port)


def test_one_port_cannot_be_both_doors(tmp_path: Path) -> None:
    main = bind(Settings(home=tmp_path, port=0))
    port = main.getsockname()[1]

    async def start() -> None:
        async with serve(Settings(home=tmp_path, port=port, tls_port=port, engine="simulated"), listener=main):
            pass

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(NotReady, match="--tls-port"):
        runner.run(start())
