"""The way in to a running cluster by ``ray.init("ray://...")``, on the same ports as everything else.

Ray Client speaks gRPC, so its calls come through :mod:`heliostat.grpc_door`. Then:

1. :mod:`.decide`, pure, says for each call which cluster it is for and whether it may go there;
2. :mod:`.proxy` carries messages both ways without reading them, and decides nothing.

gRPC is imported by :mod:`.proxy` alone, and that by the first connection.
"""
