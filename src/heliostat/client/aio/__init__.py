"""The asynchronous client: the one that is written by hand; :mod:`heliostat.client.sync` is derived from it."""
