"""``heliostat cluster ...``: everything about Ray clusters."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from .. import definitions
from ..app import App, pass_app, shared_options
from ..arriving import arrived, print_cluster
from ..framework import Command, Group, pass_name
from ..options import parts, shape_options, waiting
from .cluster_changes import apply, restart
from .cluster_logs import logs

if TYPE_CHECKING:
    from heliostat.client import ClusterInfo

STATES = ("Stopped", "Starting", "Running", "Stopping", "Error")


@click.group(
    cls=Group,
    examples="""
        heliostat cluster create training --workers 2 --cpu 2 --memory 4Gi
        heliostat cluster list
        heliostat cluster get training
        heliostat cluster stop training
    """,
)
@shared_options
def command() -> None:
    """Create, watch, change, start, stop and delete Ray clusters.

    CLUSTER is a name or an id everywhere.
    """


@command.command(
    "create",
    cls=Command,
    examples="""
        heliostat cluster create demo --workers 2
        heliostat cluster create training --workers 4 --cpu 2 --memory 4Gi --release 2.60.0 --env EPOCHS=10
        heliostat cluster create mixed --worker-group name=small,replicas=2 --worker-group name=big,cpu=4,memory=8Gi
        heliostat cluster create elastic --workers 1 --min 1 --max 4 --idle-stop-after 30m --max-lifetime 8h
        heliostat cluster create later -f cluster.yaml --no-start
        heliostat cluster create ci --workers 1 --timeout 5m -o json
    """,
)
@click.argument("name")
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Number of workers of the shape given here.")
@shape_options
@click.option("--label", "labels", type=definitions.Pair(), multiple=True, help="Label; repeatable.")
@click.option("--start/--no-start", default=True, help="Start it at once (start).")
@waiting
@click.option("--show-secrets", is_flag=True, help="Print the submit token.")
@shared_options
@pass_app
def create(
    app: App,
    /, name: str, workers: int | None, labels: tuple[tuple[str, str], ...], start: bool, wait: bool,
    timeout: timedelta | None, show_secrets: bool, file: str | None, groups: tuple[dict[str, Any], ...], **options: Any,
) -> None:  # fmt: skip
    """Create a cluster and start it.

    Without --workers and --worker-group it is a head alone. Ctrl-C ends the waiting, not the start.
    """
    given_parts = parts(options)
    given_parts["plain"]["labels"] = dict(labels)
    given = definitions.read(file) if file else {}
    given.pop("name", None)
    fields = definitions.creation(given, workers=workers, groups=groups, **given_parts)
    with app.client() as client:
        made = client.clusters.create_from({"name": name, **fields}, start=start)
        app.say(f"created {made.name} ({made.id})")
        info = made.info
        if start and wait:
            info = arrived(app, client, info, "Running", timeout)
        print_cluster(app, info, show_secrets=show_secrets)
        if start and not wait:
            app.say(f"it is starting; follow it with: heliostat cluster get {made.name} --watch")


@command.command(
    "list",
    cls=Command,
    examples="""
        heliostat cluster list
        heliostat cluster list --state Running --name train
        heliostat cluster list --watch
        heliostat cluster list --all -o json
    """,
)
@click.option("--state", type=click.Choice(STATES, case_sensitive=False), help="Only those in this state.")
@click.option("--name", metavar="TEXT", help="Only those with this in their name.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many, newest first.")
@click.option("--all", "every", is_flag=True, help="Also those made for jobs, which go with them.")
@click.option("-w", "--watch", is_flag=True, help="Go on, and show what changes.")
@shared_options
@pass_app
def list_clusters(
    app: App, /, state: str | None, name: str | None, limit: int | None, every: bool, watch: bool
) -> None:
    """List clusters, newest first."""
    from .. import tables
    from ..output import emit, without_secrets
    from ..watching import poll

    with app.client() as client:

        def look() -> list[ClusterInfo]:
            found = client.clusters.list(state=state, name=name, limit=limit, temporary=every)
            return [row.info for row in found]

        if watch:
            poll(app, look, key=lambda row: row.id, table=lambda rows: tables.clusters(rows, app.now()))
            return
        rows = look()
    emit(app, [without_secrets(row.raw) for row in rows], lambda: tables.clusters(rows, app.now()))


@command.command(
    "get",
    cls=Command,
    examples="""
        heliostat cluster get training
        heliostat cluster get training --watch
        heliostat cluster get training -o yaml > training.yaml
        heliostat cluster get training --field endpoints.job_url
        heliostat cluster get training --field endpoints.submit_token --show-secrets
    """,
)
@pass_name("cluster")
@click.option("-w", "--watch", is_flag=True, help="Go on, and show what changes.")
@click.option("--field", metavar="PATH", help="Print this field of the JSON alone, e.g. endpoints.job_url.")
@click.option("--show-secrets", is_flag=True, help="Print the submit token.")
@shared_options
@pass_app
def get(app: App, /, cluster: str, watch: bool, field: str | None, show_secrets: bool) -> None:
    """Show one cluster with its addresses.

    The dashboard link opens without a password and is good for an hour. Its submit token stays hidden (null in JSON and
    YAML) unless --show-secrets is given.
    """
    from ..output import value
    from ..watching import follow_cluster

    if watch and field:
        raise click.UsageError("--field is for a single look, without --watch")
    with app.client() as client:
        if field:
            click.echo(value(client.clusters.get(cluster).info.raw, field, show_secrets=show_secrets))
        elif watch:
            follow_cluster(app, client, cluster, show_secrets=show_secrets)
        else:
            print_cluster(app, client.clusters.get(cluster).info, show_secrets=show_secrets)


@command.command(
    "update",
    cls=Command,
    examples="""
        heliostat cluster update training --workers 4
        heliostat cluster update mixed --workers big=2 --description "two big ones"
        heliostat cluster update training --env EPOCHS=20 --label team=vision --label old-
        heliostat cluster update training --worker-group name=extra,replicas=1,cpu=1
        heliostat cluster update training --release ray-1.0.1 --restart
    """,
)
@pass_name("cluster")
@click.option("--name", metavar="NAME", help="New name.")
@click.option("--workers", "scales", type=definitions.Scale(), multiple=True, help="New number of workers; repeatable.")
@shape_options
@click.option("--remove-group", "removed", metavar="NAME", multiple=True, help="Worker group to remove; repeatable.")
@click.option(
    "--label", "labels", type=definitions.LabelChange(), multiple=True, help="Label to set or remove; repeatable."
)
@click.option("--restart", "restart_it", is_flag=True, help="Restart it if the change needs that.")
@waiting
@shared_options
@pass_app
def update(
    app: App,
    /, cluster: str, name: str | None, scales: tuple[tuple[str | None, int], ...], removed: tuple[str, ...],
    labels: tuple[tuple[str, str | None], ...], restart_it: bool, wait: bool, timeout: timedelta | None,
    file: str | None, groups: tuple[dict[str, Any], ...], **options: Any,
) -> None:  # fmt: skip
    """Change a cluster's definition; what is not named stays.

    --worker-group changes the group of that name, or adds it. What a running cluster can have without a restart (number of
    workers, idle times, groups that come or go) it gets at once; when the rest needs a restart it is shown as modified, and
    --restart does it.
    """
    given_parts = parts(options)
    given_parts["plain"] |= {"name": name, "labels": dict(labels)}
    given = definitions.read(file) if file else {}
    with app.client() as client:
        before = client.clusters.get(cluster)
        patch = definitions.change(before.spec, given, scales=scales, groups=groups, removed=removed, **given_parts)
        if not patch:
            raise click.UsageError("nothing to change: give an option or -f FILE")
        info = client.clusters.patch(before.id, patch).info
        if info.modified and restart_it:
            info = client.clusters.restart(info.id).info
            if wait:
                info = arrived(app, client, info, "Running", timeout)
        print_cluster(app, info)
        if info.modified:
            app.say(f"some of it needs a restart: heliostat cluster restart {info.name}")


@command.command(
    "start",
    cls=Command,
    examples="""
        heliostat cluster start training
        heliostat cluster start training --no-wait
        heliostat cluster start training --timeout 5m
    """,
)
@pass_name("cluster")
@waiting
@click.option("--show-secrets", is_flag=True, help="Print the submit token.")
@shared_options
@pass_app
def start(app: App, /, cluster: str, wait: bool, timeout: timedelta | None, show_secrets: bool) -> None:
    """Start a stopped or failed cluster: a new run with its own token and addresses."""
    with app.client() as client:
        info = client.clusters.start(cluster).info
        if wait:
            info = arrived(app, client, info, "Running", timeout)
        print_cluster(app, info, show_secrets=show_secrets)


@command.command(
    "stop",
    cls=Command,
    examples="""
        heliostat cluster stop training
        heliostat cluster stop training --no-wait
        heliostat cluster stop training --instance ray-0a1b2c3d4e5f6g7h-1a2b3c4d
    """,
)
@pass_name("cluster")
@click.option("--instance", metavar="ID", help="Stop this run only; another one is left alone (exit code 4).")
@waiting
@shared_options
@pass_app
def stop(app: App, /, cluster: str, instance: str | None, wait: bool, timeout: timedelta | None) -> None:
    """Stop a cluster; its definition stays."""
    with app.client() as client:
        info = client.clusters.stop(cluster, instance=instance).info
        if wait:
            info = arrived(app, client, info, "Stopped", timeout)
        print_cluster(app, info)


@command.command(
    "delete",
    cls=Command,
    examples="""
        heliostat cluster delete training
        heliostat cluster delete training --stop
        heliostat cluster delete training --stop --no-wait
    """,
)
@pass_name("cluster")
@click.option("--stop", is_flag=True, help="Also when it is up: stop it first.")
@waiting
@shared_options
@pass_app
def delete(app: App, /, cluster: str, stop: bool, wait: bool, timeout: timedelta | None) -> None:
    """Delete a stopped or failed cluster."""
    from ..output import emit
    from ..progress import board
    from ..tables import deletion
    from ..waiting import vanish

    with app.client() as client:
        info = client.clusters.get(cluster).info
        client.clusters.delete(info.id, stop=stop)
        if wait:
            with board(app, f"deleting {info.name}") as shown:
                vanish(client, info.id, shown, timeout=timeout)
    emit(app, {"id": info.id, "name": info.name, "deleted": True}, lambda: deletion(info, done=wait))


@command.command(
    "nodes",
    cls=Command,
    examples="""
        heliostat cluster nodes training
        heliostat cluster nodes training --watch
        heliostat cluster nodes training -o json
    """,
)
@pass_name("cluster")
@click.option("-w", "--watch", is_flag=True, help="Go on, and show what changes.")
@shared_options
@pass_app
def nodes(app: App, /, cluster: str, watch: bool) -> None:
    """List the nodes of a cluster's present run."""
    from .. import tables
    from ..output import emit
    from ..watching import poll

    with app.client() as client:
        if watch:
            key = client.clusters.get(cluster).id
            poll(
                app, lambda: client.clusters.nodes(key), key=lambda row: row.node,
                table=lambda rows: tables.nodes(rows, app.now()),
            )  # fmt: skip
            return
        rows = client.clusters.nodes(cluster)
    emit(app, [dict(row.raw) for row in rows], lambda: tables.nodes(rows, app.now()))


@command.command(
    "events",
    cls=Command,
    examples="""
        heliostat cluster events training
        heliostat cluster events training --limit 20
        heliostat cluster events training --watch
        heliostat cluster events training --watch -o json
    """,
)
@pass_name("cluster")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, metavar="N", help="The newest so many (100).")
@click.option("-w", "--watch", is_flag=True, help="Go on, and show what happens.")
@shared_options
@pass_app
def events(app: App, /, cluster: str, limit: int, watch: bool) -> None:
    """List what happened to a cluster, oldest first."""
    from .. import tables
    from ..output import emit
    from ..watching import follow_events

    with app.client() as client:
        rows = client.clusters.events(cluster, limit=limit)[::-1]
        if watch:
            follow_events(app, client, cluster, rows)
        else:
            emit(app, [dict(row.raw) for row in rows], lambda: tables.events(rows))


command.add_command(apply)
command.add_command(restart)
command.add_command(logs)


@command.command(
    "why",
    cls=Command,
    examples="""
        heliostat cluster why training
        heliostat cluster why training -o json
    """,
)
@pass_name("cluster")
@shared_options
@pass_app
def why(app: App, /, cluster: str) -> None:
    """Explain a cluster's present state, with the evidence."""
    from .. import tables
    from ..output import emit

    with app.client() as client:
        found = client.clusters.why(cluster)
    emit(app, dict(found.raw), lambda: tables.explanation(found))
