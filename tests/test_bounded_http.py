"""Strangers with endless or with unfinished requests, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliostat import bounded_http, port
from heliostat.testing.harness import HarnessServer, running


@pytest.fixture(name="server")
async def _server(tmp_path: Path) -> AsyncIterator[HarnessServer]:
    async with running(tmp_path) as server:
        yield server


async def answer(server: HarnessServer, *pieces: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        async with asyncio.timeout(10):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_headers_without_end_are_cut_off(server: HarnessServer) -> None:
    line = b"x-more: " + b"a" * 1000 + b"\r\n"
    endless = await answer(server, b"GET /healthz HTTP/1.1\r\nhost: a\r\n", *[line] * 100)
    assert endless.startswith(b"HTTP/1.1 431 ") and b"connection: close" in endless
    one = await answer(server, b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-more: ", *[b"a" * 10_000] * 20)
    assert one == b"" or one.startswith(b"HTTP/1.1 431 ")


async def test_large_bodies_and_many_requests_on_one_connection_are_not_heads(server: HarnessServer) -> None:
    many = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 30_000 + b"\r\n\r\n"
    post = b"POST /v1/keys HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    got = await answer(server, *[many] * 5, post, b" " * 300_000, last)
    assert got.count(b"HTTP/1.1 200 OK") == 6 and got.count(b"HTTP/1.1 401 ") == 1


async def test_a_head_that_does_not_come_to_an_end_gives_its_connection_back(
    server: HarnessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_http, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(port, "OPENING_SECONDS", 0.2)
    assert await answer(server) == b""
    assert (await answer(server, b"GET /hea")).startswith(b"HTTP/1.1 408 ")
    whole = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    second = await answer(server, whole + b"GET /hea", b"l")
    assert second.startswith(b"HTTP/1.1 200 OK") and b"HTTP/1.1 408 " in second
