"""Flyte: the model classes of its Ray plugin, the connector that flytepropeller calls, and a small Flyte of our own that
``pyflyte run --remote`` can speak to without a backend.

This file imports nothing, so that :mod:`.models` can be used without the server.
"""
