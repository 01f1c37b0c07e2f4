"""Makes the synchronous client out of the asynchronous one: ``python -m heliostat.client.derive [--check]``.

What both share (requests, answers, errors, retry rules, documents) does no I/O and exists once. What is left, the thin
layer with ``await`` in it, is written once too, in ``aio/``; its synchronous form is the same text with these words
exchanged, so that the two cannot drift, both are type-checked, and a debugger shows plain code in either. It takes
ruff, which puts the result in the house's format.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

NOT_DERIVED = {"__init__.py", "chosen.py"}
_WORDS = (
    (r"\bAsyncGenerator\[(.+?), None\]", r"Generator[\1, None, None]"),
    (r"\bawait ", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\ba(close|closing|read|iter_bytes)\b", r"\1"),
    (r"\basyncio\.to_thread\(([\w.]+), ", r"\1("),
    (r"\bimport asyncio\b", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\basynchronous\b", "synchronous"),
)


def derived(text: str, name: str) -> str:
    """The synchronous form of an asynchronous module."""
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    heading, _, rest = text.partition('"""\n')
    note = f"Derived from ``aio/{name}`` by ``python -m heliostat.client.derive``: change that one."
    text = f'{heading}\n\n{note}\n"""\n{rest}'
    for command in (["check", "--quiet", "--select=I,UP028", "--fix", "--unsafe-fixes"], ["format"]):
        arguments = [sys.executable, "-m", "ruff", *command, f"--stdin-filename=src/heliostat/client/sync/{name}", "-"]
        text = subprocess.run(arguments, input=text, text=True, capture_output=True, check=True).stdout
    return text


def expected() -> dict[Path, str]:
    """Path of every derived module -> what it must hold."""
    here = Path(__file__).parent
    sources = sorted(path for path in (here / "aio").glob("*.py") if path.name not in NOT_DERIVED)
    return {here / "sync" / path.name: derived(path.read_text(), path.name) for path in sources}


def main(arguments: list[str]) -> int:
    stale = [path for path, text in expected().items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path} is not what aio/{path.name} derives to; run: python -m heliostat.client.derive\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(expected()[path])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
