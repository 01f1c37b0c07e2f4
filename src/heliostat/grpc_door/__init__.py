"""The way in for everything that speaks gRPC, on the same ports as HTTP: Ray Client, and the dialects that have gRPC services.

gRPC is HTTP/2, which nobody else speaks here; the port's front hands such connections over by their first bytes, with TLS
and without. Then:

1. :mod:`.door` pipes the connection into one gRPC server on a private Unix socket, made when the first one comes;
2. :mod:`.server` asks its handlers (``grpc.GenericRpcHandler``) in their order who serves a method. Which handlers there are,
   and who may call what, is not decided here.

gRPC and the handlers' modules are imported by the first connection, so that a server which nobody uses this way does not
hold them in memory.

Ray's messages have any size, hence the server sets no limit to them. A handler that must not take much from strangers is a
stream of bytes and looks at the metadata before it reads its message.
"""

from .door import GrpcDoor, MakeHandlers
from .peers import Peer, PeerOf

__all__ = ["GrpcDoor", "MakeHandlers", "Peer", "PeerOf"]
