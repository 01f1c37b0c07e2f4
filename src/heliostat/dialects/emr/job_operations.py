"""The operations on jobs and on the logs of jobs and clusters.

The log operations answer 200 with a ``code``; it is another than ``OK`` where the log store, and not the request, is what
stands in the way (EMR contract, section 6.4 and section 11, point 22).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from heliostat.domain.errors import NotFound, Unavailable
from heliostat.domain.ids import JobId
from heliostat.domain.jobs import LogFile
from heliostat.domain.records import Role
from heliostat.services import JobFilter, JobView, Links, Services

from .call import Call, Operation
from .errors import invalid, missing
from .translate import jobs
from .translate.clusters import Json
from .translate.fields import Fields, parse_object, to_integer
from .translate.listing import (
    DEFAULT_KEYS,
    LARGEST_KEYS,
    Object,
    Page,
    checked_path,
    checked_prefix,
    key_of,
    list_objects,
    root_of,
)
from .translate.submission import read_job

OK = "1000000"
NO_SUCH_FILE = "1040004"
STORE_FAILED = "1050000"
STORE_SECONDS = 5
"""How long the log store may take to show that it has a file; the SDK waits 10 s for the whole answer."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MILLISECOND = 253402300799999
"""The end of the year 9999; a later bound is as good as none."""
log = structlog.get_logger()


class JobOperations:
    def __init__(self, services: Services) -> None:
        self._services = services
        self.by_name = {
            "SubmitRayJob": Operation(self.submit_ray_job, Role.EDITOR),
            "ListRayJob": Operation(self.list_ray_job, Role.VIEWER),
            "GetRayJob": Operation(self.get_ray_job, Role.VIEWER),
            "CancelRayJob": Operation(self.cancel_ray_job, Role.EDITOR),
            "ListRayLogs": Operation(self.list_ray_logs, Role.EDITOR),
            "GetRayLog": Operation(self.get_ray_log, Role.EDITOR),
        }

    # --- jobs --------------------------------------------------------------------------------------------------------

    async def submit_ray_job(self, call: Call) -> Json:
        wish = read_job(call.request.body, self._services.installation)
        job = await self._services.jobs.submit(call.caller, call.workspace, wish)
        return {"submissionId": job.id}

    async def list_ray_job(self, call: Call) -> Json:
        size, offset = call.page()
        which = _filter(call)
        now = self._services.clock.now()
        total = await self._services.jobs.count(call.caller, call.workspace, which)
        if call.request.parameters.get("taskBizId"):  # tasks of the vendor's data development, which is not here
            return {"totalCount": 0, "rayJobs": []}
        views = await self._services.jobs.list(call.caller, call.workspace, which, limit=size, offset=offset)
        return {"totalCount": total, "rayJobs": [jobs.summary(view, self._links(call, view), now) for view in views]}

    async def get_ray_job(self, call: Call) -> Json:
        view = await self._services.jobs.get(call.caller, call.workspace, call.job)
        return jobs.detail(view, self._links(call, view), self._services.clock.now())

    async def cancel_ray_job(self, call: Call) -> Json:
        return {"success": await self._services.jobs.cancel(call.caller, call.workspace, call.job)}

    def _links(self, call: Call, view: JobView) -> Links | None:
        if view.cluster is None:
            return None
        return self._services.access.links(call.caller.principal, view.cluster, view.instance)

    # --- logs --------------------------------------------------------------------------------------------------------

    async def list_ray_logs(self, call: Call) -> Json:
        given, owner = call.request.parameters, call.ids["instanceId"]
        max_keys = to_integer(given.get("maxKeys", DEFAULT_KEYS), "maxKeys", 1, LARGEST_KEYS)
        prefix = checked_prefix(given.get("prefix", ""), root_of(call.workspace, owner))
        delimiter, marker = given.get("delimiter", ""), given.get("marker", "")
        after = key_of(marker, "marker")
        files = await self._files(call)
        objects = [Object(file.key, file.size, file.modified_at) for file in files]
        page: Page = list_objects(objects, prefix, delimiter, after, max_keys)
        data: Json = {
            "bucketName": jobs.LOG_BUCKET,
            "prefix": given.get("prefix") or prefix,
            "delimiter": delimiter,
            "marker": marker,
            "maxKeys": max_keys,
            "isTruncated": page.next_marker is not None,
            "objectList": [entry.shown() for entry in page.entries],
        }
        if page.next_marker is not None:
            data["nextMarker"] = page.next_marker
        return {"code": OK, "message": "ok", "data": data}

    async def get_ray_log(self, call: Call) -> Json:
        path = call.request.parameters.get("path")
        if not path:
            raise missing("path")
        key = checked_path(path, root_of(call.workspace, call.ids["instanceId"]))
        file = next((file for file in await self._files(call) if file.key == key), None)
        if file is None:
            return {"code": NO_SUCH_FILE, "message": f"there is no log file {key}"}
        if file.uncollected:
            return {"code": NO_SUCH_FILE, "message": f"there is no log file {key}: {file.note}"}
        try:
            there = await self._is_stored(file)
        except (Unavailable, TimeoutError) as error:
            # The access URL would lead to an error that no SDK explains.
            log.warning("log store failed", dialect="emr", action="GetRayLog", key=key, error=type(error).__name__)
            return {"code": STORE_FAILED, "message": f"the log store cannot be read now: {error or 'it is too slow'}"}
        if not there:
            return {"code": NO_SUCH_FILE, "message": f"the log file {key} is no longer in the log store"}
        ticket = await self._services.logs.ticket(call.caller, call.workspace, file.owner, file.name)
        url = f"{self._services.installation.gateway_url}/v1/log-tickets/{ticket}"
        return {"code": OK, "message": "ok", "data": {"accessUrl": url}}

    async def _files(self, call: Call) -> list[LogFile]:
        """The files of the job or cluster in the path. Raises NotFound for that, and for another bucket than its own."""
        files = await self._services.logs.files(call.caller, call.workspace, call.ids["instanceId"])
        bucket = call.request.parameters.get("bucketName")
        if bucket and bucket != jobs.LOG_BUCKET:
            raise NotFound("bucket", bucket, f"logs are in the bucket {jobs.LOG_BUCKET!r}")
        return files

    async def _is_stored(self, file: LogFile) -> bool:
        if file.size == 0:
            return True
        async with asyncio.timeout(STORE_SECONDS):
            return bool(await self._services.logs.read(file, 0, 1))


def _filter(call: Call) -> JobFilter:
    """Which jobs a query asks for; empty texts ask for nothing. Raises EmrError."""
    given = call.request.parameters
    since, until = _time_range(given.get("submitTime", ""))
    job = given.get("submissionId")
    return JobFilter(
        name=given.get("name") or None, id=JobId(job) if job else None, submitted_from=since, submitted_to=until
    )


def _time_range(text: str) -> tuple[datetime | None, datetime | None]:
    """``{"startTime": ms, "endTime": ms}`` as JSON text, either may be missing; the end is that millisecond's own."""
    if not text:
        return None, None
    fields = Fields(parse_object(text, "submitTime"), "submitTime")
    since, until = (fields.integer(key, 0) for key in ("startTime", "endTime"))
    if since is not None and until is not None and since > until:
        raise invalid("submitTime", "startTime must not be after endTime")
    return (
        None if since is None else _time(since),
        None if until is None else _time(until) + timedelta(microseconds=999),
    )


def _time(number: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=min(number, _LAST_MILLISECOND))
