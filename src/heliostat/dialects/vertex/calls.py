"""What the methods on persistent resources do, whichever way they are called: canonical JSON of a request in, of an answer out.

Both transports take a message apart, find out who asks, and call one method here. A method reads the request (names,
limits, masks), finds the workspace that the project is, translates, and uses the services; it knows neither HTTP nor gRPC.
Operations and projects have the same in :mod:`.operation_calls` and :mod:`.project_calls`.

Every name in an answer has the project's number and the request's location; a resource goes by one id, whether it was
asked for by its name or by its cluster's id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heliostat.domain.errors import AlreadyExists, Conflict, HeliostatError, InvalidRequest, NotFound
from heliostat.domain.ids import ClusterId
from heliostat.domain.operations import Operation
from heliostat.domain.records import Cluster, Workspace
from heliostat.domain.spec import ClusterSpec
from heliostat.services import Caller, ClusterView, Services, Track

from . import operation_calls
from .call import Call, Json
from .errors import ABORTED, ALREADY_EXISTS, FAILED_PRECONDITION, VertexError, invalid, not_found
from .holding import Holds, Looker, is_held, wants_hold
from .names import Parent, ResourceName, check_new_resource_id, parse_parent, parse_resource
from .paging import next_token, read_page
from .translate.context import Context
from .translate.operations import write_operation
from .translate.paths import vertex_path
from .translate.resource import read_resource, resource_id, write_resource
from .translate.update import read_mask, read_update


@dataclass(frozen=True)
class _Found:
    """A resource that is there."""

    workspace: Workspace
    cluster: ClusterId
    parent: Parent
    """With the project's number, as in answers."""
    asked: str
    """The name that was asked for, likewise."""

    def gone(self) -> VertexError:
        return not_found("PersistentResource", self.asked)


class Calls:
    """The methods of one server. All raise HeliostatError or, for a malformed name, InvalidName."""

    def __init__(self, services: Services, context: Context, holds: Holds) -> None:
        self._services = services
        self._context = context
        self._holds = holds

    async def create(self, call: Call, request: Json) -> Json:
        """The operation of a new resource, which is there from now on."""
        parent = parse_parent(request.get("parent", ""))
        workspace = await self._services.directory.project(call.caller, parent.project)
        id: str = request.get("persistentResourceId", "")
        check_new_resource_id(id)
        if "persistentResource" not in request:
            raise invalid("persistentResource", "is required")
        spec = read_resource(id, request["persistentResource"], self._context)
        track = _track(call, parent, id)
        try:
            await self._services.clusters.create(call.caller, workspace.id, spec, start=True, track=track)
        except AlreadyExists as error:
            name = ResourceName(str(workspace.number), parent.location, id)
            raise VertexError(ALREADY_EXISTS, f'The PersistentResource "{name}" exists already.') from error
        except InvalidRequest as error:
            raise _renamed(error, spec) from error
        return await self._operation(call, workspace, track)

    async def get(self, call: Call, request: Json) -> Json:
        """The resource; to readers that wait for it, when it is ready (see :mod:`.holding`)."""
        found = await self._find(call, request.get("name", ""))
        try:
            shown = await self._show(call.caller, found)
        except NotFound as error:
            raise found.gone() from error
        if not is_held(shown) or not wants_hold(call.client):
            return shown
        looker = Looker(call, lambda caller: self._show(caller, found), shown, _stopped)
        return await self._holds.hold(found.cluster, shown, looker.look, is_held, call.seconds, call.beat)

    async def list(self, call: Call, request: Json) -> Json:
        """A page of the project's resources, newest first."""
        parent = parse_parent(request.get("parent", ""))
        workspace = await self._services.directory.project(call.caller, parent.project)
        page = read_page(request, f"{workspace.id}/persistentResources")
        before = None if page.after is None else ClusterId(page.after)
        try:
            rows = await self._services.clusters.list(call.caller, workspace.id, limit=page.size + 1, before=before)
        except InvalidRequest as error:
            raise invalid("pageToken", "continues after a resource that is gone; begin again") from error
        shown = rows[: page.size]
        if not shown:
            return {}
        open = await self._services.operations.open_of(call.caller, workspace.id, [row.cluster.id for row in shown])
        place = Parent(str(workspace.number), parent.location)
        answer: Json = {"persistentResources": [self._write(row, open.get(row.cluster.id), place) for row in shown]}
        if len(rows) > page.size:
            answer["nextPageToken"] = next_token(page, shown[-1].cluster.id)
        return answer

    async def update(self, call: Call, request: Json) -> Json:
        """The operation of a change of what the mask names."""
        body: Json = request.get("persistentResource", {})
        found = await self._find(call, body.get("name", ""), "persistentResource.name")
        change = _Change(read_update(body, read_mask(request.get("updateMask", "")), self._context))
        before = await self._running(call, found, "updated")
        track = _track(call, found.parent, resource_id(before))
        try:
            await self._services.clusters.update(call.caller, found.workspace.id, found.cluster, change, track=track)
        except Conflict as error:
            raise await self._refused(call, found, error) from error
        except NotFound as error:
            raise found.gone() from error
        except InvalidRequest as error:
            if error is change.raised:
                raise
            raise _renamed(error, change.made or before.spec) from error
        return await self._operation(call, found.workspace, track)

    async def reboot(self, call: Call, request: Json) -> Json:
        """The operation of a new start of the whole resource."""
        found = await self._find(call, request.get("name", ""))
        before = await self._running(call, found, "rebooted")
        track = _track(call, found.parent, resource_id(before))
        try:
            await self._services.clusters.restart(call.caller, found.workspace.id, found.cluster, track=track)
        except Conflict as error:
            raise await self._refused(call, found, error) from error
        except NotFound as error:
            raise found.gone() from error
        except InvalidRequest as error:
            raise _renamed(error, before.spec) from error
        return await self._operation(call, found.workspace, track)

    async def delete(self, call: Call, request: Json) -> Json:
        """The operation of the resource's removal."""
        found = await self._find(call, request.get("name", ""))
        try:
            view, open = await self._look(call.caller, found)
            if self._write(view, open, found.parent).get("state") == "STOPPING":
                raise VertexError(FAILED_PRECONDITION, f'The PersistentResource "{found.asked}" is being stopped.')
            track = _track(call, found.parent, resource_id(view.cluster))
            await self._services.clusters.delete(
                call.caller, found.workspace.id, found.cluster, stop_first=True, track=track
            )
        except NotFound as error:
            raise found.gone() from error
        return await self._operation(call, found.workspace, track)

    async def _find(self, call: Call, text: str, path: str = "name") -> _Found:
        """The resource of this name."""
        name = parse_resource(text, path)
        workspace = await self._services.directory.project(call.caller, name.project)
        parent = Parent(str(workspace.number), name.location)
        asked = str(ResourceName(parent.project, parent.location, name.resource))
        try:
            cluster = await self._services.clusters.resolve(call.caller, workspace.id, name.resource)
        except NotFound as error:
            raise not_found("PersistentResource", asked) from error
        return _Found(workspace, cluster, parent, asked)

    async def _look(self, caller: Caller, found: _Found) -> tuple[ClusterView, Operation | None]:
        """What there is of the resource. Raises NotFound."""
        view = await self._services.clusters.get(caller, found.workspace.id, found.cluster)
        open: Mapping[ClusterId, Operation] = await self._services.operations.open_of(
            caller, found.workspace.id, [found.cluster]
        )
        return view, open.get(found.cluster)

    async def _show(self, caller: Caller, found: _Found) -> Json:
        return self._write(*await self._look(caller, found), found.parent)

    def _write(self, view: ClusterView, open: Operation | None, parent: Parent) -> Json:
        name = ResourceName(parent.project, parent.location, resource_id(view.cluster))
        return write_resource(view, str(name), open, self._context)

    async def _operation(self, call: Call, workspace: Workspace, track: Track) -> Json:
        view = await self._services.operations.get(call.caller, workspace.id, track.id)
        return write_operation(view, workspace.number, self._context)

    async def _running(self, call: Call, found: _Found, done: str) -> Cluster:
        """The cluster, if the resource is RUNNING as shown. Raises VertexError."""
        try:
            view, open = await self._look(call.caller, found)
        except NotFound as error:
            raise found.gone() from error
        state = self._write(view, open, found.parent).get("state")
        if state != "RUNNING":
            sentence = f'The PersistentResource "{found.asked}" is {state}; it can be {done} only while it is RUNNING.'
            raise VertexError(FAILED_PRECONDITION, sentence)
        return view.cluster

    async def _refused(self, call: Call, found: _Found, error: Conflict) -> VertexError:
        """Why a resource that was RUNNING cannot be changed: others have changed it meanwhile, or it is about the change."""
        try:
            await self._running(call, found, "changed")
        except VertexError:
            sentence = f'The PersistentResource "{found.asked}" was changed by another call at the same time.'
            return VertexError(ABORTED, sentence)
        return VertexError(FAILED_PRECONDITION, str(error))


class _Change:
    """A change of a spec that remembers what came of it, since the use case around it has complaints of its own."""

    def __init__(self, change: Callable[[ClusterSpec], ClusterSpec]) -> None:
        self._change = change
        self.made: ClusterSpec | None = None
        self.raised: Exception | None = None

    def __call__(self, spec: ClusterSpec) -> ClusterSpec:
        try:
            self.made = self._change(spec)
        except HeliostatError as error:
            self.raised = error
            raise
        return self.made


def _stopped(resource: Json) -> Json:
    """A resource that is gone, as its held readers saw it last: it was being stopped, and they shall not wait on."""
    return {**resource, "state": "STOPPING"}


def _track(call: Call, parent: Parent, resource: str) -> Track:
    return Track(operation_calls.label(call.version, parent.location, resource))


def _renamed(error: InvalidRequest, spec: ClusterSpec) -> VertexError:
    """A use case's complaint about a field, in the vendor's names."""
    return invalid(vertex_path(error.path, spec) if error.path else "persistentResource", error.message)
