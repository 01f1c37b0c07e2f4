"""The native HTTP API, versioned under ``/v1``: JSON in and out, described by OpenAPI.

The way of a request: :mod:`.edge` gives it an id and bounds its body, :mod:`.context` finds out who asks, a function of
``routes/`` reads it (bodies with :mod:`.models`, which :mod:`.definition` turns into specs), calls one service and answers
with a document of :mod:`.documents`. Errors of any kind leave as problem documents (:mod:`.problems`).

Answers are plain dicts written by orjson: the pydantic models of answers only describe them in the OpenAPI document, and
a test holds the two together. So a list of a hundred clusters stays below 2 ms of CPU.
"""

from .app import create_app, end_streams

__all__ = ["create_app", "end_streams"]
