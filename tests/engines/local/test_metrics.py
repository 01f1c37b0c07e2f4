"""Whether nodes export figures, as a part of plans and records; pure."""

from __future__ import annotations

import dataclasses

from heliostat.engines.local.node_specs import metrics_addresses
from heliostat.engines.local.plans import head_mark, merged
from heliostat.engines.local.records import (
    InstanceRecord,
    NodeRecord,
    decode_plan,
    decode_record,
    encode_plan,
    encode_record,
)

from ..conformance import plan

PLAN = plan()
QUIET = dataclasses.replace(PLAN, metrics=False)
PORTS = {"metrics_export_port": 1, "dashboard_metrics_port": 2, "autoscaler_metrics_port": 3, "gcs_port": 4}
HEAD = NodeRecord("h", "head", "head", "h", 0.0, ports=PORTS)
WORKER = NodeRecord("w", "worker", "small", "w", 0.0, ports={"metrics_export_port": 5})


def test_where_figures_are() -> None:
    assert metrics_addresses(PLAN, HEAD) == ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
    assert metrics_addresses(PLAN, WORKER) == ("127.0.0.1:5",)
    assert metrics_addresses(PLAN, dataclasses.replace(HEAD, metrics=False)) == ()
    assert len(metrics_addresses(QUIET, HEAD)) == 3, "what a node was begun with counts"
    alone = dataclasses.replace(PLAN, head=dataclasses.replace(PLAN.head, ray_params={"no_monitor": True}))
    assert metrics_addresses(alone, HEAD) == ("127.0.0.1:1", "127.0.0.1:2")


def test_it_waits_for_a_restart() -> None:
    assert merged(PLAN, dataclasses.replace(QUIET, generation=2)).metrics
    assert not merged(PLAN, dataclasses.replace(QUIET, generation=2, renew=2)).metrics
    assert head_mark(PLAN) != head_mark(QUIET), "the head is renewed for it"


def test_it_outlives_the_server() -> None:
    assert decode_plan(encode_plan(QUIET)).metrics is False
    record = InstanceRecord(PLAN.instance, 0.0, nodes=(dataclasses.replace(HEAD, metrics=False),))
    assert decode_record(encode_record(record)).nodes[0].metrics is False


def test_what_an_older_server_wrote_has_metrics() -> None:
    older = encode_plan(PLAN)
    del older["metrics"]
    assert decode_plan(older).metrics
    record = encode_record(InstanceRecord(PLAN.instance, 0.0, nodes=(HEAD,)))
    del record["nodes"][0]["metrics"]
    assert decode_record(record).nodes[0].metrics
