"""Identifiers: their types, shapes and how new ones are made.

A cluster has one id in all dialects. The shapes follow the strictest dialect (EMR contract, section 8), so that no
dialect needs a mapping table: workspaces ``w-`` + 16 hex, clusters ``ray-`` + 16 lower-case letters and digits, an
instance the cluster's id + ``-`` + 8 of the same, jobs ``rj-`` + 16 of them.
"""

from __future__ import annotations

import secrets
import string
import uuid
from typing import NewType

WorkspaceId = NewType("WorkspaceId", str)
ClusterId = NewType("ClusterId", str)
InstanceId = NewType("InstanceId", str)
NodeId = NewType("NodeId", str)
PrincipalId = NewType("PrincipalId", str)
RequestId = NewType("RequestId", str)
JobId = NewType("JobId", str)
OperationId = NewType("OperationId", str)

_ALPHABET = string.ascii_lowercase + string.digits


def random_text(length: int) -> str:
    """Unpredictable lower-case letters and digits, about 5.2 bits each."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def new_workspace_id() -> WorkspaceId:
    return WorkspaceId("w-" + secrets.token_hex(8))


def new_cluster_id() -> ClusterId:
    return ClusterId("ray-" + random_text(16))


def new_instance_id(cluster: ClusterId) -> InstanceId:
    return InstanceId(f"{cluster}-{random_text(8)}")


def new_job_id() -> JobId:
    return JobId("rj-" + random_text(16))


def new_operation_id() -> OperationId:
    """16 digits: a dialect's clients take it for a number."""
    return OperationId(str(secrets.randbelow(9 * 10**15) + 10**15))


def new_workspace_number() -> int:
    """12 digits, as the numbers of projects have."""
    return secrets.randbelow(9 * 10**11) + 10**11


def new_principal_id() -> PrincipalId:
    """Digits as text, as EMR's user ids are."""
    return PrincipalId(str(secrets.randbelow(9 * 10**15) + 10**15))


def new_request_id() -> RequestId:
    """Upper-case UUID form (EMR contract, section 4.3)."""
    return RequestId(str(uuid.uuid4()).upper())


def cluster_of(instance: InstanceId) -> ClusterId:
    """The cluster that an instance is a run of."""
    return ClusterId(instance.rpartition("-")[0])
