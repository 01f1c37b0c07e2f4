"""All use cases of one server, as every door is handed them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from heliostat.domain.installation import Installation
from heliostat.storage import Storage
from heliostat.storage.blobs import Blobs
from heliostat.store import Store

from .access import AccessService
from .clusters import ClusterService
from .data import DataService
from .directory import DirectoryService
from .documents import DocumentService, WakeDocument
from .google_identity import GoogleIdentity
from .identity import IdentityService
from .jobs import JobService
from .logs import LogService
from .monitoring import MonitoringService
from .news import News
from .operations import OperationService
from .packages import PackageService
from .queues import QueueService
from .seams import Capabilities, Clock, CodeSources, Wake, WakeJob, WakeQueues
from .secrets import SecretService
from .usage import UsageService


@dataclass(frozen=True)
class JobTools:
    """What jobs need beside the store and the engine's word."""

    storage: Storage
    """Of logs and packages."""
    sources: CodeSources
    wake: WakeJob
    scratch: Path
    """A folder for files on their way."""
    news: News = field(default_factory=News)
    max_package_bytes: int = 100 << 20
    wake_document: WakeDocument = lambda ref: None
    blobs: Blobs = field(default_factory=lambda: Blobs({}))
    data_url: str = ""
    """Root of what tasks share with the server; empty = a folder in ``scratch``."""


@dataclass(frozen=True)
class Services:
    clusters: ClusterService
    jobs: JobService
    logs: LogService
    packages: PackageService
    secrets: SecretService
    directory: DirectoryService
    queues: QueueService
    usage: UsageService
    operations: OperationService
    documents: DocumentService
    data: DataService
    monitoring: MonitoringService
    identity: IdentityService
    google: GoogleIdentity
    access: AccessService
    installation: Installation
    clock: Clock

    @classmethod
    def build(
        cls,
        store: Store,
        installation: Installation,
        capabilities: Capabilities,
        clock: Clock,
        wake: Wake,
        tools: JobTools,
        wake_queues: WakeQueues = lambda workspace: None,
    ) -> Services:
        identity = IdentityService(store, clock)
        directory = DirectoryService(store, installation, capabilities, clock)
        google = GoogleIdentity(store, identity, directory, installation, clock)
        return cls(
            clusters=ClusterService(store, installation, capabilities, clock, wake),
            jobs=JobService(store, installation, capabilities, tools.sources, clock, tools.wake),
            logs=LogService(store, tools.storage, tools.news, clock),
            packages=PackageService(store, tools.storage, clock, tools.scratch, tools.max_package_bytes),
            secrets=SecretService(store, clock),
            directory=directory,
            queues=QueueService(store, clock, wake_queues),
            usage=UsageService(store, clock),
            operations=OperationService(store, clock, wake, tools.news),
            documents=DocumentService(store, clock, tools.wake_document),
            data=DataService(tools.blobs, tools.data_url or f"file://{tools.scratch.absolute()}/data", tools.scratch),
            monitoring=MonitoringService(store),
            identity=identity,
            google=google,
            access=AccessService(store, identity, google, installation, clock),
            installation=installation,
            clock=clock,
        )
