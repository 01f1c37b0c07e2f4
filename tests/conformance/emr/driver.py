"""Drives the vendor's own SDK; runs in an environment of its own, since the SDK's dependencies clash with ours.

Reads one JSON command per line and answers with one JSON line: what the SDK returned, or the exception as a user's code
sees it. Requests are made of the SDK's model classes by attribute, as users do, so that wrong types go out as given.
It may talk to this machine alone: anything else that the SDK tried would be an error in the answer.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

from alibabacloud_emr_serverless_spark20230808 import models
from alibabacloud_emr_serverless_spark20230808.client import Client
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.policy.retry import RetryOptions
from darabonba.runtime import RuntimeOptions

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def stay_home(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook that forbids every connection but to this machine."""
    target = arguments[1][0] if event == "socket.connect" and isinstance(arguments[1], tuple) else None
    if event == "socket.getaddrinfo":
        target = arguments[0]
    if target is not None and target not in LOOPBACK:
        raise RuntimeError(f"the SDK called out to {target}")


def build(name: str, value: Any) -> Any:
    """A model of class ``name`` from JSON; what has no class of its own is given as it is."""
    if not isinstance(value, dict) or not hasattr(models, name):
        return value
    attributes = {}
    for key, inner in value.items():
        nested = name + key[0].upper() + key[1:]
        made = [build(nested, row) for row in inner] if isinstance(inner, list) else build(nested, inner)
        attributes[re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), key)] = made
    return getattr(models, name)(**attributes)


def config(options: dict[str, Any]) -> Config:
    options = dict(options)
    if "retry_options" in options:
        options["retry_options"] = RetryOptions(options["retry_options"])
    return Config(**options)


def call(command: dict[str, Any]) -> tuple[str, list[Any]]:
    """Name of the client's method, and its positional arguments."""
    operation: str = command["operation"]
    arguments = [*command.get("path", [])]
    if command.get("request") is not None:
        arguments.append(build(operation + "Request", command["request"]))
    method = re.sub(r"(?<!^)[A-Z]", lambda match: "_" + match[0].lower(), operation).lower()
    if command.get("headers") is not None:
        return method + "_with_options", [*arguments, command["headers"], RuntimeOptions()]
    return method, arguments


def answer(response: Any) -> dict[str, Any]:
    body = None if response.body is None else response.body.to_map()
    return {"status": response.status_code, "headers": dict(response.headers), "body": body}


def failure(error: Exception) -> dict[str, Any]:
    names = ("code", "status_code", "message", "request_id", "retry_after", "access_denied_detail", "name", "data")
    seen = {name: getattr(error, name) for name in names if getattr(error, name, None) is not None}
    return {"error": {"type": type(error).__name__, "text": str(error), **seen}}


async def perform(command: dict[str, Any]) -> dict[str, Any]:
    client = Client(config(command["config"]))
    method, arguments = call(command)
    return answer(
        await getattr(
            client,
            (method.removesuffix("_with_options") + "_with_options_async")
            if method.endswith("_with_options")
            else method + "_async",
        )(*arguments)
    )


def main() -> None:
    sys.addaudithook(stay_home)
    clients: dict[str, Client] = {}
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["flavour"] == "async":
                result = asyncio.run(perform(command))
            else:
                key = json.dumps(command["config"], sort_keys=True)
                client = clients.setdefault(key, Client(config(command["config"])))
                method, arguments = call(command)
                result = answer(getattr(client, method)(*arguments))
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises is the answer
            result = failure(error)
        print(json.dumps(result, default=str), flush=True)


if __name__ == "__main__":
    main()
