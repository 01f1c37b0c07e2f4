"""The native API, driven as an ASGI app over a real store, the real loop and the simulated engine."""
