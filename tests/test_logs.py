"""Log lines of libraries are lines like our own."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import logging
from heliostat import logs
logs.configure("info", {form!r})
logging.getLogger("uvicorn.error").warning("Invalid %s", "request")
try:
    raise OSError("broken")
except OSError:
    logging.getLogger("asyncio").exception("task failed")
"""


def lines(form: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", SCRIPT.format(form=form)], capture_output=True, text=True, check=True)
    return ran.stderr.splitlines()


def test_a_program_that_reads_json_lines_can_read_them_all() -> None:
    first, second = (json.loads(line) for line in lines("json"))
    assert (first["event"], first["level"], first["logger"]) == ("Invalid request", "warning", "uvicorn.error")
    assert second["event"] == "task failed" and "OSError: broken" in second["exception"]


def test_people_get_lines_for_people() -> None:
    shown = lines("console")
    assert "Invalid request" in shown[0] and shown[-1] == "OSError: broken"
