"""What an operator can set: command line and ``HELIOSTAT_*`` variables for how the server runs, a TOML file for what it offers.

Every field says its unit and default. The file is ``config.toml`` in the home folder unless another is named; an unknown
key in it is an error that names it, since a misspelt setting that is ignored is worse than none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from heliostat.domain.engine import GpuType, Volume
from heliostat.domain.errors import NotReady
from heliostat.domain.installation import BUILT_IN_GPUS, Installation, gpu_catalogue
from heliostat.domain.quantities import MAX_CORES, MAX_MEMORY
from heliostat.domain.records import NetworkService
from heliostat.domain.releases import BUILT_IN, DEFAULT, Catalogue, Release


def default_home() -> Path:
    """The user's data folder for Heliostat."""
    return Path(platformdirs.user_data_dir("heliostat"))


class Settings(BaseSettings):
    """How one server runs."""

    model_config = SettingsConfigDict(env_prefix="HELIOSTAT_", extra="ignore")

    home: Path = Field(default_factory=default_home)
    """Folder of everything that the server keeps: database, keys, environments, running instances."""
    host: str = "127.0.0.1"
    port: int = Field(default=8600, ge=0, le=65535)
    """0 takes a free one."""
    database_url: str | None = None
    """SQLAlchemy URL; None means SQLite in the home folder."""
    config: Path | None = None
    """TOML file; None means ``config.toml`` in the home folder, if it is there."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    own_tls: bool = False
    """The main port speaks TLS with a certificate of the server's own authority."""
    tls_port: int | None = Field(default=None, ge=-1, le=65535)
    """Of a second listener, with TLS and a certificate of the server's own authority; 0 takes a free one, -1 means none.
    None means the port after the main one when that is plain and on loopback, else none."""
    public_url: str | None = Field(default=None, pattern=r"^https?://[^/?#]+/?$")
    """Where users reach the server, if not at host and port (behind a proxy)."""
    gateway_domain: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")
    """Domain (and port) below which clusters get host names; None means ``localhost`` with the port."""
    insecure: bool = False
    """Allow plain http on an address that is not loopback."""
    engine: Literal["local", "simulated"] = "local"
    warm: int | None = Field(default=None, ge=0)
    """How many clusters of the default release are kept ready; None means what the file says, 0 none of any release."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"

    @property
    def speaks_tls(self) -> bool:
        """Whether the main port does."""
        return self.own_tls or self.tls_cert is not None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Release(_Strict):
    name: str = Field(pattern=r"^(ray|err)-[0-9]+\.[0-9]+\.[0-9]+$")
    ray: str = Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")
    python: str = Field(pattern=r"^3\.[0-9]+$")
    stable: bool = True
    packages: tuple[str, ...] = ()


class _Gpu(_Strict):
    name: str = Field(min_length=1)
    accelerator: str
    count: int = Field(ge=1)


class _Volume(_Strict):
    id: str = Field(pattern=r"^vol-[a-z0-9]+$")
    path: Path

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError("must be an absolute path")
        return path


class _Network(_Strict):
    id: str
    name: str
    vpc_id: str = ""
    vswitch_ids: tuple[str, ...] = ()


class EngineFile(_Strict):
    """The ``[engine]`` table: the local engine's own settings."""

    python_downloads: bool = False
    concurrent_starts: int | None = Field(default=None, ge=1)
    start_deadline_seconds: int = Field(default=300, ge=10)
    client_server: bool = True
    """Whether heads run Ray's client server, which ``ray://`` needs; it takes 40 to 50 MB each."""


class WarmFile(_Strict):
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


class EmrFile(_Strict):
    """The ``[emr]`` table: the door for EMR's clients."""

    starts_clusters: bool = False
    """Whether CreateRayCluster also starts the cluster; the vendor's does not."""
    reads_per_second: float = Field(default=50, ge=0)
    """GET requests per key; 0 = no limit."""
    writes_per_second: float = Field(default=10, ge=0)
    """The same for POST and DELETE."""
    bearer_without_tls: bool = False
    """Accept bearer tokens over plain http from other machines too, e.g. behind a proxy elsewhere that ends TLS."""


class _Machine(_Strict):
    cpus: int = Field(ge=1, le=int(MAX_CORES))
    memory_gib: float = Field(gt=0, le=MAX_MEMORY >> 30)
    gpu: str | None = None
    """Name of a row of the GPU types, e.g. ``NVIDIA_L4-2`` or one of ``[[gpus]]``."""


class VertexFile(_Strict):
    """The ``[vertex]`` table: the door for Vertex AI's clients."""

    machines: dict[Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")], _Machine] = Field(
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


class StorageFile(_Strict):
    """The ``[storage]`` table: where logs and uploaded code are kept."""

    url: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9+.-]*://")
    """A folder as ``file:///srv/heliostat``, or any URL that fsspec has a driver for, as ``s3://bucket/heliostat``; None
    means the folder ``storage`` in the home folder."""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Scheme -> what its fsspec driver is given, e.g. ``[storage.options.s3]`` with ``endpoint_url``. The same options
    serve for fetching the code of jobs."""


class JobsFile(_Strict):
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


class RetentionFile(_Strict):
    """The ``[retention]`` table: how long what has ended stays, in days; 0 = for ever."""

    log_days: int = Field(default=30, ge=0)
    job_days: int = Field(default=90, ge=0)
    event_days: int = Field(default=90, ge=0)
    operation_days: int = Field(default=30, ge=1)
    package_days: int = Field(default=30, ge=0)
    usage_days: int = Field(default=400, ge=0)


class ConfigFile(_Strict):
    """The whole file."""

    region: str = "local"
    default_release: str | None = None
    releases: tuple[_Release, ...] | None = None
    """Replaces the built-in catalogue."""
    gpus: tuple[_Gpu, ...] | None = None
    volumes: tuple[_Volume, ...] = ()
    network_services: tuple[_Network, ...] | None = None
    emr: EmrFile = EmrFile()
    vertex: VertexFile = VertexFile()
    engine: EngineFile = EngineFile()
    warm: WarmFile = WarmFile()
    storage: StorageFile = StorageFile()
    jobs: JobsFile = JobsFile()
    retention: RetentionFile = RetentionFile()

    @field_validator("gpus", "volumes", "network_services")
    @classmethod
    def _named_once(cls, rows: tuple[_Gpu | _Volume | _Network, ...] | None) -> object:
        names = [row.name if isinstance(row, _Gpu) else row.id for row in rows or ()]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} is there twice")
        return rows

    @classmethod
    def load(cls, settings: Settings) -> ConfigFile:
        """The file of these settings, or the defaults. Raises NotReady naming the file and the key."""
        path = settings.config or settings.home / "config.toml"
        if settings.config is None and not path.exists():
            return cls()
        try:
            return cls.model_validate(tomllib.loads(path.read_text("utf-8")))
        except OSError as error:
            raise NotReady(f"cannot read the configuration {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise NotReady(f"{path} is not TOML: {error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            unknown = first["type"] == "extra_forbidden"
            raise NotReady(f"{path}: {where}: {'there is no such setting' if unknown else first['msg']}") from error

    def warm_sizes(self, settings: Settings, catalogue: Catalogue) -> tuple[dict[str, int], dict[str, int]]:
        """Release name -> how many clusters of it are kept ready, without autoscaling and with it.

        Raises NotReady for a release that there is not.
        """
        plain, scaled = (
            {_offered(catalogue, f"warm.{key}", name): size for name, size in getattr(self.warm, key).items()}
            for key in ("releases", "autoscaled")
        )
        if settings.warm == 0:
            return {}, {}
        if settings.warm is not None:
            plain[catalogue.default] = settings.warm
        return plain, scaled

    def installation(
        self,
        *,
        url: str,
        domain: str,
        scheme: str,
        tls_place: str | None = None,
        universe: str | None = None,
        ca_file: Path | None = None,
    ) -> Installation:
        """What the file offers, with the addresses that the server has. Raises NotReady."""
        rows = BUILT_IN if self.releases is None else tuple(Release(**row.model_dump()) for row in self.releases)
        try:
            catalogue = Catalogue.of(rows, self.default_release or (DEFAULT if self.releases is None else None))
        except ValueError as error:
            raise NotReady(f"configuration: {error}") from error
        gpus = BUILT_IN_GPUS if self.gpus is None else tuple(GpuType(**row.model_dump()) for row in self.gpus)
        known = gpu_catalogue(gpus)
        self._check_vertex(catalogue, known)
        networks = Installation().network_services
        if self.network_services is not None:
            networks = tuple(NetworkService(**row.model_dump()) for row in self.network_services)
        return Installation(
            catalogue=catalogue,
            gpus=known,
            volumes={row.id: Volume(row.id, str(row.path)) for row in self.volumes},
            network_services=networks,
            region=self.region,
            gateway_url=url,
            gateway_domain=domain,
            gateway_scheme=scheme,
            tls_place=tls_place,
            universe=universe,
            ca_file=ca_file,
            ray_client=self.engine.client_server,
            session_grace=timedelta(hours=self.vertex.session_hours),
            start_deadline=timedelta(seconds=self.engine.start_deadline_seconds),
            emr_starts_clusters=self.emr.starts_clusters,
        )

    def _check_vertex(self, catalogue: Catalogue, gpus: Mapping[str, GpuType]) -> None:
        for image, name in self.vertex.images.items():
            _offered(catalogue, f"vertex.images.{image}", name)
        for machine, row in self.vertex.machines.items():
            if row.gpu is not None and row.gpu not in gpus:
                raise NotReady(
                    f"configuration: vertex.machines.{machine}: there is no GPU type {row.gpu!r}; add it below [[gpus]]"
                )


def _offered(catalogue: Catalogue, key: str, name: str) -> str:
    release = catalogue.find(name)
    if release is None:
        raise NotReady(f"configuration: {key}: there is no release {name!r}")
    return release.name
