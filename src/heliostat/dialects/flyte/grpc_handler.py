"""One gRPC handler for all of Flyte's services. What is behind it, with Flyte's messages, is imported at their first call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import grpc

PREFIXES = ("/flyteidl.", "/flyteidl2.", "/grpc.health.v1.")


class FlyteServices(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is untyped
    """Knows what begins with :data:`PREFIXES`, and asks the handlers that ``make`` gives, in their order."""

    def __init__(self, make: Callable[[], Sequence[Any]]) -> None:
        self._make = make

    @cached_property
    def _handlers(self) -> Sequence[Any]:
        return self._make()

    def service(self, details: Any) -> Any:
        if not details.method.startswith(PREFIXES):
            return None
        found = (handler.service(details) for handler in self._handlers)
        return next((answer for answer in found if answer is not None), None)
