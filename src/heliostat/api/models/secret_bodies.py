"""Request bodies about secrets."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, SecretStr

from heliostat.domain.secrets import (
    GROUP,
    KEY,
    MAX_IN_JOB,
    MAX_NAME,
    MAX_VALUE_BYTES,
    MAX_VARIABLES,
    VERSION,
)

from .base import Body

Group = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=f"^{GROUP}$")]
Key = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=f"^{KEY}$")]
Version = Annotated[str, Field(max_length=MAX_NAME, pattern=f"^{VERSION}$")]
Variable = Annotated[str, Field(max_length=MAX_NAME, pattern="^[A-Za-z_][A-Za-z0-9_]*$")]


class NewSecret(Body):
    """A value, and the name that it is known by."""

    group: Group = Field(examples=["db"])
    key: Key = Field(examples=["password"])
    version: Version = Field(default="", description="Part of the name; each version has a value of its own.")
    value: Annotated[SecretStr, Field(min_length=1, max_length=MAX_VALUE_BYTES)] = Field(
        description="Text of at most 64 KiB in UTF-8. Kept encrypted; no answer has it.", examples=["correct horse"]
    )

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"group": "db", "key": "password", "value": "correct horse battery"}]}
    )


class WantedSecret(Body):
    """One of the workspace's secrets, for a job."""

    group: Group
    key: Key
    version: Version = ""
    variables: list[Variable] = Field(
        min_length=1,
        max_length=MAX_VARIABLES,
        description="Environment variables of the job that get its value, whatever `runtime_env` says of them.",
        examples=[["DB_PASSWORD"]],
    )


WantedSecrets = Annotated[list[WantedSecret], Field(max_length=MAX_IN_JOB)]
