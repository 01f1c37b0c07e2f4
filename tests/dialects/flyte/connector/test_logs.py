"""GetTaskLogs: a header with the next token, then lines; and what there is of metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from flyteidl.admin import agent_pb2

from heliostat.dialects.flyte.runs import Phase
from heliostat.engines.simulated_jobs import Script

from .propeller import ASYNC, Propeller, write_outputs

LINES = [f"line {number} \N{SNOWMAN}" for number in range(30)]


@pytest.fixture
async def talker(propeller: Propeller) -> AsyncIterator[tuple[Propeller, bytes, list[str]]]:
    """A task that has ended and whose log is stored: what Ray says at its beginning, then what it prints."""
    propeller.world.job_behaviour = lambda submission: Script(running_looks=None, output="\n".join(LINES) + "\n")
    meta = await propeller.running()
    write_outputs(propeller.prefix(), o0=1)
    propeller.job(meta).finish(0)
    await propeller.until(meta, Phase.SUCCEEDED)
    _, rows, _ = await propeller.eventually(
        lambda: logs(propeller, meta), lambda found: found[1][-len(LINES) :] == LINES
    )
    yield propeller, meta, rows


async def logs(
    propeller: Propeller, meta: bytes, *, service: str = ASYNC, **asked: Any
) -> tuple[str, list[str], list[str]]:  # fmt: skip
    """Token, lines, and lines the old way."""
    call = propeller.channel.unary_stream(
        f"/{service}/GetTaskLogs", request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=agent_pb2.GetTaskLogsResponse.FromString,
    )  # fmt: skip
    token, rows, old = "", [], []
    async for answer in call(agent_pb2.GetTaskLogsRequest(resource_meta=meta, **asked)):
        if answer.WhichOneof("part") == "header":
            assert not token
            token = answer.header.token
        else:
            rows += [line.message for line in answer.body.structured_lines]
            old += list(answer.body.results)
    return token, rows, old


async def test_all_the_last_ones_and_from_a_token_on(talker: tuple[Propeller, bytes, list[str]]) -> None:
    propeller, meta, every = talker
    end = str(len("\n".join(every).encode()) + 1)
    assert await logs(propeller, meta) == (end, every, every)
    assert await logs(propeller, meta, lines=3) == (end, LINES[-3:], LINES[-3:])
    assert await logs(propeller, meta, lines=1000) == (end, every, every)
    assert await logs(propeller, meta, token=end) == (end, [], [])
    second = str(len(every[0].encode()) + 1)
    for lines in (0, len(every) - 1, len(every)):
        assert (await logs(propeller, meta, token=second, lines=lines))[1] == every[1:]
    assert (await logs(propeller, meta, token=str(10**15)))[1] == []
    both = await logs(propeller, meta, service="flyteidl2.connector.AsyncConnectorService", lines=2)
    assert both == (end, LINES[-2:], [])


async def test_what_there_is_no_log_of(propeller: Propeller) -> None:
    propeller.world.start_seconds = 1e6
    meta = await propeller.create()
    assert await logs(propeller, meta) == ("0", [], [])
    for asked, code in (
        ({"meta": b'{"id":"rj-0000000000000000"}'}, grpc.StatusCode.NOT_FOUND),
        ({"meta": b"x"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"meta": meta, "token": "-1"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"meta": meta, "token": "x"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"meta": meta, "task_type": "spark"}, grpc.StatusCode.NOT_FOUND),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await logs(propeller, **asked)
        assert caught.value.code() is code, asked


async def test_metrics_are_none(propeller: Propeller) -> None:
    meta = await propeller.create()
    asked = agent_pb2.GetTaskMetricsRequest(resource_meta=meta, queries=["cpu"])
    found = await propeller.call("GetTaskMetrics", asked, agent_pb2.GetTaskMetricsResponse)
    assert not found.results
    asked.start_time.seconds = 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await propeller.call("GetTaskMetrics", asked, agent_pb2.GetTaskMetricsResponse)
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
