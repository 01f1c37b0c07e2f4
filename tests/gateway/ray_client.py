"""Stands for the client servers of heads: answers every method with what it got, or as the test wants."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class FakeHead(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is untyped
    def __init__(self) -> None:
        self.address = ""
        self.methods: list[str] = []
        self.metadata: list[tuple[tuple[str, str], ...]] = []
        self.ended = 0
        self.answer: Callable[[Any], Awaitable[None]] = self._echo

    def service(self, details: Any) -> Any:
        async def handle(messages: object, context: Any) -> None:
            self.methods.append(details.method)
            self.metadata.append(tuple((key, value) for key, value in context.invocation_metadata()))
            try:
                await self.answer(context)
            finally:
                self.ended += 1

        return grpc.stream_stream_rpc_method_handler(handle)

    @staticmethod
    async def _echo(context: Any) -> None:
        while (message := await context.read()) is not grpc.aio.EOF:
            await context.write(message)


@contextlib.asynccontextmanager
async def playing_client_server() -> AsyncIterator[FakeHead]:
    head = FakeHead()
    server = grpc.aio.server(handlers=(head,), options=UNLIMITED)
    head.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield head
    finally:
        await server.stop(0)
