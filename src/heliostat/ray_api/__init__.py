"""Ray's own HTTP API on a head, as the control loop uses it: jobs, packages, what tasks and actors did, what goes on.

Every engine's instances answer it, so it is no part of an engine: :mod:`http` speaks to real heads, :mod:`simulated` to
those of the simulated engine's world, and both pass one conformance suite; :mod:`patience` is between
them and the loop. Users reach the same API through the gateway; nothing here is on their way.
"""

from .base import Head, RayApi, RayRefused

__all__ = ["Head", "RayApi", "RayRefused"]
