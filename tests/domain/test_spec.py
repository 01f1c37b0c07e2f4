"""Specs: the user's own spelling comes back, and secrets are not printed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.ids import (
    ClusterId,
    cluster_of,
    new_cluster_id,
    new_instance_id,
    new_request_id,
    new_workspace_id,
)
from heliostat.domain.quantities import GIB, format_memory, parse_memory
from heliostat.domain.secret import Secret
from heliostat.domain.spec import FaultTolerance

from .samples import SPEC


@given(st.integers(1, 1000), st.sampled_from(["Gi", "G", "GB", "GiB", ""]))
def test_what_was_written_comes_back_while_the_value_is_the_same(size: int, unit: str) -> None:
    written = f"{size}{unit}"
    spec = replace(SPEC, spellings={"head.memory": written})
    assert spec.spelled("head.memory", size * GIB, parse_memory, format_memory) == written
    assert spec.spelled("head.memory", (size + 1) * GIB, parse_memory, format_memory) == f"{size + 1}Gi"
    assert spec.spelled("workers[0].memory", size * GIB, parse_memory, format_memory) == f"{size}Gi"


def test_a_spelling_that_cannot_be_read_any_more_is_not_shown() -> None:
    spec = replace(SPEC, spellings={"head.memory": "plenty"})
    assert spec.spelled("head.memory", GIB, parse_memory, format_memory) == "1Gi"


def test_the_head_counts() -> None:
    assert SPEC.node_count == 3
    assert replace(SPEC, workers=()).node_count == 1


@given(st.text(min_size=1))
def test_a_secret_is_never_printed(text: str) -> None:
    secret = Secret("hunter2" + text)
    assert "hunter2" not in f"{secret} {secret!r} {secret!s} {[secret]} {FaultTolerance(redis_password=secret)}"
    assert secret.matches("hunter2" + text) and not secret.matches("hunter2")
    assert secret.reveal() == "hunter2" + text


def test_ids_have_the_shapes_that_all_dialects_accept() -> None:
    import re

    cluster = new_cluster_id()
    run = new_instance_id(cluster)
    assert re.fullmatch(r"ray-[a-z0-9]{16}", cluster)
    assert re.fullmatch(r"w-[0-9a-f]{16}", new_workspace_id())
    assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", new_request_id())
    assert run.startswith(f"{cluster}-") and cluster_of(run) == cluster
    assert cluster_of(new_instance_id(ClusterId("ray-with-dashes"))) == "ray-with-dashes"
