"""``heliostat job submit``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from .. import job_options
from ..app import App, pass_app, shared_options
from ..durations import Duration
from ..framework import Program


@click.command(
    "submit",
    cls=Program,
    examples="""
        heliostat job submit --cluster training --working-dir . -- python main.py --epochs 3
        heliostat job submit --workers 2 --cpu 1 --memory 2Gi --working-dir . --follow -- python main.py
        heliostat job submit --working-dir . --requirements requirements.txt --env MODE=test -- python main.py
        heliostat job submit --secret DB_PASSWORD=db/password --working-dir . -- python main.py
        heliostat job submit --working-dir https://example.com/code.zip --deadline 2h -- python main.py
        heliostat job submit --retries 3 --retry-on infrastructure -- 'python a.py && python b.py'
        heliostat job submit --wait -o json -- python -c 'import ray; ray.init()'
    """,
)
@click.argument("words", metavar="-- COMMAND", nargs=-1, required=True)
@job_options.job_options
@click.option("--keep-cluster", is_flag=True, help="Keep the cluster made for the job, until the job is cancelled.")
@click.option("--ttl", type=Duration(), metavar="TIME", help="Keep that cluster so long after the end, e.g. 10m (0s).")
@click.option("--follow", is_flag=True, help="Show its progress and its log until the end.")
@click.option("--wait/--no-wait", default=False, help="Wait for its end, without its log (no).")
@shared_options
@pass_app
def submit(
    app: App,
    /, words: tuple[str, ...], keep_cluster: bool, ttl: timedelta | None, follow: bool, wait: bool, **options: Any,
) -> None:  # fmt: skip
    """Submit a job: a shell command that runs on a Ray cluster.

    Without --cluster a cluster is made for it, and removed after it. One word behind -- is a shell command; of several,
    each arrives as it was typed.

    Prints the job's id and returns. With --follow or --wait, the exit code is the command's own: 124 after --deadline,
    143 when it was cancelled, 125 when it failed before or without an exit code.
    """
    from ..job_tables import without_values
    from ..output import Card, emit
    from ..submitting import follow_to_the_end, refuse_documents, submitted

    given = job_options.request(options)
    if "cluster" in given and (keep_cluster or ttl is not None):
        flag = "--keep-cluster" if keep_cluster else "--ttl"
        raise click.UsageError(f"{flag} is for a cluster made for the job; with --cluster there is none")
    if keep_cluster and ttl is not None:
        raise click.UsageError(
            "--keep-cluster keeps the cluster until the job is cancelled, --ttl for a time; take one"
        )
    if keep_cluster:
        given["shutdown_after_finish"] = False
    if ttl is not None:
        given["ttl"] = ttl.total_seconds()
    if follow:
        refuse_documents(app, "--follow")
    with app.client() as client:
        job = submitted(app, client, job_options.entrypoint(words), given)
        if follow or wait:
            follow_to_the_end(app, client, job, log=follow)
    emit(app, without_values(job.info.raw), lambda: Card(job.id))
    app.say(f"follow it with: heliostat job logs {job.id} --follow")
