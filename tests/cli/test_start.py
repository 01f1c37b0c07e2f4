"""The command line starts fast because it imports little, and stands alone because it imports no server."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "httpx", "rich", "yaml", "pydantic", "pydantic_settings", "sqlalchemy", "fastapi", "uvicorn", "aiohttp", "asyncio",
    "ssl", "cryptography", "structlog", "platformdirs", "importlib.metadata", "heliostat.server", "heliostat.config",
    "heliostat.domain", "heliostat.client.sync.client",
}  # fmt: skip
SERVER = (
    "heliostat.server", "heliostat.domain", "heliostat.store", "heliostat.engines", "heliostat.control",
    "heliostat.services", "heliostat.dialects", "heliostat.api", "heliostat.gateway", "heliostat.config",
)  # fmt: skip


def imported(code: str) -> set[str]:
    """Names of the modules that a fresh interpreter has after running the code."""
    script = f"import sys\nbefore = set(sys.modules)\n{code}\nprint('MODULES', *sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("MODULES "))
    return set(line.split()[1:])


@pytest.mark.parametrize(
    "words", [["--help"], ["cluster", "--help"], ["cluster", "create", "--help"], ["serve", "--help"]]
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    modules = imported(f"from heliostat.cli.main import run\nassert run({words!r}) == 0")
    assert not modules & HEAVY


def test_help_of_the_program_imports_no_command() -> None:
    modules = imported("from heliostat.cli.main import run\nassert run(['--help']) == 0")
    assert not [name for name in modules if name.startswith("heliostat.cli.commands.")]
    assert len(modules) < 130, "each module costs start-up time"


def test_no_command_imports_the_server_before_it_runs() -> None:
    modules = imported(
        "from heliostat.cli.framework import walk\nfrom heliostat.cli.main import root\nlist(walk(root))\n"
        "import heliostat.cli.demo.show, heliostat.cli.watching, heliostat.cli.waiting, heliostat.cli.tables"
    )
    assert "heliostat.cli.commands.serve" in modules
    assert not [name for name in modules if name.startswith(SERVER)]
