"""Jobs from the command line, against a real server with the simulated engine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from heliostat.engines.simulated import World
from heliostat.testing.harness import HarnessServer

from .conftest import Answer, Type
from .test_cluster import Watch

SECRET = "s3cr3t-value"


@pytest.fixture
def documents(server: HarnessServer, type_: Type) -> Callable[..., Any]:
    """What a command answers as JSON; it must not fail."""

    def asked(*words: str) -> Any:
        answer = type_("-o", "json", *words)
        assert answer.code == 0, answer.err
        return json.loads(answer.out)

    return asked


class AllFail(dict[str, str]):
    """No cluster starts, whatever its name."""

    def get(self, key: str, default: object = None) -> str:  # type: ignore[override]
        return "no space left on the device"


def until(answer: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 30.0) -> Any:
    """What is answered once it is good."""
    deadline = time.monotonic() + seconds
    while True:
        found = answer()
        if good(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def submitted(answer: Answer) -> str:
    assert answer.code == 0, answer.err
    return answer.out.strip()


class TestSubmit:
    def test_it_prints_the_id_and_how_to_follow(self, server: HarnessServer, type_: Type) -> None:
        answer = type_("job", "submit", "--workers", "1", "--", "echo", "hello")
        assert answer.code == 0, answer.err
        assert answer.out.startswith("rj-") and answer.out.count("\n") == 1
        assert f"heliostat job logs {answer.out.strip()} --follow" in answer.err

    def test_followed_to_its_end_the_log_is_on_stdout(self, server: HarnessServer, type_: Type) -> None:
        answer = type_("job", "submit", "--name", "nightly", "--follow", "--", "echo one; echo two")
        assert answer.code == 0, answer.err
        assert answer.out.splitlines()[-2:] == ["one", "two"]
        assert "nightly" in answer.err and "succeeded" in answer.err

    @pytest.mark.parametrize(("command", "code"), [("exit 3", 3), ("exit 7", 7), ("kill -9 $$", 137), ("true", 0)])
    def test_the_exit_code_is_the_commands_own(
        self, command: str, code: int, server: HarnessServer, type_: Type
    ) -> None:
        answer = type_("job", "submit", "--follow", "--", command)
        assert answer.code == code, answer.err

    def test_waited_for_the_job_itself_is_printed(self, server: HarnessServer, type_: Type) -> None:
        answer = type_("job", "submit", "--wait", "-o", "json", "--", "exit 4")
        assert answer.code == 4
        document = json.loads(answer.out)
        assert (document["status"], document["exit_code"]) == ("Failed", 4)

    def test_a_deadline_ends_it_with_124(self, server: HarnessServer, type_: Type) -> None:
        answer = type_("job", "submit", "--deadline", "2s", "--follow", "--", "sleep 600")
        assert answer.code == 124
        assert "ran out of time" in answer.err

    def test_a_cluster_that_cannot_start_ends_it_with_125(
        self, server: HarnessServer, world: World, type_: Type
    ) -> None:
        world.failing = AllFail()
        answer = type_("job", "submit", "--follow", "--", "true")
        assert (answer.code, answer.out) == (125, "")
        assert "no space left on the device" in answer.err

    def test_a_cluster_that_does_not_run_is_to_be_started_first(
        self, documents: Callable[..., Any], type_: Type
    ) -> None:
        documents("cluster", "create", "training", "--no-start")
        answer = type_("job", "submit", "--cluster", "training", "--", "true")
        assert answer.code == 4
        assert "is Stopped" in answer.err and "start it first" in answer.err

    def test_on_a_cluster_that_is_there(self, documents: Callable[..., Any], type_: Type) -> None:
        documents("cluster", "create", "training")
        job = documents("job", "submit", "--cluster", "training", "--", "echo here")
        assert job["cluster"]["name"] == "training" and not job["cluster"]["temporary"]
        assert [row["name"] for row in documents("cluster", "list")] == ["training"]

    def test_everything_that_is_asked_for_arrives(self, documents: Callable[..., Any], tmp_path: Path) -> None:
        (tmp_path / "env.yaml").write_text("env_vars: {FROM_FILE: '1'}\n")
        words = (
            f"--name nightly --runtime-env {tmp_path}/env.yaml --env A=1 --pip emoji --metadata m=1 --tag team=vision "
            "--entrypoint-cpus 0.5 --entrypoint-memory 1Gi --deadline 2h --retries 3 --retry-on infrastructure --ttl 10m "
            "--workers 2 --cpu 1"
        )
        made = documents("job", "submit", *words.split(), "--", "echo", "a b")
        assert made["name"] == "nightly"
        assert made["entrypoint"] == "echo 'a b'"
        assert made["runtime_env"] == {"env_vars": {"FROM_FILE": "******", "A": "******"}, "pip": ["emoji"]}
        assert (made["metadata"], made["tags"]) == ({"m": "1"}, {"team": "vision"})
        assert made["resources"] == {"cpus": 0.5, "gpus": None, "memory": "1Gi", "custom": {}}
        assert (made["deadline_seconds"], made["ttl_seconds"], made["shutdown_after_finish"]) == (7200.0, 600.0, True)
        assert made["retries"] == {"limit": 3, "user_error": 0, "out_of_memory": 0, "infrastructure": None}
        assert made["cluster_spec"]["workers"][0]["replicas"] == 2

    def test_the_values_of_variables_are_printed_nowhere(self, server: HarnessServer, type_: Type) -> None:
        words = ("--workers", "1", "--worker-group", f"name=w,env.INNER={SECRET}")
        told = [type_("job", "submit", "--env", f"KEY={SECRET}", *words[2:], "--follow", "--", "true")]
        told.append(type_("job", "submit", "--env", f"KEY={SECRET}", "--", "true"))
        id = submitted(told[-1])
        for form in ("table", "json", "yaml"):
            told += [type_("job", "list", "-o", form), type_("job", "get", id, "-o", form)]
            told += [type_("job", name, id, "-o", form) for name in ("why", "events")]
        told.append(type_("job", "get", id, "--field", "runtime_env"))
        for answer in told:
            assert answer.code == 0, answer.err
            assert SECRET not in answer.out + answer.err
        assert '"KEY": "******"' in told[-1].out

    @pytest.mark.parametrize(
        ("words", "code", "told"),
        [
            (("job", "submit", "--follow", "-o", "json", "--", "true"), 2, "--wait"),
            (("job", "submit", "--cluster", "training", "--ttl", "1m", "--", "true"), 2, "--ttl is for a cluster made"),
            (("job", "submit", "--keep-cluster", "--ttl", "1m", "--", "true"), 2, "take one"),
            (
                ("job", "submit", "--requirements", "/no.txt", "--", "true"),
                2,
                "/no.txt cannot be read: No such file or",
            ),
            (("job", "submit", "--cluster", "nobody", "--", "true"), 3, "heliostat cluster list"),
            (("job", "submit", "--cpu", "lots", "--", "true"), 2, "cluster_spec.head.cpu"),
            (("job", "submit", "--name", "x" * 65, "--", "true"), 2, "name: must have at most 64 characters"),
            (("job", "submit", "--name", "", "--", "true"), 2, "name: must not be empty"),
            (("job", "submit", "--working-dir", "/nowhere/at/all", "--", "true"), 2, "/nowhere/at/all"),
            (("job", "submit", "--working-dir", "ftp://host/x.zip", "--", "true"), 2, "working_dir"),
            (("job", "submit"), 2, "COMMAND"),
            (("job", "get", "nobody"), 3, "heliostat job list"),
            (("job", "logs", "nobody"), 3, "nobody"),
            (("job", "logs", "x", "--list", "--tail", "3"), 2, "--tail"),
            (("job", "logs", "x", "-o", "json"), 2, "-o is for --list"),
            (("cluster", "logs", "x", "--list", "--grep", "a"), 2, "--list"),
            (("run", "/nowhere/x.py"), 2, "there is no script"),
        ],
    )
    def test_what_is_wrong_is_told(
        self, words: tuple[str, ...], code: int, told: str, server: HarnessServer, type_: Type
    ) -> None:
        answer = type_(*words)
        assert answer.code == code, answer.err
        assert answer.out == ""
        assert told in answer.err
        assert "Traceback" not in answer.err


class TestLife:
    def test_list_get_why_events_cancel_delete(self, documents: Callable[..., Any], type_: Type) -> None:
        id = submitted(type_("job", "submit", "--name", "long", "--", "sleep 600"))
        until(lambda: documents("job", "get", "long"), lambda job: job["status"] == "Running")
        other = submitted(type_("job", "submit", "--name", "short", "--", "true"))
        until(lambda: documents("job", "get", other), lambda job: job["settled"])
        assert [row["id"] for row in documents("job", "list")] == [other, id]
        assert [row["id"] for row in documents("job", "list", "--status", "running")] == [id]
        assert [row["id"] for row in documents("job", "list", "--name", "lon")] == [id]
        assert len(documents("job", "list", "--limit", "1")) == 1
        assert "long" in type_("job", "list").out
        assert "running" in type_("job", "why", "long").out
        assert documents("job", "events", "long")[0]["reason"] == "Submitted"
        assert type_("job", "delete", "long").code == 4
        cancelled = documents("job", "cancel", "long")
        assert cancelled["status"] == "Cancelled"
        assert "had ended already" in type_("job", "cancel", id).err
        until(lambda: documents("job", "get", id), lambda job: job["settled"])
        assert documents("job", "delete", id) == {"id": id, "name": "long", "deleted": True}
        assert type_("job", "get", id).code == 3

    def test_clusters_of_jobs_are_listed_when_asked_for(self, documents: Callable[..., Any], type_: Type) -> None:
        id = submitted(type_("job", "submit", "--", "sleep 600"))
        assert documents("cluster", "list") == []
        assert [row["job"] for row in documents("cluster", "list", "--all")] == [id]
        documents("job", "cancel", id)

    def test_a_cluster_that_was_kept_goes_with_a_cancel(self, documents: Callable[..., Any], type_: Type) -> None:
        id = submitted(type_("job", "submit", "--keep-cluster", "--", "true"))
        until(lambda: documents("job", "get", id), lambda job: job["status"] == "Succeeded" and job["logs_complete"])
        refused = type_("job", "delete", id)
        assert refused.code == 4 and "cancel it first" in refused.err
        assert "the cluster that it kept is being removed" in type_("job", "cancel", id).err
        until(lambda: documents("job", "get", id), lambda job: job["settled"])
        assert type_("job", "delete", id).out == f"{id} is deleted\n"

    def test_not_waited_for_a_cancel_goes_on(self, documents: Callable[..., Any], type_: Type) -> None:
        id = submitted(type_("job", "submit", "--", "sleep 600"))
        answer = type_("job", "cancel", id, "--no-wait")
        assert answer.code == 0
        until(lambda: documents("job", "get", id), lambda job: job["status"] == "Cancelled")

    def test_a_job_is_watched_to_its_end(self, server: HarnessServer, type_: Type) -> None:
        id = submitted(type_("job", "submit", "--", "echo hi"))
        answer = type_("job", "get", id, "--watch", "-o", "json")
        assert answer.code == 0
        assert json.loads(answer.out.splitlines()[-1])["status"] == "Succeeded"
        assert yaml.safe_load(type_("job", "get", id, "-o", "yaml").out)["id"] == id

    def test_lists_are_polled_for_what_changed(self, server: HarnessServer, type_: Type) -> None:
        with Watch("job", "list", "--watch", "-o", "json") as watch:
            id = submitted(type_("job", "submit", "--env", f"KEY={SECRET}", "--", "sleep 600"))
            row = json.loads(watch.line())
            assert row["id"] == id
            assert SECRET not in json.dumps(row)
            assert watch.end() == 130
        type_("job", "cancel", id)

    def test_ids_are_completed(
        self, server: HarnessServer, type_: Type, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from heliostat.cli.main import run

        id = submitted(type_("job", "submit", "--name", "nightly", "--", "true"))
        monkeypatch.setenv("_HELIOSTAT_COMPLETE", "bash_complete")
        for begun, offered in (("", [id]), ("rj-", [id]), ("ni", ["nightly"])):
            monkeypatch.setenv("COMP_WORDS", f"heliostat job get {begun}")
            monkeypatch.setenv("COMP_CWORD", "3")
            assert run([]) == 0
            assert [line.partition(",")[2] for line in capsys.readouterr().out.splitlines()] == offered


class TestLogs:
    @pytest.fixture
    def job(self, documents: Callable[..., Any], type_: Type) -> str:
        """A job that has printed four lines and is all over."""
        id = submitted(type_("job", "submit", "--name", "talker", "--", "echo a1; echo b2; echo a3; echo b4"))
        until(lambda: documents("job", "get", id), lambda job: job["settled"])
        return id

    def test_whole_tail_and_grep(self, job: str, type_: Type) -> None:
        assert type_("job", "logs", job).out.endswith("a1\nb2\na3\nb4\n")
        assert type_("job", "logs", "talker", "--tail", "2").out == "a3\nb4\n"
        assert type_("job", "logs", job, "--grep", "^a[0-9]$").out == "a1\na3\n"
        assert type_("job", "logs", job, "--follow", "--tail", "1").out == "b4\n"
        assert type_("job", "logs", job, "--attempt", "1").out == type_("job", "logs", job).out
        nothing = type_("job", "logs", job, "--grep", "nowhere")
        assert (nothing.code, nothing.out) == (0, "")

    def test_listed_and_by_name(self, job: str, documents: Callable[..., Any], type_: Type) -> None:
        rows = documents("job", "logs", job, "--list")
        names = [row["name"] for row in rows]
        assert f"{job}_driver.log" in names
        node = next(name for name in names if name.startswith("nodes/"))
        assert type_("job", "logs", job, "--file", f"{job}_driver.log").out == type_("job", "logs", job).out
        assert type_("job", "logs", job, "--file", node).out
        assert f"{job}_driver.log" in type_("job", "logs", job, "--list").out

    def test_errors(self, job: str, type_: Type) -> None:
        assert type_("job", "logs", job, "--attempt", "9").code == 3
        assert type_("job", "logs", job, "--file", "nothing.log").code == 3
        answer = type_("job", "logs", job, "--grep", "(")
        assert (answer.code, answer.out) == (2, "")
        assert "grep" in answer.err

    def test_node_logs_of_a_run_that_has_ended(self, documents: Callable[..., Any], type_: Type) -> None:
        documents("cluster", "create", "training")
        submitted(type_("job", "submit", "--cluster", "training", "--wait", "--", "echo needle"))
        documents("cluster", "stop", "training")
        rows = until(lambda: documents("cluster", "logs", "training"), bool)
        name, owner = rows[0]["name"], rows[0]["owner"]
        text = type_("cluster", "logs", "training", "--file", name).out
        assert text
        assert type_("cluster", "logs", "training", "--file", name, "--instance", owner).out == text
        found = type_("cluster", "logs", "training", "--grep", ".").out
        assert f"{name}: {text.splitlines()[0]}" in found.splitlines()
        assert type_("cluster", "logs", "training", "--file", "nothing").code == 3
        assert documents("cluster", "logs", "training", "--instance", "ray-other") == []


class TestRun:
    @pytest.fixture
    def script(self, tmp_path: Path) -> Path:
        """The simulated engine does not read it: its entry point, ``python ...``, succeeds."""
        folder = tmp_path / "code"
        folder.mkdir()
        (folder / "train.py").write_text("print('hello')\n")
        return folder / "train.py"

    def test_a_script_on_a_cluster_of_its_own(self, script: Path, documents: Callable[..., Any], type_: Type) -> None:
        answer = type_("run", str(script), "--workers", "1", "--", "--epochs", "3 and 4")
        assert answer.code == 0, answer.err
        job = documents("job", "list")[0]
        assert job["entrypoint"] == "python train.py --epochs '3 and 4'"
        assert job["name"] == "train.py"
        assert documents("job", "get", job["id"])["working_dir"].startswith("package://")
        until(lambda: documents("cluster", "list", "--all"), lambda rows: rows == [])

    def test_its_output_is_no_document(self, script: Path, server: HarnessServer, type_: Type) -> None:
        assert type_("run", str(script), "-o", "json").code == 2
