"""When streams end: with their client, with the right to them, and not before."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from heliostat.domain.states import State

from .conftest import VIEWER
from .support import (
    HOST,
    SUBMIT,
    FakeGatekeeper,
    Front,
    Head,
    access_to,
    eventually,
)


async def test_when_the_client_goes_the_head_is_let_go(front: Front, head: Head) -> None:
    gone = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"line\n")
                await asyncio.sleep(0.01)
        finally:
            gone.set()

    head.answer = endless
    async with front.ask("GET", "/api/v0/logs/stream") as answer:
        assert await answer.content.readline() == b"line\n"
        answer.close()
    async with asyncio.timeout(10):
        await gone.wait()
    await eventually(lambda: len(front.gateway._streams) == 0)


async def test_when_the_client_goes_before_the_head_answers_the_head_is_let_go(front: Front, head: Head) -> None:
    asked = asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(3600)
        raise AssertionError("not reached")

    head.answer = never
    call = asyncio.create_task(front.session.get(front.url("/nodes"), headers={"Host": HOST, "ray-token": SUBMIT}))
    async with asyncio.timeout(10):
        await asked.wait()
        call.cancel()
        await eventually(lambda: len(front.gateway._streams) == 0)


@pytest.mark.parametrize("how", ["revoked", "stopped", "restarted", "demoted"])
async def test_an_open_stream_ends_with_the_right_to_it(
    front: Front, head: Head, gatekeeper: FakeGatekeeper, how: str
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"line\n")
            await asyncio.sleep(0.01)

    head.answer = endless
    async with front.ask("GET", "/api/v0/logs/stream") as answer:
        for _ in range(30):
            await answer.content.readline()
        if how == "revoked":
            del gatekeeper.rows[SUBMIT]
        elif how == "stopped":
            gatekeeper.rows[SUBMIT] = access_to(state=State.STOPPING)
        elif how == "restarted":
            gatekeeper.rows[SUBMIT] = access_to(upstream=head.address, run="00000002")
        else:
            gatekeeper.rows[SUBMIT] = access_to(upstream=head.address, role=gatekeeper.rows[VIEWER].role)
        with pytest.raises(aiohttp.ClientPayloadError):
            async with asyncio.timeout(10):
                await answer.content.read()


async def test_a_stream_with_the_right_to_it_goes_on(front: Front, head: Head, gatekeeper: FakeGatekeeper) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while len(gatekeeper.asked) < 6:
            await response.write(b"line\n")
            await asyncio.sleep(0.01)
        await response.write(b"end\n")
        return response

    head.answer = endless
    async with front.ask("GET", "/api/v0/logs/stream") as answer:
        assert (await answer.content.read()).endswith(b"end\n")
