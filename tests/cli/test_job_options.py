"""What is sent for the options of ``job submit`` and ``run``."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from heliostat.cli import job_options
from heliostat.cli.job_options import entrypoint, script


def request(*words: str) -> dict[str, Any]:
    """The arguments of ``jobs.submit`` for these options. Raises click.UsageError."""
    found: dict[str, Any] = {}

    @click.command()
    @job_options.job_options
    def command(**options: Any) -> None:
        found.update(job_options.request(options))

    command.main(list(words), standalone_mode=False)
    return found


def test_without_options_a_head_alone_is_asked_for() -> None:
    assert request() == {"cluster_spec": {"workers": []}}


def test_every_option_arrives() -> None:
    words = (
        "--name nightly --working-dir . --requirements r.txt --env A=1 --env B=x=y --secret C=db/password@2 "
        "--pip emoji --pip requests>=2 "
        "--metadata m=1 --tag team=vision --entrypoint-cpus 0.5 --entrypoint-gpus 1 --entrypoint-memory 2Gi "
        "--entrypoint-resources disk=2 --deadline 2h --retries 3 --retry-on infrastructure --cluster training"
    )
    assert request(*words.split()) == {
        "name": "nightly",
        "working_dir": ".",
        "requirements": "r.txt",
        "env": {"A": "1", "B": "x=y"},
        "secrets": {"C": "db/password@2"},
        "pip": ["emoji", "requests>=2"],
        "metadata": {"m": "1"},
        "tags": {"team": "vision"},
        "resources": {"cpus": 0.5, "gpus": 1.0, "memory": "2Gi", "custom": {"disk": 2.0}},
        "deadline": 7200.0,
        "retries": {"limit": 3, "user_error": 0, "out_of_memory": 0},
        "cluster": "training",
    }


def test_the_cluster_of_its_own_has_the_shape_of_the_options(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("name: other\nrelease: ray-1.0.0\nlabels: {team: vision}\n")
    found = request(*f"--workers 2 --cpu 1 --head-memory 3Gi --cluster-file {tmp_path}/c.yaml".split())
    assert found["cluster_spec"] == {
        "release": "ray-1.0.0",
        "labels": {"team": "vision"},
        "head": {"cpu": "1", "memory": "3Gi"},
        "workers": [{"name": "workers", "replicas": 2, "cpu": "1"}],
    }


def test_what_its_own_cluster_shall_not_do() -> None:
    words = "--no-metrics --no-collect-logs --nfs-mount 10.0.0.2:/x=data"
    mount = {"server": "10.0.0.2", "path": "/x", "mount_point": "data"}
    spec = {"workers": [], "nfs_mounts": [mount], "metrics": False, "collect_logs": False}
    assert request(*words.split()) == {"cluster_spec": spec}


@pytest.mark.parametrize(
    "words", ["--workers 2", "--worker-group name=a", "--no-autoscale", "--cpu 1", "--volume v", "--no-metrics"]
)
def test_a_shape_for_a_cluster_that_is_there_is_refused(words: str) -> None:
    with pytest.raises(click.UsageError, match=rf"{words.split()[0].replace('--no-', '--')} is for a cluster made"):
        request("--cluster", "training", *words.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--retry-on infrastructure", "say with --retries how often"),
        ("--env A", "KEY=VALUE"),
        ("--entrypoint-resources disk=lots", "not a number"),
        ("--deadline soon", "90s"),
        ("--retries -1", "not in the range"),
        ("--runtime-env {pip", "not JSON"),
        ("--runtime-env /nowhere.yaml", "cannot read"),
    ],
)
def test_what_is_wrong_is_told(words: str, told: str) -> None:
    with pytest.raises(click.UsageError, match=told):
        request(*words.split())


class TestRuntimeEnvironment:
    def test_json(self) -> None:
        assert request("--runtime-env", '{"pip": ["emoji"]}')["runtime_env"] == {"pip": ["emoji"]}

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "env.yaml").write_text("env_vars: {A: '1'}\n")
        assert request("--runtime-env", str(tmp_path / "env.yaml"))["runtime_env"] == {"env_vars": {"A": "1"}}

    def test_a_list_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "env.yaml").write_text("- pip\n")
        with pytest.raises(click.UsageError, match="must be an object"):
            request("--runtime-env", str(tmp_path / "env.yaml"))

    def test_an_error_does_not_repeat_what_may_be_secret(self) -> None:
        with pytest.raises(click.UsageError) as raised:
            request("--runtime-env", '{"env_vars": {"KEY": "s3cr3t"')
        assert "s3cr3t" not in raised.value.message


class TestEntrypoint:
    def test_one_word_is_a_shell_command(self) -> None:
        assert entrypoint(["python a.py && python b.py"]) == "python a.py && python b.py"

    @pytest.mark.parametrize("words", [["python", "main.py", "a b", "$HOME", "it's", ""], ["echo", "*"]])
    def test_several_arrive_as_typed(self, words: list[str]) -> None:
        assert shlex.split(entrypoint(words)) == words


class TestScript:
    def test_its_folder_is_uploaded_and_it_starts_in_it(self, tmp_path: Path) -> None:
        (tmp_path / "train.py").touch()
        folder = tmp_path.resolve()
        assert script(str(tmp_path / "train.py"), ["--lr", "a b"], None) == ("python train.py --lr 'a b'", str(folder))

    def test_a_folder_above_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "scripts").mkdir()
        (tmp_path / "scripts" / "train.py").touch()
        monkeypatch.chdir(tmp_path)
        assert script("scripts/train.py", [], ".") == ("python scripts/train.py", ".")

    def test_a_folder_without_it_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "train.py").touch()
        (tmp_path / "other").mkdir()
        with pytest.raises(click.UsageError, match="is not in --working-dir"):
            script(str(tmp_path / "train.py"), [], str(tmp_path / "other"))

    def test_no_script(self, tmp_path: Path) -> None:
        with pytest.raises(click.UsageError, match="there is no script"):
            script(str(tmp_path / "none.py"), [], None)

    def test_a_script_in_code_from_elsewhere_need_not_be_here(self) -> None:
        url = "https://example.com/code.zip"
        assert script("src/train.py", ["1"], url) == ("python src/train.py 1", url)

    @pytest.mark.parametrize("place", ["home", "temporary"])
    def test_a_home_folder_is_never_uploaded_unasked(
        self, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if place == "home":
            monkeypatch.setenv("HOME", str(tmp_path))
        else:
            monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
        (tmp_path / "train.py").touch()
        assert script(str(tmp_path / "train.py"), [], None) == ("python train.py", None)
        assert script(str(tmp_path / "train.py"), [], str(tmp_path)) == ("python train.py", str(tmp_path))


def test_options_of_ones_own_program_are_pointed_behind_the_dashes() -> None:
    from heliostat.cli.framework import Program

    @click.command(cls=Program)
    @click.argument("words", nargs=-1)
    @click.option("--name")
    def command(words: tuple[str, ...], name: str | None) -> None:
        click.echo(repr((words, name)))

    wrong = CliRunner().invoke(command, ["python", "main.py", "--epochs", "3"])
    assert wrong.exit_code == 2
    assert "Options of your own program go behind --" in wrong.output
    right = CliRunner().invoke(command, ["--name", "x", "--", "python", "main.py", "--epochs", "3", "--", "y"])
    assert right.output.strip() == "(('python', 'main.py', '--epochs', '3', '--', 'y'), 'x')"
