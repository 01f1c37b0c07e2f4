"""The model of the schema `GoogleCloudAiplatformV1beta1EncryptionSpec`."""

from __future__ import annotations

from pydantic import Field, StrictStr

from .generated_model import GeneratedModel


class GoogleCloudAiplatformV1beta1EncryptionSpec(GeneratedModel):
    """A customer's own key."""

    kms_key_name: StrictStr | None = Field(default=None, description="The full name of the key.", alias="kmsKeyName")
