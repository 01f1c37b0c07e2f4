"""What is brought to tasks that cannot reach Flyte's bucket: nothing of others, and for nobody who may not run tasks."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from flyteidl.core import literals_pb2

from heliostat.dialects.flyte.runs.runs import Runs
from heliostat.dialects.flyte.settings import FlyteSettings
from heliostat.dialects.flyte.translate.submission import RunPlace
from heliostat.domain.errors import Forbidden, HeliostatError
from heliostat.domain.records import Role
from tests.dialects.flyte.connector.propeller import template
from tests.services.conftest import Office, database, office

__all__ = ["database", "office"]
STAGED = FlyteSettings(staging=True)
STAGED_ARGS = ("pyflyte-execute", "--additional-distribution", "{}", "--inputs", "i", "--output-prefix", "o")


def place(prefix: Path) -> RunPlace:
    task = ("flytesnacks", "development", "wf.t", "v1")
    return RunPlace("flytesnacks", "development", "f1", "n0", 0, task, f"file://{prefix}/o")


def staged_files(office: Office) -> list[Path]:
    return [path for path in Path(office.services.data.root.removeprefix("file://")).rglob("*") if path.is_file()]


@pytest.mark.parametrize("form", ["{}", "file://{}", "FILE://{}", "local://{}"])
async def test_no_file_of_the_server_is_brought_to_a_task_as_its_code(
    office: Office, tmp_path: Path, form: str
) -> None:
    (tmp_path / "master.key").write_text("between us only")
    args = [word.format(form.format(tmp_path / "master.key")) for word in STAGED_ARGS]
    caller = await office.caller("editor")
    with contextlib.suppress(HeliostatError):
        await Runs(office.services, STAGED).create(caller, office.workspace, template(args=args), place(tmp_path))
    assert not [path for path in staged_files(office) if path.read_bytes() == b"between us only"]


async def test_runs_of_the_same_name_in_other_workspaces_have_inputs_of_their_own(
    office: Office, tmp_path: Path
) -> None:
    ann, runs = await office.caller("ann"), Runs(office.services, STAGED)
    other = await office.services.directory.create_workspace(ann, "other")
    await office.services.identity.grant(ann, other.id, "viewer", Role.EDITOR)
    callers = (ann, await office.caller("viewer"))
    for number, workspace in enumerate((office.workspace, other.id)):
        inputs = literals_pb2.LiteralMap()
        inputs.literals["x"].scalar.primitive.integer = number
        await runs.create(callers[number], workspace, template(), place(tmp_path), inputs)
    found = [literals_pb2.LiteralMap.FromString(path.read_bytes()) for path in staged_files(office)]
    assert sorted(one.literals["x"].scalar.primitive.integer for one in found) == [0, 1]


async def test_nothing_is_brought_for_who_may_not_run_tasks(office: Office, tmp_path: Path) -> None:
    with pytest.raises(Forbidden):
        await Runs(office.services, STAGED).create(
            await office.caller("viewer"), office.workspace, template(), place(tmp_path)
        )
    assert not staged_files(office)
