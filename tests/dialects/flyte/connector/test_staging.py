"""Tasks that cannot reach Flyte's bucket: inputs and code are brought to them, outputs back (Flyte contract, section 5.5)."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flyteidl.core import literals_pb2

from heliostat.dialects.flyte.runs import Phase
from heliostat.dialects.flyte.runs.staging import OUTPUTS_LIMIT, rewritten, value_of

from .conftest import Serve
from .propeller import Propeller, Served, template, write_error, write_outputs

STAGED = Served({"staging": True})
ARGS = (
    "pyflyte-fast-execute", "--additional-distribution", "memory://bucket/fast.tar.gz", "--dest-dir", ".", "--",
    "pyflyte-execute", "--inputs", "s3://b/inputs.pb", "--output-prefix", "s3://b/0", "--raw-output-data-prefix", "s3://raw",
    "--checkpoint-path", "s3://raw/_flytecheckpoints", "--prev-checkpoint", '""', "--resolver", "r", "--", "task-module", "m",
    "--inputs", "of the user's",
)  # fmt: skip


def command(propeller: Propeller, meta: bytes) -> list[str]:
    """The words of the task's own command."""
    for line in propeller.job(meta).submission.entrypoint.splitlines():
        if line.startswith("pyflyte-"):
            return shlex.split(line.removesuffix(" &"))
    raise AssertionError


def place(words: list[str], option: str) -> Path:
    found = value_of(words, option)
    assert found is not None and found.startswith("file:///")
    return Path(urlsplit(found).path)


def request(propeller: Propeller, args: Any = ARGS, **more: Any) -> Any:
    made = propeller.request(template(args=args), **more)
    made.output_prefix = f"s3://nobody/{more.get('node', 'n0')}"
    made.inputs.literals["x"].scalar.primitive.integer = 42
    return made


async def test_inputs_code_and_outputs(serve: Serve) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/fast.tar.gz", b"the code")
    async with serve(STAGED) as propeller:
        asked = request(propeller)
        meta = await propeller.running(asked)
        words = command(propeller, meta)
        assert words[-4:] == ["task-module", "m", "--inputs", "of the user's"]
        given = literals_pb2.LiteralMap.FromString(place(words, "--inputs").read_bytes())
        assert given == asked.inputs
        assert place(words, "--additional-distribution").read_bytes() == b"the code"
        data = propeller.up.home / "flyte"
        for option in ("--output-prefix", "--raw-output-data-prefix", "--checkpoint-path"):
            assert place(words, option).is_relative_to(data)
        assert await propeller.create(asked) == meta
        written = write_outputs(place(words, "--output-prefix"), o0=7)
        propeller.job(meta).finish(0)
        done = await propeller.until(meta, Phase.SUCCEEDED)
        assert done.outputs == literals_pb2.LiteralMap.FromString(written)


async def test_endings(serve: Serve) -> None:
    args = ("pyflyte-execute", "--inputs", "x", "--output-prefix", "y")

    async def ended(node: str, outputs: tuple[str, ...], write: Any) -> Any:
        made = request(propeller, args, node=node)
        made.template.interface.outputs.variables.clear()
        for name in outputs:
            made.template.interface.outputs.variables[name].description = name
        meta = await propeller.running(made)
        write(place(command(propeller, meta), "--output-prefix"))
        propeller.job(meta).finish(0)
        return await propeller.until(meta, Phase.SUCCEEDED, Phase.FAILED, Phase.RETRYABLE_FAILED)

    def broken(prefix: Path) -> None:
        prefix.mkdir(parents=True)
        (prefix / "outputs.pb").write_bytes(b"\xff\xff")

    def large(prefix: Path) -> None:
        prefix.mkdir(parents=True)
        (prefix / "outputs.pb").write_bytes(bytes(OUTPUTS_LIMIT + 1))

    async with serve(STAGED) as propeller:
        failed, void, unreadable, long, silent = await asyncio.gather(
            ended("n1", ("o0",), write_error),
            ended("n2", (), write_outputs),
            ended("n3", ("o0",), broken),
            ended("n4", ("o0",), large),
            ended("n5", ("o0",), lambda prefix: None),
        )
    assert (failed.phase, failed.message) == (Phase.FAILED, "[USER:ValueError] boom")
    assert void.phase == Phase.SUCCEEDED and not void.HasField("outputs")
    assert long.agent_error.code == "OutputsTooLarge"
    assert unreadable.agent_error.code == silent.agent_error.code == "OutputsNotFound"


def test_options_are_changed_once_and_before_what_is_the_users() -> None:
    assert rewritten(("a", "--inputs", "b", "--", "--inputs", "c"), {"--inputs": "z", "--none": "y"}) == (
        "a", "--inputs", "z", "--", "--inputs", "c",
    )  # fmt: skip
    assert rewritten(("--inputs",), {"--inputs": "z"}) == ("--inputs",)
    assert value_of(("a", "--x"), "--x") is None and value_of(("--x", "b"), "--x") == "b"
