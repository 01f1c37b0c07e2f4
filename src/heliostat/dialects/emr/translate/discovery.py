"""Workspaces, releases and networks as this dialect shows them (EMR contract, section 9).

Fields that mean nothing here (payment, storage, quotas bought ahead) are left out rather than invented.
"""

from __future__ import annotations

import platform

from heliostat.domain.ids import WorkspaceId
from heliostat.domain.records import NetworkService, Workspace
from heliostat.services import ReleaseView

from .clusters import Json, milliseconds

RUNNING = "RUNNING"


def workspace(record: Workspace, region: str) -> Json:
    """One of ``workspaces[]``."""
    shown: Json = {
        "workspaceId": record.id,
        "workspaceName": record.name,
        "workspaceStatus": RUNNING,
        "regionId": region,
        "paymentType": "PayAsYouGo",
        "autoRenew": False,
        "createTime": milliseconds(record.created_at),
        "tags": [{"tagKey": key, "tagValue": value} for key, value in record.tags.items()],
    }
    return shown


def workspace_detail(record: Workspace, region: str) -> Json:
    """``workspace`` of GetWorkspace."""
    shown = workspace(record, region)
    if record.creator is not None:
        shown["resourceOwnerId"] = record.creator
    return shown


def release(view: ReleaseView) -> Json:
    """One of ``releaseVersions[]``; OFFLINE when this machine cannot run it."""
    row = view.release
    return {
        "displayReleaseVersion": row.display,
        "releaseVersion": row.name,
        "communityVersion": f"Ray {row.ray}",
        "type": "stable" if row.stable else "Beta",
        "state": "ONLINE" if view.problem is None else "OFFLINE",
        "cpuArchitectures": [platform.machine()],
        "fusion": False,
        "isCustom": False,
    }


def network_service(row: NetworkService, workspace: WorkspaceId) -> Json:
    """One of ``networkServices[]``."""
    shown: Json = {
        "networkServiceId": row.id,
        "name": row.name,
        "type": "NetworkService",
        "state": "running",
        "workspaceId": workspace,
        "vswitchIds": list(row.vswitch_ids),
    }
    if row.vpc_id:
        shown["vpcId"] = row.vpc_id
    return shown
