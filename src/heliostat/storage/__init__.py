"""Durable storage for what is too large for the database and outlives clusters: logs and uploaded code.

A folder by default, or any place that fsspec has a driver for (``s3://bucket/heliostat``). What exists, and how much of
it, is known to the database (:mod:`heliostat.store.log_files`, :mod:`~heliostat.store.packages`); here are the bytes.
"""

from .base import Storage

__all__ = ["Storage"]
