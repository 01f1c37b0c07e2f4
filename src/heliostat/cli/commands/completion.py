"""``heliostat completion SHELL``: what makes the Tab key know our commands, options and clusters."""

from __future__ import annotations

import click

from ..app import shared_options
from ..framework import Command


@click.command(
    cls=Command,
    examples="""
        # bash, for this session or in ~/.bashrc
        eval "$(heliostat completion bash)"
        # zsh, in ~/.zshrc after compinit
        eval "$(heliostat completion zsh)"
        # fish, once
        heliostat completion fish > ~/.config/fish/completions/heliostat.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared_options
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for your shell.

    Commands, options and the names of clusters, releases and keys are completed; names come from the server, which is
    given 1.5 seconds and no say when it does not answer.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "heliostat", "_HELIOSTAT_COMPLETE").source())
