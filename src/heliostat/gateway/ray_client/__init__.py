"""The way in to a running cluster by ``ray.init("ray://...")``, on the same port as everything else.

Ray Client speaks gRPC, hence HTTP/2, which nobody else does here; the port's front hands such connections over by their
first bytes, with TLS and without. Then:

1. :mod:`.door` pipes the connection into a gRPC server on a private Unix socket, made when the first one comes;
2. :mod:`.decide`, pure, says for each call which cluster it is for and whether it may go there;
3. :mod:`.proxy` carries messages both ways without reading them, and decides nothing.

gRPC is imported by :mod:`.proxy` alone, and that by the first connection, so that a server which nobody uses this way
does not hold it in memory.
"""

from .door import RayClientDoor

__all__ = ["RayClientDoor"]
