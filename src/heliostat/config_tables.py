"""The tables of the configuration file, one model each, and the forms of what stands in them.

Every field says its unit and default. What one value must be is checked here; what must fit together, in
:class:`~heliostat.config.ConfigFile`, which puts them together.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from heliostat.domain.errors import NotReady
from heliostat.domain.job_validation import MAX_TTL
from heliostat.domain.quantities import MAX_CORES, MAX_MEMORY, parse_cores, parse_memory
from heliostat.domain.releases import FLYTE, Release
from heliostat.domain.requirements import BadLine, read_requirements, with_defaults
from heliostat.domain.validation import MIN_LIFETIME

DAY_SECONDS = 86400
_PLACE = re.compile(r"(?:(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):)?([0-9]{1,5})")


def place(text: str) -> tuple[str, int]:
    """``8602`` -> ``("127.0.0.1", 8602)``; the address may be told, as in ``[::1]:8602``. Raises ValueError."""
    match = _PLACE.fullmatch(text)
    if match is None or int(match[2]) > 65535:
        raise ValueError("must be a port, or an address and a port: 8602, 0.0.0.0:8602 or [::1]:8602")
    return (match[1] or "127.0.0.1").strip("[]"), int(match[2])


def _place_text(text: str) -> str:
    place(text)
    return text


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
PlaceText = Annotated[str, AfterValidator(_place_text)]
Named = Annotated[str, Field(min_length=1)]


class Strict(BaseModel):
    """Unknown keys are errors; and an error repeats no value, which may be a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ReleaseRow(Strict):
    name: str = Field(pattern=r"^(ray|err|flyte)-[0-9]+\.[0-9]+\.[0-9]+$")
    ray: str = Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")
    python: str = Field(pattern=r"^3\.[0-9]+$")
    stable: bool = True
    packages: tuple[str, ...] = ()
    requirements: AbsolutePath | None = None
    """A requirements file, whose lines are packages, too."""
    flyte: bool = False
    """Whether flytekit and its Ray plugin come with it, in the versions of the built-in releases unless it names them."""

    def release(self, key: str, for_flyte: tuple[str, ...]) -> Release:
        """``for_flyte`` are further packages of releases for Flyte. Raises NotReady."""
        packages = self.packages
        if self.requirements is not None:
            packages += requirements_in(f"{key}.requirements", self.requirements)
        if self.flyte:
            packages = with_defaults(with_defaults(packages, for_flyte), FLYTE)
        return Release(self.name, self.ray, self.python, self.stable, packages)


class GpuRow(Strict):
    name: str = Field(min_length=1)
    accelerator: str
    count: int = Field(ge=1)


class VolumeRow(Strict):
    id: str = Field(pattern=r"^vol-[a-z0-9]+$")
    path: AbsolutePath


class NetworkRow(Strict):
    id: str
    name: str
    vpc_id: str = ""
    vswitch_ids: tuple[str, ...] = ()


class EngineFile(Strict):
    """The ``[engine]`` table: the local engine's own settings."""

    python_downloads: bool = False
    concurrent_starts: int | None = Field(default=None, ge=1)
    start_deadline_seconds: int = Field(default=300, ge=10)
    client_server: bool = True
    """Whether heads run Ray's client server, which ``ray://`` needs; it takes 40 to 50 MB each."""


class WarmFile(Strict):
    """The ``[warm]`` table: clusters of the local engine that are kept ready, so that a start takes less than a second."""

    releases: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Name of a release -> how many, for clusters without autoscaling."""
    autoscaled: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """The same for clusters with autoscaling: their heads run Ray's autoscaler from the start."""
    workers: int = Field(default=2, ge=0, le=100)
    """Of each of them; a cluster that wants more gets the others as ever."""
    group: str = Field(default="workers", pattern=r"^[A-Za-z0-9_-]{1,63}$")
    """Name of the group that those workers can be in."""
    memory_gib: float = Field(default=2, gt=0)
    """Of a node that one of them can be, at most. The object store, a share of it, cannot grow."""


class EmrFile(Strict):
    """The ``[emr]`` table: the door for EMR's clients."""

    starts_clusters: bool = False
    """Whether CreateRayCluster also starts the cluster; the vendor's does not."""
    reads_per_second: float = Field(default=50, ge=0)
    """GET requests per key; 0 = no limit."""
    writes_per_second: float = Field(default=10, ge=0)
    """The same for POST and DELETE."""
    bearer_without_tls: bool = False
    """Accept bearer tokens over plain http from other machines too, e.g. behind a proxy elsewhere that ends TLS."""


class MachineRow(Strict):
    cpus: int = Field(ge=1, le=int(MAX_CORES))
    memory_gib: float = Field(gt=0, le=MAX_MEMORY >> 30)
    gpu: str | None = None
    """Name of a row of the GPU types, e.g. ``NVIDIA_L4-2`` or one of ``[[gpus]]``."""


class VertexFile(Strict):
    """The ``[vertex]`` table: the door for Vertex AI's clients."""

    machines: dict[Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")], MachineRow] = Field(
        default_factory=dict
    )
    """Machine type -> what a node of it gets: beside the vendor's own, or in place of one of the same name."""
    images: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    """Image name, or a pattern with ``*`` -> name of the release that it stands for. The first that fits counts, before the
    vendor's own names; but a whole name goes before all patterns."""
    hold_minutes: float = Field(default=30, ge=0, le=24 * 60)
    """How long a GET of a client that waits for a resource is held at most; 0 = never."""
    session_hours: float = Field(default=24, ge=0, le=24 * 30)
    """How long after its end a token still opens runs that were there before: these clients never renew it."""


class FlyteConnectorFile(Strict):
    """The table ``[flyte.connector]``: the door for propellers, which send no credential."""

    listen: PlaceText | None = None
    """``[ADDRESS:]PORT``; on loopback without an address. None means that there is no such door."""
    principal: str = Field(default="flyte", pattern=r"^[A-Za-z0-9._@-]{1,64}$")
    """Name of the principal as which everything that comes in there is done; made when there is none."""
    client_ca: AbsolutePath | None = None
    """Certificates (PEM) of the authorities whose clients are let in, by TLS; others are not."""
    networks: tuple[str, ...] = ()
    """Networks from which connections are let in, as ``10.0.0.0/8``; none means any."""

    @field_validator("networks")
    @classmethod
    def _of_addresses(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"{error}; write for example 10.0.0.0/8") from error
        return networks


class FlyteFile(Strict):
    """The ``[flyte]`` table: the door for Flyte's clients and propellers."""

    workspace: Named | None = None
    """Name or id of the workspace of projects that have none of their own; None means the caller's oldest."""
    workspaces: dict[str, Named] = Field(default_factory=dict)
    """``project/domain``, or a pattern with ``*`` -> name or id of its workspace."""
    data_url: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9+.-]*://[^\s?#]+$")
    """Where inputs, outputs and uploads are kept; None means the folder ``flyte`` in the home folder."""
    ttl_seconds: int = Field(default=0, ge=0, le=int(MAX_TTL.total_seconds()))
    """How long the cluster of a task stays after it, when the task does not say."""
    reuse_idle_seconds: int | None = Field(default=None, ge=MIN_LIFETIME, le=365 * DAY_SECONDS)
    """Tasks that want the same cluster share one, which stops when idle for so long; None means one for each task."""
    release: str | None = None
    """Name of the release for images that nothing stands for; None means ``flyte-1.3.1``, else the first with flytekit."""
    images: dict[Named, str] = Field(default_factory=dict)
    """Image, or a pattern with ``*`` -> name of the release that it stands for. They go before the built-in patterns."""
    env: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Annotated[str, Field(pattern=r"^[^\x00]*$")]
    ] = Field(default_factory=dict, repr=False)
    """Environment variables of all tasks, such as what opens the bucket of their data."""
    staging: bool = False
    """Tasks cannot reach the data that Flyte names: inputs and outputs go through ``data_url``."""
    cpu: str = "1"
    """Cores of a node for which a task asks none."""
    memory: str = Field(default="1Gi", pattern=r"^[0-9.]+(Mi|Gi|Ti)$")
    """Memory of a node for which a task asks none."""
    requirements: AbsolutePath | None = None
    """A requirements file, whose lines are added to the releases for Flyte."""
    max_upload_mib: int = Field(default=512, ge=1, le=100 << 10)
    """Size of one file that a client uploads. Ray takes no more than about 512 MiB of code."""
    connector: FlyteConnectorFile = FlyteConnectorFile()

    @field_validator("workspaces")
    @classmethod
    def _pairs(cls, rows: dict[str, str]) -> dict[str, str]:
        for key in rows:
            if "*" not in key and not re.fullmatch(r"[^/\s]+/[^/\s]+", key):
                raise ValueError(f"{key!r} must be project/domain, or a pattern with *")
        return rows

    @field_validator("data_url")
    @classmethod
    def _leads_somewhere(cls, url: str | None) -> str | None:
        if url is not None and url.startswith("file://") and not url.startswith("file:///"):
            raise ValueError("must be an absolute path: file:///srv/flyte")
        if url is not None and url.rstrip("/").endswith(":"):
            raise ValueError("must name a folder: file:///srv/flyte or s3://bucket/flyte")
        return url

    @field_validator("cpu")
    @classmethod
    def _cores(cls, text: str) -> str:
        if not parse_cores(text):
            raise ValueError("must be more than 0")
        return text

    @field_validator("memory")
    @classmethod
    def _amount(cls, text: str) -> str:
        parse_memory(text)
        return text


class StorageFile(Strict):
    """The ``[storage]`` table: where logs and uploaded code are kept."""

    url: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9+.-]*://")
    """A folder as ``file:///srv/heliostat``, or any URL that fsspec has a driver for, as ``s3://bucket/heliostat``; None
    means the folder ``storage`` in the home folder."""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Scheme -> what its fsspec driver is given, e.g. ``[storage.options.s3]`` with ``endpoint_url``. The same options
    serve for fetching the code of jobs."""


class JobsFile(Strict):
    """The ``[jobs]`` table."""

    code_folders: tuple[Path, ...] = ()
    """Folders below which jobs may name their code by ``file://``; none unless given."""
    kept_cluster_hours: float = Field(default=24, gt=0, le=24 * 365)
    """How long the temporary cluster of a job stays after its end at most, when it was asked to stay."""
    log_patience_seconds: int = Field(default=600, ge=0)
    """How long a cluster that is to go is kept for its logs while the storage does not take them."""

    @field_validator("code_folders")
    @classmethod
    def _absolute(cls, folders: tuple[Path, ...]) -> tuple[Path, ...]:
        if any(not folder.is_absolute() for folder in folders):
            raise ValueError("must be absolute paths")
        return folders


class RetentionFile(Strict):
    """The ``[retention]`` table: how long what has ended stays, in days; 0 = for ever."""

    log_days: int = Field(default=30, ge=0)
    job_days: int = Field(default=90, ge=0)
    event_days: int = Field(default=90, ge=0)
    operation_days: int = Field(default=30, ge=1)
    package_days: int = Field(default=30, ge=0)
    usage_days: int = Field(default=400, ge=0)


def requirements_in(key: str, path: Path) -> tuple[str, ...]:
    """What the requirements file holds that ``key`` names. Raises NotReady with file and line."""
    try:
        return read_requirements(path.read_text("utf-8-sig"))
    except BadLine as error:
        raise NotReady(f"configuration: {key}: {path}, line {error.line}: {error}") from error
    except OSError as error:
        raise NotReady(f"configuration: {key}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise NotReady(f"configuration: {key}: {path} is not UTF-8") from error
