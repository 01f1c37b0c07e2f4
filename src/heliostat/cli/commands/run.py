"""``heliostat run``: a script of this machine on a cluster of its own."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from .. import job_options
from ..app import App, pass_app, shared_options
from ..framework import Program


@click.command(
    cls=Program,
    examples="""
        heliostat run train.py --workers 2
        heliostat run train.py --workers 2 --cpu 2 --memory 4Gi --deadline 2h -- --epochs 3
        heliostat run --requirements requirements.txt --env MODE=test train.py
        heliostat run scripts/train.py --working-dir . --retries 2 --retry-on infrastructure
        heliostat run train.py --cluster training
    """,
)
@click.argument("script", metavar="SCRIPT", type=click.Path())
@click.argument("words", metavar="[[--] ARGS...]", nargs=-1)
@job_options.job_options
@shared_options
@pass_app
def command(app: App, /, script: str, words: tuple[str, ...], **options: Any) -> None:
    """Run a Python script on a Ray cluster made for it, and show its output.

    The script's folder is uploaded, and the script starts in it; with --working-dir that folder instead, as in
    "--working-dir ." for a script in a folder below. Options of the script itself go behind --.

    The exit code is the script's own: 124 after --deadline, 143 when it was cancelled, 125 when it failed before or
    without an exit code. Ctrl-C asks whether to cancel it; where nobody can be asked, it goes on. SIGTERM cancels it.
    """
    from ..submitting import alone, follow_to_the_end, refuse_documents, submitted

    refuse_documents(app, "run")
    entrypoint, folder = job_options.script(script, words, options["working_dir"])
    name = options["name"] or Path(script).name[:64]
    given = job_options.request(options | {"working_dir": folder, "name": name})
    with app.client() as client:
        with nullcontext(folder) if folder is not None else alone(app, script) as working_dir:
            job = submitted(app, client, entrypoint, given | {"working_dir": working_dir})
        follow_to_the_end(app, client, job, log=True, ends_with_us=True)
