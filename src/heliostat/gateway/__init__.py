"""The authenticated way in to a running cluster's dashboard, Jobs API and ``ray://``.

Ray runs whatever reaches its dashboard port, so nothing reaches it but through here. Each request goes this way:

1. :mod:`.request` and :mod:`.canonical` read the address: which cluster, which path, in one spelling only;
2. :mod:`.credentials` finds the one token that the request shows;
3. :meth:`heliostat.services.AccessService.resolve` says what that token opens;
4. :func:`.decide.decide`, a pure function, answers by itself or allows the request with the head's address and token;
5. :mod:`.proxy` and :mod:`.websocket` carry bytes both ways and decide nothing.

``ray://`` is gRPC and comes through :mod:`heliostat.grpc_door`; the same parts for it are in :mod:`.ray_client`.

Heads run users' code, hence what they answer is not trusted either (:mod:`.headers`).
"""

from .proxy import Gateway, create_app
from .request import belongs_to_gateway
from .settings import GatewaySettings

__all__ = ["Gateway", "GatewaySettings", "belongs_to_gateway", "create_app"]
