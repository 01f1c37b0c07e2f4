"""The page of a run in a real browser: through the server's own door, under its content policy."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import grpc
import grpc.aio
import pytest
from flyteidl.admin import execution_pb2
from flyteidl.core import identifier_pb2
from playwright.async_api import BrowserContext, expect

from heliostat.dialects.flyte.runs.runs import Runs
from heliostat.dialects.flyte.settings import FlyteSettings
from heliostat.domain.ids import WorkspaceId
from heliostat.services import Caller
from heliostat.testing.harness import HarnessServer, running
from tests.browser.conftest import browser, context

from .conftest import SERVICES
from .messages import TASK, identifier, task

__all__ = ["browser", "context"]
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def begun(up: HarnessServer) -> str:
    """Address of the page of a new run."""
    own = (("authorization", f"Bearer {up.token}"),)
    request = execution_pb2.ExecutionCreateRequest(project="p", domain="d", name="run1")
    request.spec.launch_plan.CopyFrom(identifier(TASK, "t"))
    async with grpc.aio.insecure_channel(up.url.removeprefix("http://")) as channel:
        for method, message in (("CreateTask", task("t", inputs="")), ("CreateExecution", request)):
            await channel.unary_unary(SERVICES[method][0])(message.SerializeToString(), metadata=own)
    id = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="run1")
    return f"{up.url}/console/projects/{id.project}/domains/{id.domain}/executions/{id.name}"


async def test_a_person_sees_the_run_after_showing_a_token(tmp_path: Path, context: BrowserContext) -> None:
    async with running(tmp_path) as up:
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(await begun(up))
        await expect(page.get_by_role("heading")).to_have_text("p/d/run1")
        assert complaints == []
        await page.get_by_label("Token").fill("hlt_wrong")
        await page.get_by_role("button").click()
        await expect(page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
        complaints.clear()
        await page.get_by_label("Token").fill(up.token)
        await page.get_by_role("button").click()
        await expect(page.get_by_role("table")).to_contain_text("n0")
        await expect(page.get_by_label("Token")).to_be_hidden()
        await expect(page.get_by_role("link", name="Driver log")).to_be_visible()
        await page.get_by_role("link", name="Driver log").click()
        await expect(page.locator("#log")).not_to_be_empty()
        await expect(page.locator("#log")).not_to_contain_text("unauthenticated")
        assert page.url.endswith("/executions/run1"), "the page was left, and with it the token"
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert [text for text in complaints if "416" not in text] == [], "besides that of an empty log"
        await page.close()


async def test_the_link_that_flyte_shows_leads_to_the_run_and_its_log(tmp_path: Path, context: BrowserContext) -> None:
    async with running(tmp_path) as up:
        await begun(up)
        services = up.running.server.services
        caller = Caller(await services.identity.by_token(up.token))
        async with asyncio.timeout(10):
            while not (jobs := await services.jobs.list(caller, WorkspaceId(up.workspace), limit=9)):
                await asyncio.sleep(0.01)
            runs, id = Runs(services, FlyteSettings()), jobs[0].job.id
            while (view := await runs.get(id)) is None:
                await asyncio.sleep(0.01)
        page = await context.new_page()
        await page.goto(next(link.uri for link in view.links if link.name == "Driver log"))
        await expect(page.get_by_role("heading")).to_have_text(id)
        await page.get_by_label("Token").fill(up.token)
        await page.get_by_role("button").click()
        await expect(page.locator("#shown")).to_contain_text(re.compile("QUEUED|INITIALIZING|RUNNING|FAILED"))
        await expect(page.locator("#log")).not_to_be_empty()
        await expect(page.locator("#log")).not_to_contain_text("unauthenticated")
        await page.goto(f"{up.url}/console/runs/rj-none")
        await page.get_by_label("Token").fill(up.token)
        await page.get_by_role("button").click()
        await expect(page.get_by_role("alert")).to_contain_text("there is no run rj-none")
        await page.close()
