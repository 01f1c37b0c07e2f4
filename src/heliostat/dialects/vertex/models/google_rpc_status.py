"""The model of the schema `GoogleRpcStatus`."""

from __future__ import annotations

from typing import Any

from pydantic import Field, StrictInt, StrictStr

from .generated_model import GeneratedModel


class GoogleRpcStatus(GeneratedModel):
    """An error: a code, a text for developers, and details."""

    code: StrictInt | None = Field(default=None, description="A number of google.rpc.Code.")
    # Any: details are messages of any type
    details: list[dict[str, Any]] | None = Field(
        default=None, description="Further messages, each with the type it has in `@type`."
    )
    message: StrictStr | None = Field(default=None, description="What went wrong, in English.")
