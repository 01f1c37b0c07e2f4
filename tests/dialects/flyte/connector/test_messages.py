"""Answers against the contract's vectors (section 4.2)."""

from __future__ import annotations

import pytest
from flyteidl.admin import agent_pb2
from hypothesis import given
from hypothesis import strategies as st

from heliostat.dialects.flyte.connector.messages import (
    UnreadableMeta,
    connector,
    log_body,
    log_head,
    meta_of,
    resource,
    run_of,
)
from heliostat.dialects.flyte.runs import Link, Phase, RunView
from heliostat.domain.ids import JobId

ID = JobId("rj-0123456789abcdef")


def answer(run: RunView, *, first: bool = True) -> str:
    return str(
        agent_pb2.GetTaskResponse(resource=resource(run, first=first)).SerializeToString(deterministic=True).hex()
    )


def bare(phase: Phase, message: str = "", **more: object) -> RunView:
    return RunView(ID, phase, message, **more)  # type: ignore[arg-type]


def test_golden_vectors() -> None:
    linked = bare(Phase.RUNNING, "m", links=(Link("Ray dashboard", "http://h/d"),))
    assert answer(linked) == "0a221a016d221b0a0a687474703a2f2f682f64120d5261792064617368626f6172642802"
    assert answer(bare(Phase.SUCCEEDED)) == "0a022803"
    failed = bare(Phase.FAILED, "boom", code="USER:X", recoverable=True, origin="USER")
    assert answer(failed) == "0a161a04626f6f6d28053a0c0a06555345523a5818012001"
    assert answer(failed, first=False) == "0a081a04626f6f6d2805"
    assert answer(bare(Phase.RETRYABLE_FAILED, "boom"), first=False) == "0a081a04626f6f6d2808"


def test_outputs_are_never_set_and_empty() -> None:
    assert not resource(bare(Phase.SUCCEEDED), first=True).HasField("outputs")
    assert not resource(bare(Phase.SUCCEEDED, outputs=b""), first=True).HasField("outputs")


def test_links_say_when_they_are_shown() -> None:
    link = Link("n", "u", while_pending=True, hidden_when_finished=True)
    (shown,) = resource(bare(Phase.QUEUED, links=(link,)), first=True).log_links
    assert (shown.name, shown.uri, shown.ShowWhilePending, shown.HideOnceFinished) == ("n", "u", True, True)


def test_the_second_wire_has_what_it_knows_only() -> None:
    assert connector(first=False).SerializeToString().hex() == "0a0d68656c696f737461742d7261792205" + "0a03726179"
    assert not log_body(["a"], first=False).body.results
    assert list(log_body(["a"], first=True).body.results) == ["a"]
    assert log_head(7).header.token == "7"


def test_a_resource_meta_comes_back() -> None:
    assert meta_of(ID) == b'{"v":1,"id":"rj-0123456789abcdef"}'
    assert run_of(meta_of(ID)) == ID


@given(st.binary(max_size=200) | st.from_regex(r'\A\{"id":.{0,20}\}\Z').map(str.encode))
def test_anything_else_is_refused_in_one_way(meta: bytes) -> None:
    try:
        assert isinstance(run_of(meta), str)
    except UnreadableMeta:
        pass
    except Exception as error:  # noqa: BLE001 - that is what is tested
        pytest.fail(repr(error))
