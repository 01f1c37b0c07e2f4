"""Code on its way to a job: a folder of the user's machine, a package that pip installs, a zip on the server's machine."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat.client import InvalidRequest

from .support import Server, lines, serving, settled

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the folder ``code``, from which the server may read, and ``other``, from which it may not."""
    made = tmp_path_factory.mktemp("code")
    for name in ("code", "other"):
        (made / name).mkdir()
        with zipfile.ZipFile(made / name / "code.zip", "w") as archive:
            archive.writestr("project/main.py", f"print('from {name}')\n")
    return made


@pytest.fixture(scope="module")
def server(folder: Path, ray_environments_folder: Path) -> Iterator[Server]:
    """With a cluster called ``c``."""
    configuration = f'[jobs]\ncode_folders = ["{folder}/code"]\n'
    with serving(folder, ray_environments_folder, configuration) as server:
        server.client.clusters.create("c", cpu=2, memory="1Gi").wait(deadline=90)
        yield server


def test_a_folder_is_uploaded_once_and_is_where_the_job_runs(server: Server, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "inner").mkdir(parents=True)
    (project / "main.py").write_text(
        "import os, inner.words\nprint('files', *sorted(os.listdir('.')), inner.words.WORD)\n"
    )
    (project / "inner" / "words.py").write_text("WORD = 'hello'\n")
    (project / ".gitignore").write_text("*.secret\n")
    (project / "key.secret").write_text("not for others")
    jobs = [server.client.jobs.submit("python main.py", cluster="c", working_dir=project) for _ in range(2)]
    for job in jobs:
        settled(job)
        assert job.status == "Succeeded", job.message
        (told,) = lines(job.log(), "files")
        assert told.split()[-1] == "hello" and "main.py" in told and "key.secret" not in told
    assert jobs[0].info.working_dir == jobs[1].info.working_dir
    packages = [path for path in (server.home / "storage").rglob("*") if path.is_file() and "packages" in path.parts]
    assert len(packages) == 1, packages


def test_a_package_is_installed_for_the_job_alone(server: Server, tmp_path: Path) -> None:
    wheel = wheel_of("heliostat_greeting", "1.0", "WORD = 'good day'\n", tmp_path)
    program = "python -c 'import heliostat_greeting; print(heliostat_greeting.WORD)'"
    job = settled(server.client.jobs.submit(program, cluster="c", pip=[f"heliostat_greeting @ file://{wheel}"]))
    assert job.status == "Succeeded", job.message
    assert lines(job.log(), "good day") == ["good day"]
    without = settled(server.client.jobs.submit(program, cluster="c"))
    assert (without.status, without.info.cause) == ("Failed", "user_error")
    assert "ModuleNotFoundError" in without.message


def test_a_zip_of_an_allowed_folder_is_run_and_of_no_other(server: Server, folder: Path) -> None:
    submit = server.client.jobs.submit
    job = settled(submit("python main.py", cluster="c", working_dir=f"file://{folder}/code/code.zip"))
    assert job.status == "Succeeded", job.message
    assert lines(job.log(), "from") == ["from code"]
    (folder / "code" / "way-out").symlink_to(folder / "other")
    for path in ("other/code.zip", "code/../other/code.zip", "code/way-out/code.zip"):
        with pytest.raises(InvalidRequest) as refused:
            submit("python main.py", cluster="c", working_dir=f"file://{folder}/{path}")
        assert refused.value.path == "working_dir"
        assert "code_folders" in str(refused.value)
    gone = settled(submit("python main.py", cluster="c", working_dir=f"file://{folder}/code/gone.zip"))
    assert (gone.status, gone.info.cause) == ("Failed", "user_error")
    assert "does not exist" in gone.message and not gone.info.attempts


def wheel_of(name: str, version: str, code: str, folder: Path) -> Path:
    """A package of one module, as a wheel."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return made
