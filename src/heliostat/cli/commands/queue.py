"""``heliostat queue ...``: shares of a workspace's capacity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ..app import App, pass_app, shared_options
from ..framework import Command, Group, pass_name

if TYPE_CHECKING:
    from heliostat.client.models import Queue

RESOURCES = ("cpu", "memory", "gpu")
UNLIMITED = "none"
Amount = dict[str, str | int | None]


class AmountText(click.ParamType[Amount]):
    """``cpu=16,memory=64Gi,gpu=2``; ``none`` as a value, or alone for all three, takes away."""

    name = "KEY=VALUE,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Amount:
        if isinstance(value, dict):
            return value
        text = str(value).strip()
        if text == UNLIMITED:
            return dict.fromkeys(RESOURCES)
        found: Amount = {}
        for part in text.split(","):
            key, equals, amount = (word.strip() for word in part.partition("="))
            if key not in RESOURCES or not equals or not amount:
                self.fail(
                    f"{part.strip()!r} is not of the form KEY=VALUE with one of: {', '.join(RESOURCES)}", param, ctx
                )
            if key in found:
                self.fail(f"{key} is there twice", param, ctx)
            if key == "gpu" and amount != UNLIMITED and not (amount.isascii() and amount.isdecimal()):
                self.fail(f"gpu={amount} is not a whole number", param, ctx)
            found[key] = None if amount == UNLIMITED else int(amount) if key == "gpu" else amount
        return found


def queue_options(function: Callable[..., Any]) -> Callable[..., Any]:  # click's own types
    """What a queue is made of."""
    for option in (
        click.option("--description", metavar="TEXT", help="For people."),
        click.option("--backfill/--no-backfill", default=None,
                     help="Whether a start that fits may pass one that waits for more, for a while (backfill)."),
        click.option("--priority", type=click.IntRange(-1000, 1000), metavar="N",
                     help="Queues with a higher one go first where the workspace is short, -1000 to 1000 (0)."),
        click.option("--min", "minimum", type=AmountText(),
                     help="What is kept free for it, e.g. cpu=4,memory=16Gi (nothing)."),
        click.option("--max", "maximum", type=AmountText(),
                     help="What it may hold at most, e.g. cpu=16,memory=64Gi,gpu=2; none for no limit (none)."),
    ):  # fmt: skip
        function = option(function)
    return function


@click.group(
    cls=Group,
    examples="""
        heliostat queue list
        heliostat queue create research --max cpu=16,memory=64Gi --min cpu=4
        heliostat queue get research
    """,
)
@shared_options
def command() -> None:
    """See and change the shares of capacity in a workspace."""


@command.command(
    "list",
    cls=Command,
    examples="""
        heliostat queue list
        heliostat queue list --workspace w-0123456789abcdef -o yaml
    """,
)
@shared_options
@pass_app
def list_queues(app: App) -> None:
    """List the queues of the workspace: what is used of their limits, and how many clusters wait."""
    from .. import queue_tables
    from ..output import emit

    with app.client() as client:
        rows = client.queues.list()
    emit(app, [dict(row.raw) for row in rows], lambda: queue_tables.queues(rows))


@command.command("get", cls=Command, examples="heliostat queue get root_queue")
@pass_name("queue", "wanted")
@shared_options
@pass_app
def get(app: App, wanted: str) -> None:
    """Show one queue and who holds what of it."""
    from .. import queue_tables
    from ..output import emit

    with app.client() as client:
        row = client.queues.get(wanted)
    emit(app, dict(row.raw), lambda: queue_tables.queue(row))


@command.command(
    "create",
    cls=Command,
    examples="""
        heliostat queue create research
        heliostat queue create research --max cpu=16,memory=64Gi,gpu=2 --min cpu=4,memory=16Gi
        heliostat queue create nightly --priority -10 --no-backfill --description "what can wait"
    """,
)
@click.argument("name")
@queue_options
@shared_options
@pass_app
def create(app: App, /, name: str, **options: Any) -> None:  # click's own types
    """Create a queue; takes an owner of the workspace."""
    with app.client() as client:
        row = client.queues.create(name, **_given(options))
    _show(app, row)


@command.command(
    "edit",
    cls=Command,
    examples="""
        heliostat queue edit research --max cpu=32
        heliostat queue edit root_queue --max cpu=64,memory=256Gi
        heliostat queue edit research --max gpu=none --min none
    """,
)
@pass_name("queue", "wanted")
@queue_options
@shared_options
@pass_app
def edit(app: App, /, wanted: str, **options: Any) -> None:  # click's own types
    """Change a queue; what is not named stays. Takes an owner.

    A limit below what is held ends nothing; nothing more is let in before enough was given back.
    """
    changes = _given(options)
    if not changes:
        raise click.UsageError("name what to change, for example --max cpu=32")
    with app.client() as client:
        row = client.queues.edit(wanted, **changes)
    _show(app, row)


@command.command("delete", cls=Command, examples="heliostat queue delete research")
@pass_name("queue", "wanted")
@shared_options
@pass_app
def delete(app: App, wanted: str) -> None:
    """Delete a queue that nothing uses and no definition names; takes an owner."""
    from ..output import Card, emit

    with app.client() as client:
        client.queues.delete(wanted)
    emit(app, {"name": wanted, "deleted": True}, lambda: Card(f"queue {wanted} is deleted"))


def _given(options: Mapping[str, Any]) -> dict[str, Any]:  # click's own types
    return {name: value for name, value in options.items() if value is not None}


def _show(app: App, row: Queue) -> None:
    from .. import queue_tables
    from ..output import emit

    emit(app, dict(row.raw), lambda: queue_tables.queues([row]))
    for note in row.notes:
        app.say(f"note: {note}")
