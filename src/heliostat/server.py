"""The only place where everything is put together: settings in, a running server out.

Order of a start: everything that can be refused is refused first (address in use, plain http beyond loopback, a broken
configuration file), then the store is opened and migrated, the engine looks for what an earlier run left, credentials are
made if this is the first start, and only then the port answers and the loop runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
import uvicorn
import uvloop

import heliostat.api
from heliostat import logs
from heliostat.addresses import Address, is_loopback
from heliostat.config import ConfigFile, Settings
from heliostat.config_tables import FlyteConnectorFile, place
from heliostat.control.clock import SystemClock
from heliostat.control.job_reconciler import JobSettings
from heliostat.control.retention import RetentionSettings
from heliostat.control.work import Work, WorkSettings
from heliostat.dialects import emr
from heliostat.dialects.flyte.app import Flyte
from heliostat.dialects.flyte.settings import ConnectorSettings, FlyteSettings
from heliostat.dialects.vertex.app import Vertex
from heliostat.dialects.vertex.settings import VertexSettings
from heliostat.domain.errors import NotReady
from heliostat.domain.installation import Installation
from heliostat.engines.base import Engine
from heliostat.engines.local import LocalEngine, LocalSettings
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.first_start import keep_credentials_file, keep_to_one_database, keep_to_one_home, make_home, user_name
from heliostat.front import Front
from heliostat.gateway import Gateway, GatewaySettings
from heliostat.grpc_door import GrpcDoor, MakeHandlers, PeerOf
from heliostat.listeners import Web, bind, bind_tls, check_tls, key_pair, listeners
from heliostat.port import opening
from heliostat.ray_api import RayApi
from heliostat.ray_api.http import HttpRayApi
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.services import Services
from heliostat.services.seams import Clock
from heliostat.storage.fetch import FetchPolicy
from heliostat.storage.open import open_storage
from heliostat.store import Store, StoreSettings
from heliostat.tls import authority_file
from heliostat.version import VERSION

log = structlog.get_logger()
KEEP_ALIVE_SECONDS = 75
"""EMR's client does not retry when an idle connection is closed under its hands (EMR contract, section 2.2)."""
GRACEFUL_SECONDS = 3
OPEN_FILES = 16384


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
    door: GrpcDoor
    vertex: Vertex
    flyte: Flyte
    app: Front
    end_streams: Callable[[], None]
    """Ends the event streams of the API and answers held calls, which would hold up a stop."""

    @classmethod
    @contextlib.asynccontextmanager
    async def assemble(
        cls,
        settings: Settings,
        port: int,
        *,
        tls_port: int | None = None,
        engine: Engine | None = None,
        clock: Clock | None = None,
    ) -> AsyncIterator[Server]:
        """Open everything, and close it at the end. ``engine`` and ``clock`` replace the real ones in tests."""
        clock = clock or SystemClock()
        address = Address.of(settings, port, tls_port)
        file = ConfigFile.load(settings)
        installation = file.installation(
            url=address.url,
            domain=address.domain,
            scheme=address.scheme,
            tls_place=address.tls_place,
            universe=address.universe,
            ca_file=authority_file(settings.home) if address.own_tls_place else None,
        )
        for_flyte = flyte_settings(settings, file)
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
            await keep_credentials_file(
                services,
                settings.home / "credentials.json",
                address.url,
                user_name(),
                authority_file(settings.home) if address.own_authority else None,
            )
            gateway_settings = GatewaySettings(
                domain=address.domain, secure=address.scheme == "https", server_domains=address.domains
            )
            gateway = Gateway(services.access, gateway_settings, work.traffic)
            stack.push_async_callback(gateway.aclose)
            vertex = Vertex(services, vertex_settings(settings, file))
            flyte = Flyte(services, for_flyte, store.derived_key("flyte uploads"))
            for attendant in flyte.attendants:
                work.attend(attendant)
            door = GrpcDoor(grpc_handlers(gateway, vertex, flyte))
            stack.push_async_callback(door.aclose)
            api = heliostat.api.create_app(services, VERSION, [flyte.figures])
            app = Front(
                api=api,
                emr=emr.create_app(services, emr_settings(file)),
                vertex=vertex,
                flyte=flyte,
                gateway=gateway,
                domain=address.domain,
            )

            def end_streams() -> None:
                heliostat.api.end_streams(api)
                vertex.end_holds()

            yield cls(settings, address, store, engine, services, work, gateway, door, vertex, flyte, app, end_streams)


def grpc_handlers(gateway: Gateway, vertex: Vertex, flyte: Flyte) -> MakeHandlers:
    """Everything that is served by gRPC. A method goes to the first of them that knows it, so each knows only its own.

    What is inside runs at the first HTTP/2 connection: modules that import gRPC are imported there.
    """

    def make(peer_of: PeerOf) -> Sequence[Any]:  # grpc ships no types
        return [
            gateway.ray_client(peer_of),
            vertex.grpc_handler(),
            flyte.grpc_handler(),
        ]

    return make


def vertex_settings(settings: Settings, file: ConfigFile) -> VertexSettings:
    """The Vertex door's. Where other servers' loops may have the news, it looks for itself more often."""
    chosen = VertexSettings.of(**file.vertex.model_dump(exclude={"session_hours"}))
    return chosen if settings.database_url is None else replace(chosen, look_seconds=1.0)


def flyte_settings(settings: Settings, file: ConfigFile) -> FlyteSettings:
    """The Flyte door's. Raises NotReady naming the key that makes no sense with the others."""
    given = file.flyte
    release, images = file.flyte_releases(file.catalogue())
    chosen = FlyteSettings(
        data_url=data_url(settings, file),
        images=images,
        workspace=given.workspace,
        workspaces=given.workspaces,
        ttl=timedelta(seconds=given.ttl_seconds),
        reuse_idle=None if given.reuse_idle_seconds is None else timedelta(seconds=given.reuse_idle_seconds),
        cpu=given.cpu,
        memory=given.memory,
        env=given.env,
        staging=given.staging,
        max_upload_bytes=given.max_upload_mib << 20,
        connector=_propellers_door(given.connector),
        keep=_days(file.retention.job_days),
    )
    return chosen if release is None else replace(chosen, release=release)


def data_url(settings: Settings, file: ConfigFile) -> str:
    """Where dialects keep what tasks read and write."""
    return (file.flyte.data_url or f"file://{settings.home.absolute()}/flyte").rstrip("/")


def _propellers_door(given: FlyteConnectorFile) -> ConnectorSettings | None:
    if given.listen is None:
        return None
    host, port = place(given.listen)
    if not is_loopback(host) and given.client_ca is None and not given.networks:
        raise NotReady(
            f"configuration: flyte.connector.listen: {host} can be reached from other machines, and propellers show no "
            "credential: say who may come in by client_ca or networks below [flyte.connector], or listen on 127.0.0.1"
        )
    if given.client_ca is not None and not given.client_ca.is_file():
        raise NotReady(f"configuration: flyte.connector.client_ca: there is no file {given.client_ca}")
    return ConnectorSettings(host, port, given.principal, given.client_ca, given.networks)


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
        data_url=data_url(settings, file),
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


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    port: int
    tls_port: int | None
    """Of the second door, the one with TLS beside a plain one; None when there is none."""
    tasks: frozenset[asyncio.Task[None]]
    """The web server and the control loop. When one of them ends by itself, the server is broken."""
    propellers_port: int | None = None
    """Of Flyte's door for propellers; None when there is none."""


@contextlib.asynccontextmanager
async def serve(
    settings: Settings,
    *,
    engine: Engine | None = None,
    clock: Clock | None = None,
    listener: socket.socket | None = None,
) -> AsyncIterator[Running]:
    """A whole server on its ports, until the block ends; running clusters go on. Raises NotReady."""
    check_tls(settings)
    async with contextlib.AsyncExitStack() as stack:
        main = stack.enter_context(contextlib.closing(listener or bind(settings)))
        port = int(main.getsockname()[1])
        second = bind_tls(settings, port)
        if second is not None:
            stack.enter_context(contextlib.closing(second))
        tls_port = int(second.getsockname()[1]) if second is not None else None
        server = await stack.enter_async_context(
            Server.assemble(settings, port, tls_port=tls_port, engine=engine, clock=clock)
        )
        doors, own = listeners(settings, server.address, main, second)
        stack.push_async_callback(server.flyte.aclose)
        propellers_port = await server.flyte.open(key_pair(settings, server.address))
        web = Web(
            uvicorn.Config(
                server.app,
                http=opening(server.door),
                ws="websockets-sansio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACEFUL_SECONDS,
            ),
            doors,
        )
        tasks = frozenset(
            (asyncio.create_task(web.serve()), asyncio.create_task(server.work.run(), name="control loop"))
        )
        renewal = asyncio.create_task(own.keep_good(), name="certificate") if own is not None else None
        answering = asyncio.create_task(web.answering.wait())
        try:
            await _first({answering, *tasks})
            yield Running(server, port, tls_port, tasks, propellers_port)
        finally:
            answering.cancel()
            if renewal is not None:
                renewal.cancel()
            server.end_streams()
            await server.door.drain()
            web.should_exit = True
            for task in tasks:
                if task.get_name() == "control loop":
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def run(settings: Settings, announce: Callable[[Running], None] = lambda running: None) -> None:
    """Serve until SIGINT or SIGTERM. ``announce`` is called when the server answers. Raises NotReady."""
    logs.configure(settings.log_level, settings.log_format)
    allow_many_files()

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


def allow_many_files() -> None:
    """As many open files as this process may have: each connection by gRPC takes three, and shells allow 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _first(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Wait for the first to end, and raise what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
