"""Following a job: its progress and its log in order, its end as an exit code, and what Ctrl-C and SIGTERM do."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from heliostat.cli.app import App
from heliostat.cli.following import Follower, Terminated, exit_code, finished
from heliostat.cli.job_progress import Story
from heliostat.cli.progress import LineBoard
from heliostat.client.decode import decode
from heliostat.client.errors import NotCollected, NotFound, Unreachable
from heliostat.client.models import JobInfo

from . import fakes

Step = dict[str, Any] | str | Callable[[], None] | Exception
END = fakes.ended("Succeeded", "its entry point ended with exit code 0")


def info(document: dict[str, Any]) -> JobInfo:
    return decode(JobInfo, document)


class Play:
    """A server that tells one story, one line after the other: documents, pieces of log, errors, and what happens here."""

    def __init__(self, *story: Step) -> None:
        self._story = story
        self._turn = 0
        self._moved = threading.Condition()
        self.cancelled: list[str] = []
        self.first = next(step for step in story if isinstance(step, dict))
        self.jobs = self

    def watch(self, job: str) -> Iterator[fakes.ToldJob]:
        for step in self._mine(lambda step: not isinstance(step, str)):
            if isinstance(step, dict):
                yield fakes.ToldJob(step)

    def follow_log(self, job: str, **which: Any) -> Iterator[str]:
        yield from (step for step in self._mine(lambda step: isinstance(step, str)) if isinstance(step, str))

    def cancel(self, job: str) -> None:
        self.cancelled.append(job)

    def _mine(self, wanted: Callable[[Step], bool]) -> Iterator[Step]:
        for index, step in enumerate(self._story):
            if wanted(step):
                with self._moved:
                    assert self._moved.wait_for(lambda index=index: self._turn == index, timeout=20)
                if isinstance(step, Exception):
                    self._next(index)
                    raise step
                if callable(step):
                    step()
                try:
                    yield step
                finally:
                    self._next(index)

    def _next(self, index: int) -> None:
        with self._moved:
            self._turn = index + 1
            self._moved.notify_all()

    def follower(self, *, asks: bool = False, **options: Any) -> Follower:
        client: Any = self
        return Follower(App(), client, client_job(self.first), asks=lambda: asks, **options)


def client_job(document: dict[str, Any]) -> Any:
    return fakes.ToldJob(document)


class Keyboard(io.StringIO):
    """What a person types at the question; ``press`` is Ctrl-C, and returns when the question was answered."""

    def __init__(self, answer: str, *, again: bool = False) -> None:
        super().__init__(answer)
        self._again = again
        self._asked = threading.Event()

    def press(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert self._asked.wait(20)

    def readline(self, *args: Any) -> str:
        self._asked.set()
        if self._again:
            os.kill(os.getpid(), signal.SIGINT)
        return super().readline()


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Keyboard]:
    def given(answer: str, **options: bool) -> Keyboard:
        made = Keyboard(answer, **options)
        monkeypatch.setattr(sys, "stdin", made)
        return made

    return given


def sent(number: signal.Signals) -> Callable[[], None]:
    """A signal that ends the following: what comes after it comes too late."""

    def send() -> None:
        os.kill(os.getpid(), number)
        threading.Event().wait(20)

    return send


STARTED: tuple[Step, ...] = (
    fakes.waiting("queued"),
    fakes.waiting("environment", "installing ray"),
    fakes.waiting("cluster", "2 workers to come", up=1),
    fakes.waiting("ray", "it is handed to Ray", up=3),
    fakes.job(),
)


def test_progress_is_on_stderr_and_the_log_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    end = Play(*STARTED, "one\n", "two", " and a half\n", END).follower().follow()
    told = capsys.readouterr()
    assert told.out == "one\ntwo and a half\n"
    words = [line.split()[0] for line in told.err.splitlines()]
    assert words == [
        "nightly",
        *("queued", "queued", "environment", "environment", "cluster", "cluster", "ray", "ray"),
        "running",
    ]
    assert (end.status, exit_code(end)) == ("Succeeded", 0)


def test_a_log_that_comes_after_the_end_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    Play(fakes.job(), END, "late\n").follower().follow()
    assert capsys.readouterr().out == "late\n"


def test_a_second_attempt_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    again = fakes.waiting(
        "queued", "attempt 1 failed", attempts=[fakes.attempt(status="FAILED", ended_at="2026-03-01T11:59:10.000Z")]
    )
    Play(fakes.waiting("queued"), fakes.job(), "first\n", again, fakes.job(), "second\n", END).follower().follow()
    told = capsys.readouterr()
    assert told.out == "first\nsecond\n"
    assert "attempt 2" in told.err


def test_progress_ends_with_the_first_words_of_an_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    waits = fakes.waiting("ray", "it is handed to Ray", attempts=[fakes.attempt(status="PENDING")])
    prepares = waits | {"message": "its environment is set up"}
    Play(
        fakes.waiting("queued"), waits, "Runtime env is setting up.\n", prepares, fakes.job(), "one\n", END
    ).follower().follow()
    told = capsys.readouterr()
    assert told.out == "Runtime env is setting up.\none\n"
    assert told.err.count("nightly") == 1


def test_without_its_log_nothing_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    Play(*STARTED, END).follower(log=False).follow()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [Unreachable("nothing answers"), NotFound("job rj-1")])
def test_what_goes_wrong_while_following_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        Play(fakes.job(), error).follower(log=False).follow()


def test_a_job_whose_log_is_not_collected_is_followed_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    class Silent(Play):
        def follow_log(self, job: str, **which: Any) -> Iterator[str]:
            raise NotCollected("log collection is switched off for this cluster")

    end = Silent(fakes.job(), END).follower().follow()
    told = capsys.readouterr()
    assert (told.out, end.status) == ("", "Succeeded")
    assert "log collection is switched off for this cluster" in told.err


def test_a_server_that_is_gone_ends_the_looking_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unreachable):
        Play(fakes.job(), Unreachable("nothing answers")).follower(log=False).follow()
    assert f"goes on; follow it with: heliostat job logs {fakes.JOB} --follow" in capsys.readouterr().err


def test_a_log_larger_than_what_may_wait_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = [f"{number}\n" for number in range(1000)]
    Play(fakes.job(), *pieces, END).follower().follow()
    assert capsys.readouterr().out == "".join(pieces)


class TestInterrupts:
    def test_no_lets_it_go_on(self, keyboard: Callable[..., Keyboard], capsys: pytest.CaptureFixture[str]) -> None:
        play = Play(fakes.job(), "a\n", keyboard("\n").press, "b\n", END)
        assert play.follower(asks=True).follow().status == "Succeeded"
        told = capsys.readouterr()
        assert told.out == "a\nb\n"
        assert "Cancel the job? [y/N]" in told.err
        assert play.cancelled == []

    def test_yes_cancels_and_waits_for_the_end(
        self, keyboard: Callable[..., Keyboard], capsys: pytest.CaptureFixture[str]
    ) -> None:
        end = fakes.ended("Cancelled", "cancelled; Ray has stopped it")
        play = Play(fakes.job(), keyboard("y\n").press, "last words\n", end)
        assert exit_code(play.follower(asks=True).follow()) == 143
        assert play.cancelled == [fakes.JOB]
        assert capsys.readouterr().out == "last words\n"

    def test_a_second_one_leaves_it_running(
        self, keyboard: Callable[..., Keyboard], capsys: pytest.CaptureFixture[str]
    ) -> None:
        press = keyboard("y\n", again=True).press
        play = Play(fakes.job(), press, sent(signal.SIGCONT), END)
        with pytest.raises(KeyboardInterrupt):
            play.follower(asks=True).follow()
        assert play.cancelled == []
        assert f"goes on; follow it with: heliostat job logs {fakes.JOB} --follow" in capsys.readouterr().err

    def test_where_nobody_can_be_asked_it_goes_on(self, capsys: pytest.CaptureFixture[str]) -> None:
        play = Play(fakes.job(), sent(signal.SIGINT), END)
        with pytest.raises(KeyboardInterrupt):
            play.follower(asks=False).follow()
        assert play.cancelled == []
        assert "goes on" in capsys.readouterr().err

    @pytest.mark.parametrize(("ends_with_us", "cancelled"), [(True, [fakes.JOB]), (False, [])])
    def test_sigterm(self, ends_with_us: bool, cancelled: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        play = Play(fakes.job(), sent(signal.SIGTERM), END)
        with pytest.raises(Terminated):
            play.follower(ends_with_us=ends_with_us).follow()
        assert play.cancelled == cancelled
        assert fakes.JOB in capsys.readouterr().err

    def test_signals_are_given_back(self) -> None:
        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        Play(fakes.job(), END).follower().follow()
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("Succeeded", 0, 0), ("Failed", 3, 3), ("Failed", 255, 255), ("Failed", -9, 137), ("Failed", None, 125),
        ("Failed", 0, 125), ("Failed", 256, 1), ("Cancelled", None, 143), ("Cancelled", 0, 143), ("Timeout", 1, 124),
    ],
)  # fmt: skip
def test_exit_codes(status: str, code: int | None, expected: int) -> None:
    assert exit_code(info(fakes.ended(status, "so it ended", exit_code=code))) == expected


def test_a_failure_is_told_with_its_cause_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert finished(App(), info(fakes.ended("Failed", "exit code 3\n\nTraceback", exit_code=3))) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"error: nightly ({fakes.JOB}) failed after 1 m 05 s: exit code 3\n  Traceback\n"
        f"  -> heliostat job why {fakes.JOB}\n"
    )


class TestStory:
    def test_steps_with_the_time_that_each_took(self) -> None:
        clock = iter([0.0, 0.0, 1.0, 1.0, 8.0, 8.0]).__next__
        story = Story(clock)
        story.sight(info(fakes.waiting("queued", seconds=2.0)), 0.0)
        story.sight(info(fakes.waiting("cluster", "head first", up=1)), 0.0)
        sight = story.sight(info(fakes.waiting("ray", "it is handed to Ray\nmore")), 0.0)
        assert [(line.step, line.state, line.elapsed, line.detail) for line in sight.lines] == [
            ("queued", "done", 3.0, ""), ("cluster", "done", 7.0, ""), ("ray", "going", 0.0, "it is handed to Ray"),
        ]  # fmt: skip

    def test_nodes_are_counted_while_the_cluster_comes_up(self) -> None:
        assert Story().sight(info(fakes.waiting("cluster", up=1)), 0.0).words == "1 of 3 nodes up"

    def test_the_step_that_failed_is_marked(self) -> None:
        story = Story()
        story.sight(info(fakes.waiting("cluster")), 0.0)
        sight = story.sight(info(fakes.ended("Failed", "its cluster failed")), 0.0)
        assert [(line.step, line.state) for line in sight.lines] == [("cluster", "failed")]
        assert sight.mark == "failed"

    def test_a_pipe_gets_a_line_per_step(self) -> None:
        told: list[str] = []
        with LineBoard("nightly", read=Story().sight, write=told.append) as board:
            for step in STARTED:
                assert isinstance(step, dict)
                board.show(info(step))
        assert [line.split()[0] for line in told][-3:] == ["ray", "ray", "running"]
