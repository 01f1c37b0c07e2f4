"""The Ray part of Alibaba Cloud EMR Serverless Spark, API version 2023-08-08.

The vendor's SDK (``alibabacloud_emr_serverless_spark20230808``) works against it when its ``endpoint`` points here. What
the vendor left open is decided as in the EMR contract. Operations that are not offered answer 404 ``InvalidAction.NotFound``.

``app`` receives requests and keeps the order of checks, ``routes`` finds the operation, ``signature`` and
``authenticate`` find out who asks, ``operations`` calls the use cases, ``translate`` is pure,
``errors`` is the one table from our errors to the vendor's codes.
"""

from .app import create_app
from .settings import EmrSettings

__all__ = ["EmrSettings", "create_app"]
