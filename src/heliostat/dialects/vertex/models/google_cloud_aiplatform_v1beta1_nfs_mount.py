"""The model of the schema `GoogleCloudAiplatformV1beta1NfsMount`."""

from __future__ import annotations

from pydantic import Field, StrictStr

from .generated_model import GeneratedModel


class GoogleCloudAiplatformV1beta1NfsMount(GeneratedModel):
    """An NFS file system, seen at `/mnt/nfs/{mountPoint}`."""

    mount_point: StrictStr | None = Field(
        default=None, description="The folder's name below `/mnt/nfs`.", alias="mountPoint"
    )
    path: StrictStr | None = Field(default=None, description="The exported path; absolute.")
    server: StrictStr | None = Field(default=None, description="The server's address.")
