"""The model of the schema `GoogleCloudAiplatformV1beta1RayLogsSpec`."""

from __future__ import annotations

from pydantic import Field, StrictBool

from .generated_model import GeneratedModel


class GoogleCloudAiplatformV1beta1RayLogsSpec(GeneratedModel):
    """Whether the logs of a Ray cluster are collected."""

    disabled: StrictBool | None = Field(default=None, description="True: they are not.")
