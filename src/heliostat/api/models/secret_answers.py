"""What answers about secrets look like: never with a value."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from .base import Answer


class SecretAnswer(Answer):
    """A secret, without its value."""

    group: str
    key: str
    version: str = Field(description="Empty unless it was set with one.")
    modified_at: datetime
    modifier: str = Field(description="Who has set its value.")


class SecretList(Answer):
    secrets: list[SecretAnswer]


class JobSecretAnswer(Answer):
    """Which secret a job gets, and where."""

    group: str
    key: str
    version: str
    variables: list[str]
    file: str = Field(description="Below the job's folder of secrets, for programs that take files; empty if none.")
