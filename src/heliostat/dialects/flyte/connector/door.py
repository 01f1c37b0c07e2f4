"""A listener of the connector's own, for propellers: they send no credentials (Flyte contract, section 4.3).

Whoever gets in by it acts as one principal, whose roles bound what can be done. So it says who gets in: on loopback everybody
there, else those with a certificate of a given authority, or those from given networks. Imports gRPC.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote

import grpc
import grpc.aio
import structlog

from heliostat.domain.errors import NotReady, Unauthenticated
from heliostat.domain.ids import PrincipalId
from heliostat.domain.records import Principal
from heliostat.grpc_door.server import OPTIONS, STOP_SECONDS, Nobody
from heliostat.services import Caller

from ..errors import PERMISSION_DENIED, FlyteError
from ..rpc import MESSAGE_LIMIT, Methods, RpcHandler
from ..settings import ConnectorSettings
from .services import PREFIXES

log = structlog.get_logger()
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
KeyPair = Callable[[], tuple[bytes, bytes]]
"""The server's private key and its certificates, PEM, as they are now; called from any thread. Raises NotReady, OSError."""


@dataclass(frozen=True)
class Guests:
    """From where connections are let in."""

    networks: tuple[Network, ...]
    """None = from everywhere."""

    @classmethod
    def of(cls, settings: ConnectorSettings) -> Guests:
        """Raises NotReady for a door that would be open to everybody, and for what is no network."""
        if not is_loopback(settings.host) and settings.client_ca is None and not settings.networks:
            raise NotReady(
                f"the connector's door on {settings.host} can be reached from other machines, and propellers send no "
                "credentials: give client_ca or networks in [flyte.connector], or listen on 127.0.0.1"
            )
        try:
            return cls(tuple(ipaddress.ip_network(text) for text in settings.networks))
        except ValueError as error:
            raise NotReady(f"[flyte.connector] networks: {error}; write 10.0.0.0/8") from error

    def admit(self, peer: str) -> bool:
        """Whether gRPC's name of a connection (``ipv4:10.0.0.1:5000``) is of one that is let in."""
        address = address_of(peer)
        return not self.networks or (address is not None and any(address in network for network in self.networks))


class PropellerDoor:
    """``await open()``, later ``await aclose()``."""

    def __init__(
        self,
        settings: ConnectorSettings,
        principal: PrincipalId,
        find: Callable[[PrincipalId], Awaitable[Principal | None]],
        load: Callable[[], Methods],
        key_pair: KeyPair | None = None,
    ) -> None:
        """``find`` tells the principal as it is now. Raises NotReady."""
        if settings.client_ca is not None and key_pair is None:
            raise NotReady(
                "[flyte.connector] client_ca needs a certificate of the server: give --tls-cert and --tls-key"
            )
        self._settings = settings
        self._guests = Guests.of(settings)
        self._principal = principal
        self._find = find
        self._load = load
        self._key_pair = key_pair
        self._server: grpc.aio.Server | None = None

    async def open(self) -> int:
        """Begin to listen; the port. Raises NotReady."""
        handler = RpcHandler(PREFIXES, self._load, self._authenticate, bounded=True)
        options = [(name, value) for name, value in OPTIONS if name != "grpc.max_receive_message_length"]
        # The message is read when the caller was let in; what is above this limit is refused as it arrives.
        options.append(("grpc.max_receive_message_length", MESSAGE_LIMIT + 1024))
        server = grpc.aio.server(handlers=(handler, Nobody()), options=options)
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        place = f"{host}:{self._settings.port}"
        try:
            if self._settings.client_ca is None:
                port = server.add_insecure_port(place)
            else:
                port = server.add_secure_port(place, self._credentials(self._settings.client_ca.read_bytes()))
        except (RuntimeError, OSError, ValueError) as error:
            raise NotReady(
                f"the connector's door cannot listen on {place}: {error}; choose another with listen in [flyte.connector]"
            ) from error
        await server.start()
        self._server = server
        log.info("door for propellers", host=self._settings.host, port=port, tls=self._settings.client_ca is not None)
        return int(port)

    async def aclose(self) -> None:
        if self._server is not None:
            await self._server.stop(STOP_SECONDS)
            self._server = None

    async def _authenticate(self, context: grpc.aio.ServicerContext) -> Caller:
        peer = context.peer()
        if not self._guests.admit(peer):
            raise FlyteError(
                PERMISSION_DENIED, "nobody is let in from this address; see [flyte.connector] networks of the server"
            )
        principal = await self._find(self._principal)
        if principal is None:
            raise Unauthenticated("the principal of this door does not exist any more; start the server again")
        return Caller(principal)

    def _credentials(self, client_ca: bytes) -> grpc.ServerCredentials:
        """With the certificate as it is at each connection, since it is renewed while the server runs."""

        def present() -> grpc.ServerCertificateConfiguration:
            assert self._key_pair is not None  # checked at the beginning
            return grpc.ssl_server_certificate_configuration([self._key_pair()], root_certificates=client_ca)

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            try:
                return present()
            except (NotReady, OSError) as error:
                log.warning("the door for propellers keeps its certificate", cause=str(error))
                return None

        return grpc.dynamic_ssl_server_credentials(present(), renewed, require_client_authentication=True)


def is_loopback(host: str) -> bool:
    return host in ("::1", "localhost") or host.startswith("127.")


def address_of(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address in gRPC's name of a connection."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    text = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
