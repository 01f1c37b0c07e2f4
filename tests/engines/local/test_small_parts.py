"""Ports, limits, folders, records, specs of nodes: each alone."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heliostat.domain.engine import GpuType, GroupPlan, Incident, Progress, Step, Volume
from heliostat.domain.errors import NotReady, Unavailable
from heliostat.domain.ids import InstanceId
from heliostat.domain.releases import Release
from heliostat.engines.local import records
from heliostat.engines.local.layout import TEMP_DIR_LIMIT, Layout
from heliostat.engines.local.limits import STORE_MINIMUM, Machine, grant_stores, read_machine, wanted_store
from heliostat.engines.local.logs import tail_of_node
from heliostat.engines.local.node_specs import base_environment, node_spec, port_names
from heliostat.engines.local.ports import PortBook, candidates, is_free
from heliostat.engines.local.records import Grave, InstanceRecord, NodeRecord

from ..conformance import GIB, plan

INSTANCE = InstanceId("ray-0123456789abcdef-01234567")


class TestPorts:
    def test_they_lie_outside_of_what_others_take(self) -> None:
        ports = candidates(range(32768, 61000))
        assert not {10001, 23000, 23999, 32768, 60999} & set(ports)
        assert {22999, 24000, 32767, 61000} <= set(ports)

    def test_a_machine_whose_ephemeral_range_is_everything_still_has_some(self) -> None:
        assert len(candidates(range(1024, 65536))) > 1000

    def test_none_is_given_twice_before_it_is_released(self) -> None:
        book = PortBook(ephemeral=range(20040, 65536), seed=1)
        book._candidates = list(range(20000, 20040))
        first = book.reserve([f"p{index}" for index in range(10)])
        second = book.reserve([f"p{index}" for index in range(10)])
        assert not set(first.values()) & set(second.values())
        book.release(first.values())
        book.claim(second.values())
        assert book.reserve(["again"])["again"] not in second.values()

    def test_one_that_somebody_listens_on_is_left_alone(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            assert not is_free(port)
            book = PortBook()
            book._candidates = [port]
            with pytest.raises(Unavailable, match="no free port"):
                book.reserve(["one"])
        assert is_free(port)


class TestLimits:
    machine = Machine(cores=2, memory_bytes=16 * GIB, shared_memory_bytes=4 * GIB)

    def test_stores_get_what_they_want_while_there_is_room(self) -> None:
        assert grant_stores([GIB, GIB // 2], self.machine, taken=GIB) == [GIB, GIB // 2]

    def test_stores_share_what_the_machine_has(self) -> None:
        granted = grant_stores([64 * GIB, 64 * GIB], self.machine, taken=0)
        assert granted[0] == granted[1]
        assert sum(granted) <= self.machine.store_bytes

    def test_a_store_is_never_smaller_than_ray_allows(self) -> None:
        assert grant_stores([GIB], self.machine, taken=100 * GIB) == [STORE_MINIMUM]
        assert grant_stores([1], self.machine, taken=0) == [STORE_MINIMUM]

    def test_a_node_wants_what_the_user_says_or_a_share_of_its_memory(self) -> None:
        assert wanted_store(10 * GIB, {"object_store_memory": 5}) == 5
        assert wanted_store(10 * GIB, {}) == 3 * GIB

    def test_this_machine_has_something(self) -> None:
        machine = read_machine()
        assert 0 < machine.cores <= (os.cpu_count() or 0)
        assert machine.memory_bytes > 1 << 28


class TestLayout:
    def test_a_long_state_folder_gets_short_names_for_sockets(self, tmp_path: Path) -> None:
        layout = _long_layout(tmp_path)
        layout.make()
        layout.create(INSTANCE, {"plan.json": "{}"})
        temps = layout.temps(INSTANCE)
        assert len(str(temps / "w9999")) <= TEMP_DIR_LIMIT
        assert temps.resolve() == layout.real_temps(INSTANCE).resolve()
        temps.unlink()
        layout.ensure_temps(INSTANCE)
        assert temps.resolve() == layout.real_temps(INSTANCE).resolve()
        layout.remove(INSTANCE)
        assert not os.path.lexists(temps)
        assert not layout.exists(INSTANCE)
        layout._short.rmdir()

    def test_a_short_folder_of_somebody_else_is_refused(self, tmp_path: Path) -> None:
        layout = _long_layout(tmp_path)
        layout._short.mkdir(mode=0o700)
        try:
            layout._short.chmod(0o755)
            with pytest.raises(NotReady, match="private directory"):
                layout.make()
            layout._short.rmdir()
            layout._short.symlink_to(tmp_path)
            with pytest.raises(NotReady, match="private directory"):
                layout.make()
        finally:
            if layout._short.is_symlink():
                layout._short.unlink()

    def test_half_made_and_half_removed_instances_are_swept(self, tmp_path: Path) -> None:
        layout = _long_layout(tmp_path)
        layout.make()
        layout.create(INSTANCE, {})
        for name in (".new-x", ".gone-y"):
            (layout.state / "i" / name / "deep").mkdir(parents=True)
        (layout.state / "t" / "deadbeef").mkdir()
        (layout._short / "deadbeef").symlink_to(layout.state / "t" / "deadbeef")
        (layout._short / "another").symlink_to("/somebody/else/t/another")
        layout.sweep()
        (layout._short / "another").unlink()
        assert layout.instances() == [INSTANCE]
        assert [entry.name for entry in (layout.state / "i").iterdir()] == [INSTANCE]
        assert [entry.name for entry in (layout.state / "t").iterdir()] == [layout.temps(INSTANCE).name]
        assert [entry.name for entry in layout._short.iterdir()] == [layout.temps(INSTANCE).name]
        layout.remove(INSTANCE)
        layout._short.rmdir()

    def test_folders_that_a_job_made_read_only_are_removed_too(self, tmp_path: Path) -> None:
        layout = _long_layout(tmp_path)
        layout.make()
        layout.create(INSTANCE, {})
        stubborn = layout.real_temps(INSTANCE) / "a" / "b"
        stubborn.mkdir(parents=True)
        (stubborn / "file").touch()
        stubborn.chmod(0o500)
        layout.remove(INSTANCE)
        assert not layout.real_temps(INSTANCE).exists()
        layout._short.rmdir()

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(NotReady, match="cannot make the folder"):
            Layout(tmp_path / "file" / "state").make()


def _long_layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "a-rather-long-name-for-a-state-folder-as-people-have-them")
    assert not layout._direct
    return layout


class TestRecords:
    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        group = GroupPlan(
            "gpu", 3, 2.0, GIB, GpuType("g", "T4", 2), {"A": "b"}, {"num_cpus": 1, "resources": {"x": 1}},
            Release("ray-9.0.0", "2.60.0", "3.12", packages=("emoji==2",)),
        )  # fmt: skip
        wanted = dataclasses.replace(plan(), workers=(group,), labels={"a": "b"}, volumes=(Volume("v", "/data"),))
        at = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
        record = InstanceRecord(
            wanted.instance, 5.0,
            nodes=(NodeRecord("n", "worker", "gpu", "w1", 1.5, ports={"metrics_export_port": 1}, boot="b"),),
            graves=(Grave("o", "o.0", "w0"),),
            progress=(Progress(Step.HEAD, at), Progress(Step.UP, at, at, "d")),
            incidents=(Incident("k", at, "R", "m"),), losses={"worker/gpu": 2},
        )  # fmt: skip
        records.write_plan(tmp_path, wanted)
        records.write_record(tmp_path, record)
        token = wanted.ray_token
        assert token is not None
        assert token.reveal() not in (tmp_path / "plan.json").read_text()
        (tmp_path / "token").write_text(token.reveal())
        assert records.read(tmp_path) == (wanted, record)

    def test_incidents_are_kept_once_and_not_for_ever(self) -> None:
        record = InstanceRecord(INSTANCE, 0.0)
        for number in (*range(300), 299, 298):
            record = record.with_incident(Incident(str(number), datetime.now(UTC), "R", "m"))
        assert len(record.incidents) == records.MAX_INCIDENTS
        assert len({incident.key for incident in record.incidents}) == records.MAX_INCIDENTS


class TestNodeSpecs:
    folder = Path("/state/i/x")
    head = NodeRecord("h", "head", "head", "h", 0.0, ports={"gcs_port": 1, "dashboard_port": 2})

    def test_a_worker_joins_the_heads_port_and_has_no_head_things(self) -> None:
        node = NodeRecord("w", "worker", "small", "w1", 0.0, ports={"metrics_export_port": 9}, object_store_bytes=7)
        spec = node_spec(plan(), node, self.head, self.folder, Path("/t"), {"PATH": "/bin"})
        assert (spec.gcs_port, spec.metrics_export_port, spec.dashboard_port) == (1, 9, 0)
        assert spec.gcs_storage_dir is None
        assert spec.object_store_bytes == 7
        assert spec.temp_dir == "/t/w1"
        assert spec.environment == {"PATH": "/bin", "TMPDIR": "/t/w1/tmp"}
        json.dumps(dataclasses.asdict(spec))

    def test_old_ray_gets_neither_token_nor_storage(self) -> None:
        old = dataclasses.replace(plan(), release=Release("ray-1.0.1", "2.47.1", "3.11"))
        spec = node_spec(old, self.head, self.head, self.folder, Path("/t"), {})
        assert (spec.token_path, spec.gcs_storage_dir) == (None, None)
        spec = node_spec(plan(), self.head, self.head, self.folder, Path("/t"), {})
        assert (spec.token_path, spec.gcs_storage_dir) == ("/state/i/x/token", "/state/i/x/gcs")

    def test_a_ray_whose_agents_cannot_find_ports_is_given_some(self) -> None:
        assert "metrics_agent_port" not in port_names("worker", "2.60.0", client_server=False)
        names = port_names("worker", "2.47.1", client_server=False)
        node = NodeRecord("w", "worker", "small", "w1", 0.0, ports=dict.fromkeys(names, 7))
        spec = node_spec(plan(), node, self.head, self.folder, Path("/t"), {})
        assert spec.ray_params.keys() == {"metrics_agent_port", "dashboard_agent_listen_port", "runtime_env_agent_port"}

    def test_the_users_wishes_are_kept_apart_from_the_capped_store(self) -> None:
        params = {"num_cpus": 0, "object_store_memory": 1 << 50, "resources": {"disk": 1}, "labels": {"zone": "a"}}
        group = GroupPlan("head", 1, 0.5, GIB, GpuType("g", "T4", 2), {"TMPDIR": "/mine"}, params)
        wanted = dataclasses.replace(plan(), head=group, volumes=(Volume("data-1", "/data"),))
        spec = node_spec(wanted, self.head, self.head, self.folder, Path("/t"), {})
        assert spec.ray_params == {"num_cpus": 0}
        assert spec.resources == {"disk": 1, "accelerator_type:T4": 1.0}
        assert spec.labels == {"zone": "a"}
        assert (spec.cpus, spec.gpus) == (1, 2.0)
        assert spec.environment == {"TMPDIR": "/mine", "HELIOSTAT_VOLUME_DATA_1": "/data"}

    def test_nothing_of_the_servers_secrets_reaches_a_node(self) -> None:
        server = {
            "HOME": "/home/me", "LC_ALL": "C", "PIP_INDEX_URL": "i", "https_proxy": "p",
            "HELIOSTAT_MASTER_KEY": "s", "AWS_SECRET_ACCESS_KEY": "s", "RAY_ADDRESS": "x", "PYTHONPATH": "/x",
        }  # fmt: skip
        base = base_environment(server)
        assert base == {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home/me", "LC_ALL": "C", "PIP_INDEX_URL": "i",
            "https_proxy": "p",
        }  # fmt: skip


def test_a_raylet_that_ends_with_its_agent_shows_the_agents_log(tmp_path: Path) -> None:
    logs = tmp_path / "t" / "s" / "logs"
    logs.mkdir(parents=True)
    (logs / "dashboard_agent.log").write_text("ERROR agent.py:1 -- Failed to bind to address\n")
    (logs / "raylet.err").write_text("[2026-01-01 00:00:00,000 E 1 2] (raylet) it is well\n")
    assert "bind" not in tail_of_node(tmp_path, tmp_path / "t")
    (logs / "raylet.err").write_text(
        "(raylet) The raylet exited immediately because one Ray agent failed, agent_name = x.\n"
    )
    text = tail_of_node(tmp_path, tmp_path / "t")
    assert "--- dashboard_agent.log ends with ---" in text and "Failed to bind" in text
    assert "runtime_env_agent" not in text, "there is none"


def test_the_tail_of_a_nodes_logs_leaves_chatter_out(tmp_path: Path) -> None:
    logs = tmp_path / "t" / "s" / "logs"
    logs.mkdir(parents=True)
    (tmp_path / "shim.log").write_text("\n".join(f"line {number}" for number in range(50)))
    (logs / "raylet.out").write_text(
        "[2026-11-21 10:00:00,000 I 1 1] (raylet) chatter\n[2026-11-21 10:00:00,000 C 1 1] (raylet) the reason\n"
    )
    (logs / "gcs_server.err").write_text("out of luck\n")
    text = tail_of_node(tmp_path, tmp_path / "t")
    assert "line 49" in text
    assert "line 10" not in text
    assert "the reason" in text
    assert "out of luck" in text
    assert "chatter" not in text
