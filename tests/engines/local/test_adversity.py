"""When the disk is full, files are damaged, or the engine's own work fails: care goes on, and people are told."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from heliostat.domain.errors import NotReady
from heliostat.domain.masking import hidden
from heliostat.engines.local import LocalSettings, supervisor
from heliostat.engines.local.layout import Layout
from heliostat.engines.local.logs import secrets
from heliostat.engines.local.records import InstanceRecord

from ..conformance import plan, until
from .kit import FastClock, Healthy, Lab, kill, of_kind
from .test_life import complete_again, failed, up, with_head, with_workers


def blocked(lab: Lab, instance: str) -> Path:
    """What makes every write of an instance's record fail, as a full disk does, until it is removed."""
    folder = lab.settings.state / "i" / instance / "record.json.new"
    folder.mkdir()
    return folder


class TestFullDisk:
    async def test_an_instance_whose_notes_cannot_be_written_is_still_looked_after(self, lab: Lab) -> None:
        wanted = with_head(plan(workers=1), "slow")
        await lab.engine.apply(wanted)
        await until(lab.engine, wanted.instance, lambda seen: any(node.pid for node in seen.nodes), "it is starting")
        obstacle = blocked(lab, wanted.instance)
        seen = await until(lab.engine, wanted.instance, lambda seen: seen.head_ready, "the head came meanwhile")
        assert "record.json" in seen.trouble
        await lab.engine.destroy(wanted.instance)
        obstacle.rmdir()
        await until(lab.engine, wanted.instance, lambda seen: not seen.present, "it can be removed")

    async def test_failing_work_in_the_background_is_not_tried_without_a_pause(
        self, settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = with_head(plan(workers=0), "hang"), plan(workers=0)
        write = supervisor.write_record
        tries = 0

        def full(folder: Path, record: InstanceRecord) -> None:
            """No room for the note that it is queued."""
            nonlocal tries
            if record.instance == second.instance and record.progress:
                tries += 1
                raise OSError(28, "No space left on device")
            write(folder, record)

        monkeypatch.setattr(supervisor, "write_record", full)
        lab = Lab(dataclasses.replace(settings, concurrent_starts=1), health=Healthy())
        await lab.open()
        try:
            await lab.engine.apply(first)
            await until(lab.engine, first.instance, lambda seen: any(node.pid for node in seen.nodes), "it starts")
            await lab.engine.apply(second)
            await until(lab.engine, second.instance, lambda seen: "No space left" in seen.trouble, "it is told")
            for _ in range(20):
                await asyncio.sleep(0)
            assert tries == 1
        finally:
            await lab.close()

    async def test_a_server_starts_though_notes_cannot_be_written(self, lab: Lab) -> None:
        wanted = with_workers(plan(workers=1), "hang")
        await lab.engine.apply(wanted)
        await until(lab.engine, wanted.instance, lambda seen: seen.head_ready, "it is starting")
        await lab.engine.close()
        obstacle = blocked(lab, wanted.instance)
        await lab.open()
        assert (await lab.engine.observe(wanted.instance)).present
        obstacle.rmdir()

    async def test_a_state_folder_that_cannot_be_written_is_told(self, lab: Lab) -> None:
        await lab.engine.close()
        (lab.settings.state / "lock").unlink()
        (lab.settings.state / "lock").mkdir()
        with pytest.raises(NotReady, match="cannot be used"):
            await lab.open()
        (lab.settings.state / "lock").rmdir()
        await lab.open()


class TestDamage:
    async def test_a_damaged_status_file_does_not_keep_the_server_from_starting(self, lab: Lab) -> None:
        """As a machine leaves it that lost power."""
        wanted = plan(workers=1)
        await up(lab, wanted)
        await lab.engine.close()
        for status in (lab.settings.state / "i" / wanted.instance / "nodes").glob("*-w1.0/status.json"):
            status.write_text("")
        await lab.open()
        assert (await lab.engine.observe(wanted.instance)).present

    async def test_a_damaged_instance_that_cannot_be_removed_at_first_is_removed_later(
        self, lab: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = plan(workers=0)
        await up(lab, wanted)
        await lab.engine.close()
        (lab.settings.state / "i" / wanted.instance / "plan.json").write_text("{")
        await lab.open()

        def stuck(layout: Layout, instance: str) -> None:
            raise OSError(16, "Device or resource busy")

        with monkeypatch.context() as patch:
            patch.setattr(Layout, "remove", stuck)
            await lab.engine.destroy(wanted.instance)
            seen = await until(lab.engine, wanted.instance, lambda seen: "busy" in seen.trouble, "the trouble is told")
            assert seen.present
        await lab.engine.destroy(wanted.instance)
        await until(lab.engine, wanted.instance, lambda seen: not seen.present, "it is gone")

    async def test_processes_of_a_failed_instance_end_though_the_server_died_at_that_moment(self, lab: Lab) -> None:
        wanted = plan(workers=1)
        await up(lab, wanted)
        await lab.engine.close()
        record = lab.settings.state / "i" / wanted.instance / "record.json"
        record.write_text(record.read_text().replace('"failure": ""', '"failure": "it was given up"'))
        await lab.open()
        await until(
            lab.engine, wanted.instance, lambda seen: not any(node.pid for node in seen.nodes), "its processes are gone"
        )


class TestSharing:
    async def test_a_failed_instance_does_not_keep_its_share_of_object_stores(
        self, fast: tuple[Lab, FastClock]
    ) -> None:
        lab, clock = fast
        wanted = with_workers(plan(workers=1), "hang")
        await lab.engine.apply(wanted)
        await until(lab.engine, wanted.instance, lambda seen: seen.head_ready, "the head is there")
        assert lab.engine._promised() > 0
        clock.advance(lab.settings.start_deadline.total_seconds() + 1)
        await failed(lab, wanted)
        assert lab.engine._promised() == 0

    async def test_ports_are_given_back_when_nodes_cannot_be_added(self, lab: Lab) -> None:
        world = lab.engine._world
        assert world is not None
        world.ports._candidates = world.ports._candidates[:8]
        taken = set(world.ports._taken)
        wanted = plan(workers=20)
        await lab.engine.apply(wanted)
        seen = await until(lab.engine, wanted.instance, lambda seen: "no free port" in seen.trouble, "it is told")
        kept = {port for node in lab.engine._supervisors[wanted.instance].record.nodes for port in node.ports.values()}
        assert world.ports._taken - taken == kept
        assert seen.failure is None


async def test_no_message_of_a_failure_holds_a_variable_of_the_user(fast: tuple[Lab, FastClock]) -> None:
    lab, clock = fast
    env = {"FAKE": "die", "SAYS": "open-sesame"}
    wanted = plan(workers=0)
    wanted = dataclasses.replace(wanted, head=dataclasses.replace(wanted.head, env=env))
    await lab.engine.apply(wanted)
    for _ in range(lab.settings.start_tries):
        await asyncio.sleep(0.1)
        clock.advance(5)
    assert "It was told to die. ****" in await failed(lab, wanted)
    assert "sesame" not in str(await lab.engine.observe(wanted.instance))


def test_what_may_be_secret_is_hidden_in_text() -> None:
    token = "c0ffee" * 6
    wanted = plan(workers=0)
    env = {"KEY": "open-sesame", "LEVEL": "1", "PLACE": "/usr/share/dict"}
    known = secrets(dataclasses.replace(wanted, head=dataclasses.replace(wanted.head, env=env)))
    text = f"1 open-sesame of /usr/share/dict with {token} at https://me:mellon@index.example/simple"
    assert hidden(text, known) == "1 **** of /usr/share/dict with **** at https://****@index.example/simple"


async def test_a_clock_that_is_set_back_holds_nothing_up(fast: tuple[Lab, FastClock]) -> None:
    lab, clock = fast
    assert lab.health is not None
    wanted = plan(workers=1)
    first = await up(lab, wanted)
    kill(of_kind(first, "worker")[0])
    second = await complete_again(lab, wanted, first)
    kill(of_kind(second, "worker")[0])
    await until(lab.engine, wanted.instance, lambda seen: "2 losses in a row" in seen.trouble, "it waits")
    clock.advance(-3600)
    clock.advance(2)
    await complete_again(lab, wanted, second)
    asked = lab.health.asked
    for _ in range(3):
        clock.advance(6)
        await asyncio.sleep(0.05)
    assert lab.health.asked > asked


async def test_nothing_piles_up_for_a_group_that_keeps_dying(fast: tuple[Lab, FastClock], tmp_path: Path) -> None:
    lab, clock = fast
    flag = tmp_path / "die"
    wanted = with_workers(plan(workers=1), str(flag))
    before = await up(lab, wanted)
    flag.touch()
    kill(of_kind(before, "worker")[0])
    supervised = lab.engine._supervisors[wanted.instance]
    for count in range(2, 12):
        await until(lab.engine, wanted.instance, lambda seen, n=count: f"{n} losses" in seen.trouble, "lost again")  # type: ignore[misc]
        clock.advance(70)
    assert supervised.record.losses == {"worker/small": 11}
    assert len(supervised._nodes._statuses) <= 2 + lab.settings.keep_dead_nodes
