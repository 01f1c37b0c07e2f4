"""Whatever bytes come, by whatever method: an answer, or an error that a client can act on; never a bug's."""

from __future__ import annotations

import random

import grpc

from .conftest import SERVICES, Door
from .messages import launch_plan, task, task_node, template, workflow

ROUNDS = 12
"""For each method."""
BUGS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED}
SEEDS = [
    message.SerializeToString()
    for message in (
        task("t", type="ray"),
        workflow(template("w", task_node("n0", "t", x=".x"), task_node("n1", "t", x="n0.o0"), outputs={"o": "n1.o0"})),
        launch_plan("lp"),
        task("t").id,
    )
]


def mutated(source: random.Random) -> bytes:
    """Bytes of a message with some of them changed, cut out or repeated."""
    data = bytearray(source.choice(SEEDS))
    for _ in range(source.randint(0, 4)):
        place = source.randrange(len(data) + 1)
        match source.randrange(4):
            case 0 if data:
                data[place % len(data)] = source.randrange(256)
            case 1:
                del data[place : place + source.randint(1, 5)]
            case 2:
                data[place:place] = source.randbytes(source.randint(1, 4))
            case _:
                data[place:place] = data[: source.randint(0, 40)]
    return bytes(data) if source.random() < 0.9 else source.randbytes(source.randint(0, 60))


async def test_no_bytes_are_a_bug(door: Door) -> None:
    source = random.Random(6)
    await door.call("CreateTask", task("t"))
    codes = set()
    for name, (path, _) in SERVICES.items():
        for _ in range(ROUNDS):
            data = mutated(source)
            try:
                await door.bytes(path, data)
            except grpc.aio.AioRpcError as error:
                assert error.code() not in BUGS, (name, data, error.details())
                codes.add(error.code())
    assert {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED} <= codes
