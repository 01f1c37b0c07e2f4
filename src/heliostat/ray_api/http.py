"""Ray's HTTP API on real heads (Ray contract, sections 3, 5 and 8).

Ray answers most failures with status 500 and a traceback, whoever is to blame. So a failed submission is followed by a
look whether the job is there, and the text decides whether a repetition can help. Heads come and go: whatever is no
clear answer of Ray's is Unavailable, and the caller comes again.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from heliostat.domain.activity import RayActivity
from heliostat.domain.errors import Unavailable
from heliostat.domain.ray_jobs import (
    NameCount,
    RaySighting,
    RayStatus,
    RaySubmission,
    WorkSummary,
    failure_cause,
)

from .activity import Unclear, look
from .base import PACKAGE_LIMIT, SUMMARY_NAMES, Head, RayRefused, too_large
from .words import masked, refusal, sentence, without_echo

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
"""For what Ray answers out of its memory."""
ACTION_SECONDS = 60.0
"""For what the head's agent must do: it connects to its own cluster at the first request, and is waited for 10 s."""
PACKAGE_SECONDS = 300.0
LOOK_SECONDS = 15.0
"""For all the questions of one look at what goes on."""
CONNECTIONS_PER_HEAD = 16
"""A head that hangs holds up nobody but those who ask it."""
LARGEST_ANSWER = 32 << 20
"""Bytes. The names of 10,000 tasks, which is what Ray summarises at most, fit into it."""
LONGEST_NAME = 200
"""Characters of the name of a task or an actor."""
REFUSED = (400, 413, 422)
NO_SELECTOR = {"heliostat.dev/wake": "in("}
"""A label selector that no release can parse, so that nothing is ever begun with it."""


@dataclass(frozen=True)
class _Answer:
    status: int
    text: str

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


class HttpRayApi:
    """The RayApi protocol for heads that are reached over HTTP."""

    def __init__(self, *, answer_seconds: float = ANSWER_SECONDS, action_seconds: float = ACTION_SECONDS) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._answer_seconds = answer_seconds
        self._action_seconds = action_seconds

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    # --- jobs ----------------------------------------------------------------------------------------------------------

    async def submit(self, head: Head, submission: RaySubmission) -> None:
        answer = await self._act(head, "POST", "/api/jobs/", json=_body(submission))
        if answer.good:
            return
        if await self._job(head, submission.submission_id) is not None:
            return
        if answer.status in REFUSED or "Request failed with status code 400" in answer.text:
            raise RayRefused(refusal(masked(answer.text, submission.runtime_env)))
        raise _unclear(head, answer, "a submission")

    async def sighting(self, head: Head, submission_id: str) -> RaySighting | None:
        job = await self._job(head, submission_id)
        return None if job is None else _sighting(head, job)

    async def stop(self, head: Head, submission_id: str) -> None:
        answer = await self._act(head, "POST", f"/api/jobs/{quote(submission_id, safe='')}/stop")
        if not answer.good and answer.status != 404:
            raise _unclear(head, answer, "a stop")

    async def wake(self, head: Head, submission_id: str) -> None:
        """The head's agent makes its job manager at the first request that it has to answer, and a submission waits until
        the manager has taken up the jobs that it found. A second submission of a job that the head knows has that effect
        and no other; the label selector sees to it that it is refused even if the job vanishes in between. Releases that
        have no label selectors refuse it for that, and keep nothing over the death of a head that could be taken up.
        """
        if await self._job(head, submission_id) is None:
            return
        body = {"entrypoint": "true", "submission_id": submission_id, "entrypoint_label_selector": NO_SELECTOR}
        answer = await self._act(head, "POST", "/api/jobs/", json=body)
        if (
            not answer.good
            and answer.status not in REFUSED
            and "Request failed with status code 400" not in answer.text
        ):
            raise _unclear(head, answer, "a call to look after its jobs")

    async def _job(self, head: Head, submission_id: str) -> dict[str, Any] | None:
        answer = await self._ask(head, f"/api/jobs/{quote(submission_id, safe='')}")
        return None if answer.status == 404 else _document(head, answer, "a question for a job")

    # --- packages ------------------------------------------------------------------------------------------------------

    async def has_package(self, head: Head, name: str) -> bool:
        answer = await self._ask(head, f"/api/packages/gcs/{quote(name, safe='')}")
        if not answer.good and answer.status != 404:
            raise _unclear(head, answer, "a question for a package")
        return answer.good

    async def put_package(self, head: Head, name: str, path: Path) -> None:
        with await asyncio.to_thread(path.open, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > PACKAGE_LIMIT:
                raise too_large(size)
            where = f"/api/packages/gcs/{quote(name, safe='')}"
            answer = await self._call(head, "PUT", where, max(PACKAGE_SECONDS, self._action_seconds), data=file)
        if answer.status == 413:
            raise too_large(size)
        if not answer.good:
            raise _unclear(head, answer, "a package")

    # --- what was done -------------------------------------------------------------------------------------------------

    async def summary(self, head: Head, ray_job_id: str) -> WorkSummary:
        if not ray_job_id:
            return WorkSummary()
        tasks, some_tasks = await self._counted(head, "tasks", ray_job_id)
        actors, some_actors = await self._counted(head, "actors", ray_job_id)
        return WorkSummary(tasks, actors, truncated=some_tasks or some_actors)

    async def activity(self, head: Head) -> RayActivity:
        async def ask(path: str) -> dict[str, Any] | None:
            answer = await self._ask(head, path)
            return None if answer.status in (404, 501) else _document(head, answer, "a question for what goes on")

        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await look(ask)
        except TimeoutError as error:
            raise Unavailable(f"the head {head.address} did not say within {LOOK_SECONDS:g} s what goes on") from error
        except Unclear as error:
            raise Unavailable(f"the head {head.address} does not say clearly {error}") from error

    async def _counted(self, head: Head, kind: str, ray_job_id: str) -> tuple[tuple[NameCount, ...], bool]:
        """The names with the most tasks or actors, and whether there were more than these."""
        asked = f"?filter_keys=job_id&filter_predicates=%3D&filter_values={quote(ray_job_id, safe='')}"
        answer = await self._ask(head, f"/api/v0/{kind}/summarize{asked}&timeout={int(self._answer_seconds)}")
        document = _document(head, answer, "a question for a summary")
        try:
            return _counts(document["data"]["result"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(f"the head {head.address} answers a question for a summary in an unknown form") from error

    # --- HTTP ----------------------------------------------------------------------------------------------------------

    async def _ask(self, head: Head, path: str) -> _Answer:
        return await self._call(head, "GET", path, self._answer_seconds)

    async def _act(self, head: Head, method: str, path: str, **content: Any) -> _Answer:  # aiohttp's arguments
        return await self._call(head, method, path, self._action_seconds, **content)

    async def _call(
        self,
        head: Head,
        method: str,
        path: str,
        seconds: float,
        **content: Any,
    ) -> _Answer:
        """One request. Only statuses that say something of the request itself come back; the token's refusal is one of a
        head that is another one than we think, and the caller learns of a new head by looking again."""
        named = {} if head.token is None else {"Authorization": f"Bearer {head.token.reveal()}"}
        url = URL(f"http://{head.address}{path}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=seconds, connect=min(CONNECT_SECONDS, seconds))
        try:
            async with self._client().request(
                method, url, headers=named, timeout=timeout, allow_redirects=False, **content
            ) as got:
                answer = _Answer(got.status, await _text(head, got))
        except TimeoutError as error:
            raise Unavailable(f"the head {head.address} did not answer within {seconds:g} seconds") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Unavailable(f"the head {head.address} cannot be reached ({type(error).__name__})") from error
        if answer.status in (401, 403):
            raise Unavailable(f"the head {head.address} does not accept its token")
        if answer.status in (429, 502, 503, 504):
            raise Unavailable(f"the head {head.address} is busy (status {answer.status})")
        return answer

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_HEAD),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                headers={"User-Agent": "heliostat"},
            )
        return self._session


async def _text(head: Head, answer: aiohttp.ClientResponse) -> str:
    body = bytearray()
    async for piece in answer.content.iter_chunked(1 << 16):
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise Unavailable(f"the head {head.address} answers with more than {LARGEST_ANSWER >> 20} MiB")
    return body.decode(errors="replace")


def _unclear(head: Head, answer: _Answer, what: str) -> Unavailable:
    """Ray's own text stays out of it: it may hold what users put into their jobs."""
    return Unavailable(f"the head {head.address} answers {what} with status {answer.status}")


def _document(head: Head, answer: _Answer, what: str) -> dict[str, Any]:
    """The JSON object of a good answer."""
    if not answer.good:
        raise _unclear(head, answer, what)
    try:
        document = json.loads(answer.text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unavailable(f"the head {head.address} answers {what} with something that is not Ray's")
    return document


def _body(submission: RaySubmission) -> dict[str, Any]:
    """Ray's JobSubmitRequest. Fields that are not asked for are left out: older releases know fewer of them."""
    body: dict[str, Any] = {
        "entrypoint": submission.entrypoint,
        "submission_id": submission.submission_id,
        "runtime_env": dict(submission.runtime_env),
        "metadata": dict(submission.metadata),
        "entrypoint_num_cpus": submission.cpus,
        "entrypoint_num_gpus": submission.gpus,
        "entrypoint_memory": submission.memory_bytes,
        "entrypoint_resources": dict(submission.resources) or None,
    }
    return {name: value for name, value in body.items() if value is not None}


def _sighting(head: Head, job: Mapping[str, Any]) -> RaySighting:
    try:
        status = RayStatus(job["status"])
        text = without_echo(str(job.get("message") or ""), str(job.get("entrypoint") or ""))
        kind, code = str(job.get("error_type") or ""), job.get("driver_exit_code")
        ended = status.terminal
        return RaySighting(
            status=status,
            # Again, since a sentence may show as text what was JSON.
            message=masked(sentence(masked(text, job.get("runtime_env"))), job.get("runtime_env")),
            error_type=kind,
            exit_code=None if code is None else int(code),
            started_at=_time(job.get("start_time")) if ended else None,
            ended_at=_time(job.get("end_time")) if ended else None,
            ray_job_id=str(job.get("job_id") or ""),
            driver_node=str(job.get("driver_node_id") or ""),
            cause=failure_cause(kind, code, text) if status is RayStatus.FAILED else None,
        )
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise Unavailable(f"the head {head.address} describes a job in an unknown form") from error


def _time(milliseconds: Any) -> datetime | None:  # JSON
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _counts(result: Mapping[str, Any]) -> tuple[tuple[NameCount, ...], bool]:
    """Ray's summary; the creations of actors, which Ray counts as tasks, are left to the actors."""
    rows = list(result["result"]["node_id_to_summary"]["cluster"]["summary"].items())
    counted = sum(sum(row["state_counts"].values()) for _, row in rows)
    kept = [
        NameCount(str(name)[:LONGEST_NAME], {str(state): int(count) for state, count in row["state_counts"].items()})
        for name, row in rows
        if row.get("type") != "ACTOR_CREATION_TASK"
    ]
    kept.sort(key=lambda row: (-sum(row.states.values()), row.name))
    part = bool(result.get("partial_failure_warning")) or counted < int(result.get("num_filtered") or 0)
    return tuple(kept[:SUMMARY_NAMES]), part or len(kept) > SUMMARY_NAMES
