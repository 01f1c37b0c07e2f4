"""One gRPC handler for all of Flyte's services. What is behind it, with Flyte's messages, is imported at their first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .authenticate import Authenticator
from .rpc import Methods, RpcHandler

PREFIXES = ("/flyteidl.", "/flyteidl2.", "/grpc.health.v1.")


class FlyteServices(RpcHandler):
    """Everything that begins with :data:`PREFIXES`, for callers with a bearer."""

    def __init__(
        self, load: Callable[[], Methods], authenticator: Authenticator, drained: Callable[[], None]
    ) -> None:  # fmt: skip
        async def caller(context: Any) -> Any:  # grpc ships no types
            metadata = [(key, value) for key, value in context.invocation_metadata() if isinstance(value, str)]
            return await authenticator.of_metadata(metadata)

        super().__init__(PREFIXES, load, caller, drained=drained)
