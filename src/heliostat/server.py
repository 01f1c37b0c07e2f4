"""The only place where everything is put together: settings in, a running server out.

Order of a start: everything that can be refused is refused first (address in use, plain http beyond loopback, a broken
configuration file), then the store is opened and migrated, the engine looks for what an earlier run left, credentials are
made if this is the first start, and only then the port answers and the loop runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
import uvicorn
import uvloop

import heliostat.api
from heliostat import logs
from heliostat.config import ConfigFile, Settings
from heliostat.control.clock import SystemClock
from heliostat.control.job_reconciler import JobSettings
from heliostat.control.retention import RetentionSettings
from heliostat.control.work import Work, WorkSettings
from heliostat.dialects import emr
from heliostat.domain.errors import NotReady
from heliostat.domain.installation import Installation
from heliostat.engines.base import Engine
from heliostat.engines.local import LocalEngine, LocalSettings
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.first_start import keep_credentials_file, keep_to_one_database, keep_to_one_home, make_home, user_name
from heliostat.front import Front
from heliostat.gateway import Gateway, GatewaySettings
from heliostat.port import opening
from heliostat.ray_api import RayApi
from heliostat.ray_api.http import HttpRayApi
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.services import Services
from heliostat.services.seams import Clock
from heliostat.storage.fetch import FetchPolicy
from heliostat.storage.open import open_storage
from heliostat.store import Store, StoreSettings
from heliostat.version import VERSION

log = structlog.get_logger()
KEEP_ALIVE_SECONDS = 75
"""EMR's client does not retry when an idle connection is closed under its hands (EMR contract, section 2.2)."""
GRACEFUL_SECONDS = 3


@dataclass(frozen=True)
class Address:
    """Where the server answers and how users call that."""

    url: str
    domain: str
    scheme: str

    @classmethod
    def of(cls, settings: Settings, port: int) -> Address:
        scheme = "https" if settings.tls_cert else "http"
        everywhere = settings.host in ("0.0.0.0", "::")
        host = socket.getfqdn() if everywhere else f"[{settings.host}]" if ":" in settings.host else settings.host
        url = (settings.public_url or f"{scheme}://{host}:{port}").rstrip("/")
        return cls(url, settings.gateway_domain or f"localhost:{port}", url.partition(":")[0])


@dataclass(frozen=True)
class Server:
    """A server that is put together, without its port: serve ``app`` and run ``work``."""

    settings: Settings
    address: Address
    store: Store
    engine: Engine
    services: Services
    work: Work
    gateway: Gateway
    app: Front
    end_streams: Callable[[], None]
    """Ends the event streams of the API, which would hold up a stop."""

    @classmethod
    @contextlib.asynccontextmanager
    async def assemble(
        cls, settings: Settings, port: int, *, engine: Engine | None = None, clock: Clock | None = None
    ) -> AsyncIterator[Server]:
        """Open everything, and close it at the end. ``engine`` and ``clock`` replace the real ones in tests."""
        clock = clock or SystemClock()
        address = Address.of(settings, port)
        file = ConfigFile.load(settings)
        installation = file.installation(url=address.url, domain=address.domain, scheme=address.scheme)
        make_home(settings.home)
        async with contextlib.AsyncExitStack() as stack:
            store = await Store.open(StoreSettings(url=database_url(settings), master_key=settings.home / "master.key"))
            stack.push_async_callback(store.close)
            engine = engine or make_engine(settings, file, installation)
            await engine.open()
            stack.push_async_callback(engine.close)
            await keep_to_one_database(settings.home, store.name, engine)
            if isinstance(engine, LocalEngine):
                await keep_to_one_home(settings.home, store)
            storage = open_storage(file.storage.url, settings.home / "storage", file.storage.options)
            stack.push_async_callback(storage.close)
            ray = make_ray(engine)
            stack.push_async_callback(ray.close)
            scratch = settings.home / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            work = Work(store, engine, storage, ray, installation, clock, scratch, work_settings(settings, file))
            stack.push_async_callback(work.close)
            services = Services.build(
                store, installation, engine, clock, work.clusters.wake, work.tools, work.queues.wake
            )
            await keep_credentials_file(services, settings.home / "credentials.json", address.url, user_name())
            gateway_settings = GatewaySettings(domain=address.domain, secure=address.scheme == "https")
            gateway = Gateway(services.access, gateway_settings, work.traffic)
            stack.push_async_callback(gateway.aclose)
            api = heliostat.api.create_app(services, VERSION)
            app = Front(
                api=api,
                emr=emr.create_app(services, emr_settings(file)),
                gateway=gateway,
                domain=address.domain,
            )
            end_streams = partial(heliostat.api.end_streams, api)
            yield cls(settings, address, store, engine, services, work, gateway, app, end_streams)


def emr_settings(file: ConfigFile) -> emr.EmrSettings:
    """The EMR door's limits; 0 in the file means none."""
    return emr.EmrSettings(
        reads_per_second=file.emr.reads_per_second or None,
        writes_per_second=file.emr.writes_per_second or None,
        bearer_without_tls=file.emr.bearer_without_tls,
    )


def make_engine(settings: Settings, file: ConfigFile, installation: Installation) -> Engine:
    """The engine that the settings name."""
    if settings.engine == "simulated":
        return SimulatedEngine(World(clock=lambda: datetime.now(UTC)))
    plain, scaled = file.warm_sizes(settings, installation.catalogue)
    chosen = LocalSettings(
        state=settings.home / "local",
        catalogue=installation.catalogue,
        start_deadline=installation.start_deadline,
        python_downloads=file.engine.python_downloads,
        client_server=file.engine.client_server,
        warm=plain,
        warm_scaled=scaled,
        warm_workers=file.warm.workers,
        warm_group=file.warm.group,
        warm_memory_bytes=int(file.warm.memory_gib * (1 << 30)),
    )
    if file.engine.concurrent_starts is not None:
        chosen = LocalSettings(**{**vars(chosen), "concurrent_starts": file.engine.concurrent_starts})
    return LocalEngine(chosen)


def make_ray(engine: Engine) -> RayApi:
    """How the heads of an engine are spoken to."""
    return SimulatedRay(engine.world) if isinstance(engine, SimulatedEngine) else HttpRayApi()


def work_settings(settings: Settings, file: ConfigFile) -> WorkSettings:
    """What the file says of the work in the background."""
    jobs, keep = file.jobs, file.retention
    return WorkSettings(
        shared=settings.database_url is not None,
        job=JobSettings(
            kept_cluster_age=timedelta(hours=jobs.kept_cluster_hours),
            log_patience=timedelta(seconds=jobs.log_patience_seconds),
        ),
        fetch=FetchPolicy(allowed_folders=jobs.code_folders, options=file.storage.options),
        retention=RetentionSettings(
            jobs=_days(keep.job_days), logs=_days(keep.log_days), packages=_days(keep.package_days),
            events=_days(keep.event_days), usage=_days(keep.usage_days), operations=_days(keep.operation_days),
        ),
    )  # fmt: skip


def _days(number: int) -> timedelta | None:
    return timedelta(days=number) if number else None


def database_url(settings: Settings) -> str:
    return settings.database_url or f"sqlite:///{settings.home.absolute() / 'heliostat.db'}"


def bind(settings: Settings) -> socket.socket:
    """The socket, which answers nobody before everything else is ready.

    Raises NotReady when the address cannot be had, or would be open to other machines without TLS.
    """
    loopback = settings.host in ("::1", "localhost") or settings.host.startswith("127.")
    if not loopback and settings.tls_cert is None and not settings.insecure:
        raise NotReady(
            f"{settings.host} can be reached from other machines and there is no TLS: give --tls-cert and --tls-key, "
            "listen on 127.0.0.1, or say --insecure if something in front of it encrypts"
        )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # By the protocol's number asyncio knows that it is TCP and sends small pieces at once, not 40 ms later.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise NotReady(
            f"cannot listen on {settings.host}:{settings.port}: {os.strerror(error.errno or 0)}; "
            "another server may be running; choose another port with --port"
        ) from error
    listener.setblocking(False)
    return listener


def check_tls(settings: Settings) -> None:
    """Whether certificate and key can be used. Raises NotReady."""
    if settings.tls_cert is None:
        return
    if settings.tls_key is None:
        raise NotReady("--tls-cert needs --tls-key")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise NotReady(f"cannot use {settings.tls_cert} with {settings.tls_key}: {error}") from error


class _Web(uvicorn.Server):
    """uvicorn without its own signal handling, which says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    port: int
    tasks: frozenset[asyncio.Task[None]]
    """The web server and the control loop. When one of them ends by itself, the server is broken."""


@contextlib.asynccontextmanager
async def serve(
    settings: Settings,
    *,
    engine: Engine | None = None,
    clock: Clock | None = None,
    listener: socket.socket | None = None,
) -> AsyncIterator[Running]:
    """A whole server on its port, until the block ends; running clusters go on. Raises NotReady."""
    check_tls(settings)
    with contextlib.closing(listener or bind(settings)) as bound:
        port = int(bound.getsockname()[1])
        async with Server.assemble(settings, port, engine=engine, clock=clock) as server:
            web = _Web(
                uvicorn.Config(
                    server.app,
                    http=opening(server.gateway.ray_client),
                    ws="websockets-sansio",
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    proxy_headers=False,
                    timeout_keep_alive=KEEP_ALIVE_SECONDS,
                    timeout_graceful_shutdown=GRACEFUL_SECONDS,
                    ssl_certfile=settings.tls_cert,
                    ssl_keyfile=settings.tls_key,
                )
            )
            tasks = frozenset(
                (asyncio.create_task(web.serve([bound])), asyncio.create_task(server.work.run(), name="control loop"))
            )
            answering = asyncio.create_task(web.answering.wait())
            try:
                await _first({answering, *tasks})
                yield Running(server, port, tasks)
            finally:
                answering.cancel()
                server.end_streams()
                web.should_exit = True
                for task in tasks:
                    if task.get_name() == "control loop":
                        task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def run(settings: Settings, announce: Callable[[Running], None] = lambda running: None) -> None:
    """Serve until SIGINT or SIGTERM. ``announce`` is called when the server answers. Raises NotReady."""
    logs.configure(settings.log_level, settings.log_format)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with serve(settings) as running:
            announce(running)
            stopping = asyncio.create_task(stop.wait())
            await _first({stopping, *running.tasks})
            stopping.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def _first(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Wait for the first to end, and raise what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
