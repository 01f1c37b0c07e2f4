"""What an operator can set: command line and ``HELIOSTAT_*`` variables for how the server runs, a TOML file for what it offers.

Every field says its unit and default. The file is ``config.toml`` in the home folder unless another is named; an unknown
key in it is an error that names it, since a misspelt setting that is ignored is worse than none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from heliostat.config_tables import (
    EmrFile,
    EngineFile,
    FlyteFile,
    GpuRow,
    JobsFile,
    NetworkRow,
    PlaceText,
    ReleaseRow,
    RetentionFile,
    StorageFile,
    Strict,
    VertexFile,
    VolumeRow,
    WarmFile,
    requirements_in,
)
from heliostat.domain.engine import GpuType, Volume
from heliostat.domain.errors import NotReady
from heliostat.domain.installation import BUILT_IN_GPUS, Installation, gpu_catalogue
from heliostat.domain.records import NetworkService
from heliostat.domain.releases import BUILT_IN, DEFAULT, FLYTE, Catalogue
from heliostat.domain.requirements import with_defaults


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
    flyte_listen: PlaceText | None = None
    """``[ADDRESS:]PORT`` of the door for Flyte's propellers; 0 takes a free port. None means what the file says."""
    flyte_requirements: Path | None = None
    """Requirements file of the releases for Flyte; None means what the file says."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"

    @property
    def speaks_tls(self) -> bool:
        """Whether the main port does."""
        return self.own_tls or self.tls_cert is not None


class ConfigFile(Strict):
    """The whole file."""

    region: str = "local"
    default_release: str | None = None
    releases: tuple[ReleaseRow, ...] | None = None
    """Replaces the built-in catalogue."""
    gpus: tuple[GpuRow, ...] | None = None
    volumes: tuple[VolumeRow, ...] = ()
    network_services: tuple[NetworkRow, ...] | None = None
    emr: EmrFile = EmrFile()
    vertex: VertexFile = VertexFile()
    flyte: FlyteFile = FlyteFile()
    engine: EngineFile = EngineFile()
    warm: WarmFile = WarmFile()
    storage: StorageFile = StorageFile()
    jobs: JobsFile = JobsFile()
    retention: RetentionFile = RetentionFile()

    @field_validator("gpus", "volumes", "network_services")
    @classmethod
    def _named_once(cls, rows: tuple[GpuRow | VolumeRow | NetworkRow, ...] | None) -> object:
        names = [row.name if isinstance(row, GpuRow) else row.id for row in rows or ()]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} is there twice")
        return rows

    @classmethod
    def load(cls, settings: Settings) -> ConfigFile:
        """The file of these settings, or the defaults; what the settings say, too, is theirs to say.

        Raises NotReady naming the file and the key.
        """
        file = cls._read(settings)
        flyte = file.flyte
        if settings.flyte_requirements is not None:
            flyte = flyte.model_copy(update={"requirements": settings.flyte_requirements})
        if settings.flyte_listen is not None:
            connector = flyte.connector.model_copy(update={"listen": settings.flyte_listen})
            flyte = flyte.model_copy(update={"connector": connector})
        return file.model_copy(update={"flyte": flyte})

    @classmethod
    def _read(cls, settings: Settings) -> ConfigFile:
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
            told = "there is no such setting" if unknown else first["msg"].removeprefix("Value error, ")
            raise NotReady(f"{path}: {where}: {told}") from error

    def warm_sizes(self, settings: Settings, catalogue: Catalogue) -> tuple[dict[str, int], dict[str, int]]:
        """Release name -> how many clusters of it are kept ready, without autoscaling and with it.

        Raises NotReady for a release that there is not.
        """
        plain, scaled = (
            {offered(catalogue, f"warm.{key}", name): size for name, size in getattr(self.warm, key).items()}
            for key in ("releases", "autoscaled")
        )
        if settings.warm == 0:
            return {}, {}
        if settings.warm is not None:
            plain[catalogue.default] = settings.warm
        return plain, scaled

    def catalogue(self) -> Catalogue:
        """The releases, with what is in the requirements files that the file names. Raises NotReady."""
        given = self.flyte.requirements
        extra = () if given is None else requirements_in("flyte.requirements", given)
        if self.releases is None:
            rows = tuple(
                replace(row, packages=with_defaults(extra, FLYTE)) if row.runs_flyte else row for row in BUILT_IN
            )
        else:
            rows = tuple(row.release(f"releases.{at}", extra) for at, row in enumerate(self.releases))
            if extra and not any(row.flyte for row in self.releases):
                raise NotReady(
                    f"configuration: flyte.requirements: {given} is for releases for Flyte, and [[releases]] has none; write "
                    "flyte = true into the rows that are"
                )
        try:
            return Catalogue.of(rows, self.default_release or (DEFAULT if self.releases is None else None))
        except ValueError as error:
            raise NotReady(f"configuration: {error}") from error

    def flyte_releases(self, catalogue: Catalogue) -> tuple[str | None, dict[str, str]]:
        """The release for images that nothing stands for, if any can run tasks of Flyte, and the file's image -> release.

        Raises NotReady for a release that there is not.
        """
        images = {image: offered(catalogue, f"flyte.images.{image}", name) for image, name in self.flyte.images.items()}
        if self.flyte.release is not None:
            return offered(catalogue, "flyte.release", self.flyte.release), images
        able = [row for row in catalogue.releases if row.runs_flyte]
        able.sort(key=lambda row: row.python != catalogue.default_release.python)
        return able[0].name if able else None, images

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
        catalogue = self.catalogue()
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
            offered(catalogue, f"vertex.images.{image}", name)
        for machine, row in self.vertex.machines.items():
            if row.gpu is not None and row.gpu not in gpus:
                raise NotReady(
                    f"configuration: vertex.machines.{machine}: there is no GPU type {row.gpu!r}; add it below [[gpus]]"
                )


def offered(catalogue: Catalogue, key: str, name: str) -> str:
    """The name of the release that ``key`` of the file names. Raises NotReady."""
    release = catalogue.find(name)
    if release is None:
        raise NotReady(f"configuration: {key}: there is no release {name!r}")
    return release.name
