"""The real package, in a process of its own that answers questions by lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..kit.environment import flytekit_process
from . import answers

Json = dict[str, Any]
Ask = Callable[[Json], Json]


@pytest.fixture(scope="session")
def upstream(flyte_environment: Path) -> Iterator[Ask]:
    """What the real package says to a question (see :mod:`answers`)."""
    with flytekit_process(flyte_environment, answers.__file__) as process:
        assert process.stdin is not None and process.stdout is not None

        def ask(question: Json) -> Json:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, "the real package's process has ended; its error output tells why"
            answered: Json = json.loads(line)
            return answered

        yield ask
        process.stdin.close()
