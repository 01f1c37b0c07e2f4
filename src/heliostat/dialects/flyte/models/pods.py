"""Pods of Kubernetes that are laid over the ones which Flyte makes for the nodes of a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

from flyteidl.core import tasks_pb2
from google.protobuf import json_format, struct_pb2

from .base import FlyteModel, Idl, message_of
from .quirks import quirks_wanted

PodSpec = Mapping[str, Any]
"""A pod's spec as JSON has it (camelCase); its form is Kubernetes' own."""


class K8sObjectMetadata(FlyteModel):
    """Labels and annotations."""

    def __init__(self, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None) -> None:
        self._labels = labels
        self._annotations = annotations

    @property
    def labels(self) -> Mapping[str, str] | None:
        return self._labels

    @property
    def annotations(self) -> Mapping[str, str] | None:
        return self._annotations

    def to_flyte_idl(self) -> Idl:
        return tasks_pb2.K8sObjectMetadata(
            labels=None if self.labels is None else dict(self.labels.items()),
            annotations=None if self.annotations is None else dict(self.annotations.items()),
        )

    @classmethod
    def from_flyte_idl(cls, proto: Idl) -> Self:
        return cls(labels=dict(proto.labels), annotations=dict(proto.annotations))


class IOStrategy(FlyteModel):
    """When the data of a container that reads and writes files is moved."""

    DOWNLOAD_MODE_EAGER: int = tasks_pb2.IOStrategy.DOWNLOAD_EAGER
    DOWNLOAD_MODE_STREAM: int = tasks_pb2.IOStrategy.DOWNLOAD_STREAM
    DOWNLOAD_MODE_NO_DOWNLOAD: int = tasks_pb2.IOStrategy.DO_NOT_DOWNLOAD
    UPLOAD_MODE_EAGER: int = tasks_pb2.IOStrategy.UPLOAD_EAGER
    UPLOAD_MODE_ON_EXIT: int = tasks_pb2.IOStrategy.UPLOAD_ON_EXIT
    UPLOAD_MODE_NO_UPLOAD: int = tasks_pb2.IOStrategy.DO_NOT_UPLOAD

    def __init__(self, download_mode: int = DOWNLOAD_MODE_EAGER, upload_mode: int = UPLOAD_MODE_ON_EXIT) -> None:
        self._download_mode = download_mode
        self._upload_mode = upload_mode

    @property
    def download_mode(self) -> int:
        return self._download_mode

    @property
    def upload_mode(self) -> int:
        return self._upload_mode

    def to_flyte_idl(self) -> Idl:
        return tasks_pb2.IOStrategy(download_mode=self.download_mode, upload_mode=self.upload_mode)

    @classmethod
    def from_flyte_idl(cls, proto: Idl) -> Self:
        return cls(download_mode=proto.download_mode, upload_mode=proto.upload_mode)


class DataLoadingConfig(FlyteModel):
    """Where the data of a container that reads and writes files is, and in which form."""

    LITERALMAP_FORMAT_JSON: int = tasks_pb2.DataLoadingConfig.JSON
    LITERALMAP_FORMAT_YAML: int = tasks_pb2.DataLoadingConfig.YAML
    LITERALMAP_FORMAT_PROTO: int = tasks_pb2.DataLoadingConfig.PROTO

    def __init__(
        self,
        input_path: str,
        output_path: str,
        enabled: bool = True,
        format: int = LITERALMAP_FORMAT_PROTO,
        io_strategy: IOStrategy | None = None,
    ) -> None:
        self._input_path = input_path
        self._output_path = output_path
        self._enabled = enabled
        self._format = format
        self._io_strategy = io_strategy

    @property
    def input_path(self) -> str:
        return self._input_path

    @property
    def output_path(self) -> str:
        return self._output_path

    @property
    def enabled(self) -> bool:
        return self._enabled

    @property
    def format(self) -> int:
        """One of the ``LITERALMAP_FORMAT_`` numbers."""
        return self._format

    @property
    def io_strategy(self) -> IOStrategy | None:
        return self._io_strategy

    def to_flyte_idl(self) -> Idl:
        return tasks_pb2.DataLoadingConfig(
            input_path=self.input_path,
            output_path=self.output_path,
            enabled=self.enabled,
            format=self.format,
            io_strategy=message_of(self.io_strategy),
        )

    @classmethod
    def from_flyte_idl(cls, proto: Idl) -> Self:
        return cls(
            input_path=proto.input_path,
            output_path=proto.output_path,
            enabled=proto.enabled,
            format=proto.format,
            io_strategy=IOStrategy.from_flyte_idl(proto.io_strategy) if proto.HasField("io_strategy") else None,
        )


class K8sPod(FlyteModel):
    """A pod: its metadata, its spec, and the name of the container that counts. An empty spec is no spec."""

    def __init__(
        self,
        metadata: K8sObjectMetadata | None = None,
        pod_spec: PodSpec | None = None,
        data_config: DataLoadingConfig | None = None,
        primary_container_name: str | None = None,
    ) -> None:
        self._metadata = metadata
        self._pod_spec = pod_spec
        self._data_config = data_config
        self._primary_container_name = primary_container_name

    @property
    def metadata(self) -> K8sObjectMetadata | None:
        return self._metadata

    @property
    def pod_spec(self) -> PodSpec | None:
        return self._pod_spec

    @property
    def data_config(self) -> DataLoadingConfig | None:
        return self._data_config

    @property
    def primary_container_name(self) -> str | None:
        return self._primary_container_name

    def to_flyte_idl(self) -> Idl:
        return tasks_pb2.K8sPod(
            metadata=message_of(self.metadata),
            # By way of text, as upstream: numbers become doubles and keys strings, what JSON cannot say is a TypeError.
            pod_spec=json_format.Parse(json.dumps(self.pod_spec), struct_pb2.Struct()) if self.pod_spec else None,
            data_config=message_of(self.data_config),
            primary_container_name=self.primary_container_name,
        )

    @classmethod
    def from_flyte_idl(cls, proto: Idl) -> Self:
        lossy = quirks_wanted()
        has_metadata = lossy or proto.HasField("metadata")
        return cls(
            metadata=K8sObjectMetadata.from_flyte_idl(proto.metadata) if has_metadata else None,
            pod_spec=json_format.MessageToDict(proto.pod_spec) if proto.HasField("pod_spec") else None,
            data_config=DataLoadingConfig.from_flyte_idl(proto.data_config) if proto.HasField("data_config") else None,
            primary_container_name=None if lossy else proto.primary_container_name,
        )
