"""Invariant 5: no secret in a repr, an event, an explanation, a log line or an error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest
import structlog

from heliostat import logs
from heliostat.domain.errors import HeliostatError
from heliostat.domain.secret import Secret
from heliostat.domain.spec import FaultTolerance

from .conftest import BOTH, Office, spec


@BOTH
async def test_no_secret_shows(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    clusters, identity = office.services.clusters, office.services.identity
    ann = await office.caller("ann")
    caplog.set_level(logging.DEBUG)
    shown: list[object] = []
    with structlog.testing.capture_logs() as logs:
        key, token = await identity.create_access_key(ann), await identity.create_token(ann)
        password = Secret("redis-password-4711")
        tolerant = replace(spec(), fault_tolerance=FaultTolerance(True, "redis://cache", redis_password=password))
        made = await clusters.create(ann, office.workspace, tolerant, start=True)
        await office.settle(made.id)
        run = await office.run_of(made.id)
        running = await office.stored(made.id)
        links = office.services.access.links(ann.principal, running, run)
        assert links is not None
        access = await office.services.access.resolve(run.submit_token.reveal(), None)
        shown += [key, token, run, running, access, links.submit_token, tolerant]
        shown += [await clusters.get(ann, office.workspace, made.id), await identity.keys(ann)]
        shown += [await clusters.why(ann, office.workspace, made.id), await office.events(made.id)]
        shown += await clusters.list(ann, office.workspace, limit=9)
        for call in (
            clusters.start(ann, office.workspace, made.id),
            clusters.create(ann, office.workspace, tolerant),
            identity.by_token(token.token.reveal() + "x"),
            identity.revoke(ann, token.token.reveal()[:8]),
        ):
            with pytest.raises(HeliostatError) as raised:
                await call
            shown += [raised.value, repr(raised.value)]
        await clusters.delete(ann, office.workspace, made.id, stop_first=True)
        await office.settle(made.id)
        shown += [await office.events(made.id)]
    secrets = {
        "access key secret": key.secret,
        "token": token.token,
        "redis password": password,
        "submit token": run.submit_token,
        "ray token": run.ray_token,
    }
    text = "\n".join(f"{item} {item!r}" for item in [*shown, *logs, caplog.text])
    assert made.id in text and run.id in text, "the search looks at something"
    for name, secret in secrets.items():
        assert secret.reveal() not in text, f"the {name} shows"


@pytest.fixture
def own_logs() -> Iterator[None]:
    """What a test sets up for logs does not last."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_in_the_log_shows_no_local_variables(
    own_logs: None, form: Literal["console", "json"], capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", form)
    token = "-".join(["hlt", "secret"])
    try:
        raise RuntimeError("something broke")
    except RuntimeError:
        structlog.get_logger().exception("reconcile failed")
    shown = capfd.readouterr().err
    assert "something broke" in shown and "reconcile failed" in shown
    assert token not in shown
