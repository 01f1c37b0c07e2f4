"""Who is asking, and whether that one may."""

from __future__ import annotations

from dataclasses import dataclass, field

from heliostat.domain.errors import Forbidden, NotFound
from heliostat.domain.ids import RequestId, WorkspaceId, new_request_id
from heliostat.domain.records import Principal, Role, Workspace
from heliostat.store import Transaction


@dataclass(frozen=True)
class Caller:
    """An authenticated principal with the id of the request at hand."""

    principal: Principal
    request: RequestId = field(default_factory=new_request_id)

    def may(self, workspace: WorkspaceId, role: Role) -> bool:
        own = self.principal.role_in(workspace)
        return own is not None and own.includes(role)


def authorise(tx: Transaction, caller: Caller, workspace: WorkspaceId, role: Role, action: str) -> Workspace:
    """The workspace, if the caller may do ``action`` there.

    A workspace in which the caller has no role at all is :class:`NotFound`, as if it did not exist; a role too small is
    :class:`Forbidden`.
    """
    found = tx.workspaces.get(workspace)
    if found is None or not caller.may(workspace, Role.VIEWER):
        raise NotFound("workspace", workspace)
    if not caller.may(workspace, role):
        raise Forbidden(action, caller.principal.name, role)
    return found
