"""Documents: every field of a spec and of an observation survives, and what may be secret is sealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.domain.engine import Demand, NodeObservation, Progress
from heliostat.domain.errors import InvalidRequest, NotReady
from heliostat.domain.ids import NodeId
from heliostat.domain.records import Activity
from heliostat.domain.secret import Secret
from heliostat.domain.spec import ClusterSpec, FaultTolerance, NodeShape
from heliostat.store.codec import decode_spec, encode_spec
from heliostat.store.run_codec import (
    decode_activity,
    decode_demand,
    decode_nodes,
    decode_progress,
    encode_activity,
    encode_demand,
    encode_nodes,
    encode_progress,
)
from heliostat.store.sealing import Sealer

from .samples import a_spec

SEALER = Sealer([bytes(32)])

texts = st.text(st.characters(exclude_categories=["Cs"]))
STRATEGIES: dict[object, st.SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(-(2**63), 2**63 - 1),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    Mapping[str, str]: st.dictionaries(texts, texts, max_size=3),
    datetime: st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),
    NodeId: texts,
    type(None): st.none(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    Mapping[str, float]: st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
}


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type: of a dataclass with all its fields drawn, also those that have defaults."""
    if hint in STRATEGIES:
        return STRATEGIES[hint]
    if is_dataclass(hint):
        return st.builds(hint, **{name: of(field) for name, field in get_type_hints(hint).items()})
    if get_origin(hint) is UnionType:
        return st.one_of([of(option) for option in get_args(hint)])
    if get_origin(hint) is tuple:
        return st.lists(of(get_args(hint)[0]), max_size=3).map(tuple)
    return st.from_type(hint)


@given(of(ClusterSpec))
@settings(max_examples=300, deadline=None)
def test_specs_come_back_as_they_were_written(spec: ClusterSpec) -> None:
    decoded = decode_spec(encode_spec(spec, SEALER, "ray-1"), SEALER, "ray-1")
    assert decoded == spec
    assert str(decoded.head.cpu) == str(spec.head.cpu)


@given(of(tuple[NodeObservation, ...]), of(tuple[Progress, ...]))
@settings(max_examples=200, deadline=None)
def test_observations_come_back_as_they_were_written(
    nodes: tuple[NodeObservation, ...], progress: tuple[Progress, ...]
) -> None:
    assert decode_nodes(encode_nodes(nodes)) == nodes
    assert decode_progress(encode_progress(progress)) == progress


@given(of(Demand) | st.none(), of(Activity) | st.none())
@settings(max_examples=200, deadline=None)
def test_what_is_seen_of_a_run_comes_back_as_it_was_written(demand: Demand | None, activity: Activity | None) -> None:
    assert decode_demand(encode_demand(demand)) == demand
    assert decode_activity(encode_activity(activity)) == activity


def test_nodes_that_an_older_server_wrote_are_read() -> None:
    row = '["n","head","head","alive",0,1,"abc",7,"","",null,2,3]'
    [node] = decode_nodes(f'{{"v":1,"nodes":[{row}]}}')
    assert (node.pid, node.restarts, node.generation, node.metrics) == (7, 2, 3, ())


def test_the_sample_leaves_no_field_at_its_default() -> None:
    """So that tests which store the sample see each field go missing."""

    def check(value: Any, where: str) -> None:
        for field in fields(value):
            item = getattr(value, field.name)
            if is_dataclass(item):
                check(item, f"{where}.{field.name}")
            elif field.default is True:
                assert item is False, f"{where}.{field.name}"
            else:
                assert item not in (None, "", (), {}, False), f"{where}.{field.name}"

    check(a_spec(), "spec")


def test_what_may_be_secret_is_sealed() -> None:
    document = encode_spec(a_spec(), SEALER, "ray-1")
    for secret in ("TOKEN", "head-env", "worker-env", "--num-cpus", "redis-password", "cache:6379", "extra-value"):
        assert secret not in document
    assert "root_queue" in document


def test_a_spec_without_secrets_has_no_sealed_part() -> None:
    plain = ClusterSpec("c", "r", NodeShape("q", Decimal(1), 1))
    assert "sealed" not in orjson.loads(encode_spec(plain, SEALER, "ray-1"))


def test_another_clusters_secrets_do_not_open() -> None:
    document = encode_spec(a_spec(), SEALER, "ray-1")
    with pytest.raises(NotReady, match="changed outside"):
        decode_spec(document, SEALER, "ray-2")


def test_a_newer_format_is_refused_with_the_remedy() -> None:
    document = orjson.loads(encode_spec(a_spec(), SEALER, "ray-1")) | {"v": 2}
    with pytest.raises(NotReady, match="upgrade"):
        decode_spec(orjson.dumps(document).decode(), SEALER, "ray-1")
    with pytest.raises(NotReady, match="upgrade"):
        decode_nodes('{"v": 2, "nodes": []}')


def test_text_that_is_no_unicode_is_the_callers_error() -> None:
    with pytest.raises(InvalidRequest, match="surrogate"):
        encode_spec(replace(a_spec(), description="\ud800"), SEALER, "ray-1")
    with pytest.raises(InvalidRequest, match="surrogate"):
        encode_spec(replace(a_spec(), extras={"emr.x": "\udfff"}), SEALER, "ray-1")


def test_no_secret_in_the_error_of_a_bad_document() -> None:
    secret = Secret("\ud800-very-secret")
    spec = replace(a_spec(), fault_tolerance=FaultTolerance(True, "", "", secret))
    with pytest.raises(InvalidRequest) as raised:
        encode_spec(spec, SEALER, "ray-1")
    assert "very-secret" not in str(raised.value)
