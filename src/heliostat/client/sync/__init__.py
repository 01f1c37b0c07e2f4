"""The synchronous client.

Every module here but ``chosen`` is derived from its namesake in :mod:`heliostat.client.aio` by
``python -m heliostat.client.derive``; change that one and derive again. A test fails when they differ.
"""
