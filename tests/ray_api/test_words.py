"""Sentences out of Ray's texts, without secrets."""

from __future__ import annotations

import json

import pytest

from heliostat.ray_api.words import LONGEST, masked, refusal, sentence, without_echo

ENDED = "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\n"
ANSWER = """Traceback (most recent call last):
  File "/opt/ray/dashboard/modules/job/job_head.py", line 400, in submit_job
    resp = await job_agent_client.submit_job_internal(submit_request)
RuntimeError: Request failed with status code 400: Traceback (most recent call last):
  File "/opt/ray/dashboard/modules/job/job_agent.py", line 40, in submit_job
    raise ValueError(error_message)
ValueError: Invalid label selector value: in(
.
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Job is currently running.", "Job is currently running."),
        ("Job entrypoint command failed with exit code 7. No logs available.", "its entry point ended with exit code 7"),
        (ENDED + "one\ntwo\n\n", "its entry point ended with exit code 1; its last line: two"),
        (
            ENDED + 'Traceback (most recent call last):\n  File "a.py"\nValueError: boom\nray is shut down\n',
            "its entry point ended with exit code 1: ValueError: boom ray is shut down",
        ),
        (ENDED + "\x1b[31mKeyError: 'a'\x1b[0m\n", "its entry point ended with exit code 1: KeyError: 'a'"),
        (
            "runtime_env setup failed: Failed to set up runtime environment.\nTraceback (most recent call last):\n  File\n"
            "ERROR: No matching distribution found for no-such\n\nray.SubprocessError: Run cmd[9] failed",
            "runtime_env setup failed: Failed to set up runtime environment: ERROR: No matching distribution found for no-such",
        ),
        (
            "Failed to start supervisor actor rj-1: '/x is not a valid path.'. Full traceback:\nTraceback (most",
            "Failed to start supervisor actor rj-1: '/x is not a valid path.'",
        ),
        ("Traceback (most recent call last):\n  File\nOSError: list too long", "OSError: list too long"),
        (
            "Job supervisor actor died: The actor died unexpectedly before finishing this task.\n\tclass_name: JobSupervisor\n"
            "\tpid: 20755\nThe actor is dead because its worker process has died. Some common causes include: (1) the\n"
            "process was killed by the OOM killer",
            "Job supervisor actor died: The actor died unexpectedly before finishing this task. The actor is dead because its "
            "worker process has died.",
        ),
        (
            "runtime_env setup failed: Failed to set up runtime environment.\nCould not create\n[Node] Traceback (most recent "
            "call last):\n  File\nOSError: Failed to download runtime_env file package gcs://a.zip from the GCS",
            "runtime_env setup failed: Failed to set up runtime environment: OSError: Failed to download runtime_env file "
            "package gcs://a.zip from the GCS",
        ),
        (
            ENDED + "2026-11-21 14:04:50,196\tINFO job_manager.py:581 -- Runtime env is setting up.\nlast\n",
            "its entry point ended with exit code 1; its last line: last",
        ),
        ("", ""),
    ],
)  # fmt: skip
def test_sentences(text: str, told: str) -> None:
    assert sentence(text) == told


def test_a_sentence_is_short_whatever_the_log() -> None:
    told = sentence(ENDED + "ValueError: " + "x" * 20_000)
    assert len(told) == LONGEST and told.endswith("xxx...")


def test_a_refusal_is_the_innermost_error() -> None:
    assert refusal(ANSWER) == "Invalid label selector value: in("
    assert refusal("TypeError: entrypoint must be a string") == "entrypoint must be a string"


def test_values_of_environment_variables_are_masked_in_each_form() -> None:
    env = {"env_vars": {"A": 'quoted "secret"', "B": "1", "C": "first line\nsecond line", "D": "quoted"}}
    text = 'x quoted "secret" y "quoted \\"secret\\"" z first line 1 then second line\\n'
    assert masked(text, env) == 'x *** y "***" z *** 1 then ***\\n'
    assert masked(text, None) == masked(text, {"env_vars": None}) == text


def test_credentials_in_urls_are_masked() -> None:
    text = "cannot get https://user:pass@host/a.zip?X-Signature=abc&b=c, nor 's3://bucket/key'"
    assert masked(text, {}) == "cannot get https://***@host/a.zip?*** nor 's3://bucket/key'"


def test_the_entry_point_is_no_word_of_the_jobs_own_wherever_ray_writes_it() -> None:
    entrypoint = "python -c 'raise MemoryError'\necho (done"
    text = f"{ENDED}last words\nRunning entrypoint for job rj-1: {entrypoint}\n"
    assert (
        sentence(without_echo(text, entrypoint)) == "its entry point ended with exit code 1; its last line: last words"
    )
    assert without_echo(text, "another") == text


def test_a_kill_is_explained() -> None:
    text = "Job entrypoint command failed with exit code -9, last available logs (truncated to 20,000 chars):\n"
    assert sentence(text) == "its entry point ended with exit code -9 (killed, as when memory runs out)"


def test_an_error_in_a_log_of_json_is_found() -> None:
    """As tasks of Flyte write theirs: the traceback in one line of several, indented, before lines that say less."""
    error = "ValueError: 'se\\ncr'"
    trace = (
        f"Trace:\n\n    Traceback (most recent call last):\n        raise error\n    {error}\n\nMessage:\n\n    {error}"
    )
    rows = ["!! Begin User Error !!", trace, "!! End Error !!"]
    log = "".join(json.dumps({"levelname": "ERROR", "message": row}) + "\n" for row in rows)
    assert sentence(ENDED + log) == f"its entry point ended with exit code 1: {error}"
    secret = {"env_vars": {"A": "se\ncr"}}
    assert masked(sentence(masked(ENDED + log, secret)), secret).endswith("ValueError: '***'")
    broken = "{" * 5000 + "\n[]\n" + '{"message": 1}\n{"message": "done"}'
    assert sentence(ENDED + broken).endswith('its last line: {"message": "done"}')
