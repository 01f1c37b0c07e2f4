"""``client.jobs``: the calls on jobs by id or name.

Derived from ``aio/jobs.py`` by ``python -m heliostat.client.derive``: change that one.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Unpack

from .. import protocol
from ..decode import decode
from ..job_requests import SubmitFields, submission
from ..models import Event, Explanation, JobInfo, LogFile
from .job import Job
from .logs import coming_text_of, text_of

if TYPE_CHECKING:
    from .client import Client

_ID = re.compile(r"rj-[a-z0-9]{16}")
DRIVER = "driver"
"""The name that stands for the log of the entry point, whatever its file is called."""


class Jobs:
    """Jobs of the client's workspace. ``job`` is an id or a name (then: the newest of that name) everywhere.

    Any call may raise what :mod:`heliostat.client.errors` lists.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def submit(self, entrypoint: str, *, idempotency_key: str | None = None, **fields: Unpack[SubmitFields]) -> Job:
        """Hand over a job, which then runs whatever happens here; ``job.wait()`` waits for its end.

        It runs on the ``cluster`` named, or on one that is made for it by ``cluster_spec`` and removed afterwards. A
        ``working_dir`` of this machine is packed (without what git ignores) and uploaded, once per content. ``fields``
        are those of :class:`heliostat.client.job_requests.SubmitFields`.
        """
        key = idempotency_key or protocol.new_key()
        body, folder, excludes = self._client.work(submission, entrypoint, fields)
        if folder is not None:
            body["working_dir"] = self._client.packages.upload(folder, excludes=excludes)
        path = self._client.in_workspace("/jobs")
        return self._job(self._client.send(protocol.post(path, body, key=key)))

    def get(self, job: str) -> Job:
        return self._job(self._client.send(protocol.get(self._path(job))))

    def list(
        self,
        *,
        status: str | Sequence[str] | None = None,
        name: str | None = None,
        cluster: str | None = None,
        creator: str | None = None,
        limit: int | None = None,
    ) -> Generator[Job, None, None]:
        """Newest first, page by page; at most ``limit``. ``name`` is a part of the name.

        Code, addresses and what may hold secrets are left out; ``refresh()`` tells them.
        """
        path = self._client.in_workspace("/jobs")
        which = {"status": status, "name": name, "cluster": cluster, "creator": creator}
        left, token = limit, None
        while left is None or left > 0:
            size = 100 if left is None else min(left, 100)
            page = self._client.send(protocol.get(path, **which, limit=size, page_token=token))
            for row in page["jobs"]:
                yield self._job(row)
            left = None if left is None else left - len(page["jobs"])
            token = page.get("next_page_token")
            if not token:
                return

    def cancel(self, job: str) -> Job:
        """Set off its end; ``info.cancelled`` of the answer is False when it had ended already. Does not wait."""
        request = protocol.post(self._path(job, "/cancel"), repeatable=True)
        return self._job(self._client.send(request))

    def delete(self, job: str) -> None:
        """Forget a job that has ended, and its logs."""
        self._client.send(protocol.delete(self._path(job)))

    def why(self, job: str) -> Explanation:
        """Why it is in its status, with the evidence."""
        return decode(Explanation, self._client.send(protocol.get(self._path(job, "/why"))))

    def events(
        self, job: str, *, limit: int = 100, before: int | None = None, after: int | None = None
    ) -> Sequence[Event]:
        """Newest first; ``before`` continues behind that event's id. With ``after``: those since, oldest first."""
        path = self._path(job, "/events")
        answer = self._client.send(protocol.get(path, limit=limit, before=before, after=after))
        return [decode(Event, row) for row in answer["events"]]

    def follow_events(self, job: str, *, after: int | None = None) -> Generator[Event, None, None]:
        """Events as they happen, oldest first, until nothing more will: all of them, or those since ``after``.

        A broken connection is mended without losing or repeating any.
        """
        last = after
        connection = protocol.Reconnection()
        path = self._path(self._id(job), "/events")
        while True:
            try:
                with closing(self._client.stream(protocol.get(path, follow=True, after=last))) as rows:
                    for row in rows:
                        connection.good()
                        if row.kind in ("end", "gone"):
                            return
                        if row.kind == "event":
                            event = decode(Event, row.data)
                            last = event.id
                            yield event
            except protocol.NotFound:
                if connection.ever_good:
                    return
                raise
            except protocol.Unavailable as error:
                connection.bad(error)
            self._client.sleep(connection.pause)

    def watch(self, job: str, *, seconds: float | None = None) -> Generator[Job, None, None]:
        """The job now, and again whenever it changes, until nothing remains to be done for it, it is gone, or ``seconds``
        have passed."""
        path = self._path(self._id(job), "/watch")
        clock, connection = protocol.Deadline(seconds), protocol.Reconnection()
        while not clock.passed:
            try:
                with closing(self._client.stream(protocol.get(path, seconds=clock.stream_seconds))) as rows:
                    for row in rows:
                        connection.good()
                        if row.kind in ("end", "gone"):
                            return
                        if row.kind == "job":
                            yield self._job(row.data)
                        if clock.passed:
                            return
            except protocol.NotFound:
                if connection.ever_good:
                    return
                raise
            except protocol.Unavailable as error:
                connection.bad(error)
            self._client.sleep(clock.at_most(connection.pause))

    def logs(self, job: str) -> Sequence[LogFile]:
        """Its log files, as much of each as is stored by now; also long after the job's end."""
        answer = self._client.send(protocol.get(self._path(job, "/logs")))
        return [decode(LogFile, row) for row in answer["files"]]

    def read_log(
        self,
        job: str,
        name: str = DRIVER,
        *,
        attempt: int | None = None,
        offset: int = 0,
        tail: int | None = None,
        grep: str | None = None,
    ) -> Generator[str, None, None]:
        """The text of a log as it is now, piece by piece, so that its length does not matter.

        ``driver`` is the log of the entry point, of the last attempt or the given one. ``offset`` (bytes) and ``tail``
        (lines) choose a part; of that, ``grep`` chooses the lines that match a regular expression (RE2's).
        """
        path = self._path(self._id(job), f"/logs/{protocol.segments(name)}")
        reading = text_of(self._client, path, offset=offset, tail=tail, grep=grep, attempt=attempt)
        with closing(reading) as pieces:
            yield from pieces

    def follow_log(
        self,
        job: str,
        name: str = DRIVER,
        *,
        attempt: int | None = None,
        offset: int = 0,
        tail: int | None = None,
        grep: str | None = None,
    ) -> Generator[str, None, None]:
        """The same, and what is written from then on, until the job has ended and its log is complete.

        ``driver`` goes on with the attempts that come after the present one. A broken connection is mended without losing
        or repeating anything.
        """
        path = self._path(self._id(job), f"/logs/{protocol.segments(name)}")
        coming = coming_text_of(self._client, path, offset=offset, tail=tail, grep=grep, attempt=attempt)
        with closing(coming) as pieces:
            yield from pieces

    def _id(self, job: str) -> str:
        """The id of a job: what lasts must not go over to a newer one of the same name when it asks again."""
        return job if _ID.fullmatch(job) else (self.get(job)).id

    def _job(self, document: Mapping[str, Any]) -> Job:
        return Job(self._client, decode(JobInfo, document))

    def _path(self, job: str, rest: str = "") -> str:
        return self._client.in_workspace(f"/jobs/{protocol.segment(job)}{rest}")
