"""The root of the command line and the one place where errors become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from .app import App, shared_options
from .exits import ExitCode
from .framework import Group, Late

COMMANDS = {
    "Begin": {
        "demo": Late("heliostat.cli.commands.demo", "Show all of it once: server, cluster, job, and away again."),
        "serve": Late("heliostat.cli.commands.serve", "Run the server."),
        "login": Late("heliostat.cli.commands.login", "Check an endpoint and a token, and remember them."),
    },
    "Work": {
        "run": Late(
            "heliostat.cli.commands.run", "Run a Python script on a Ray cluster made for it, and show its output."
        ),
        "cluster": Late(
            "heliostat.cli.commands.cluster", "Create, watch, change, start, stop and delete Ray clusters."
        ),
        "job": Late("heliostat.cli.commands.job", "Submit, follow, cancel and delete Ray jobs, and read their logs."),
        "release": Late("heliostat.cli.commands.release", "See the Ray and Python versions on offer and prepare them."),
    },
    "Administer": {
        "workspace": Late(
            "heliostat.cli.commands.workspace", "See and create workspaces, and say who may do what in them."
        ),
        "queue": Late("heliostat.cli.commands.queue", "See and change the shares of capacity in a workspace."),
        "usage": Late("heliostat.cli.commands.usage", "Sum up the hours of cores, memory and GPUs that were used."),
        "secret": Late(
            "heliostat.cli.commands.secret",
            "Set, list and delete secrets of the workspace, which jobs get as environment variables.",
        ),
        "key": Late("heliostat.cli.commands.key", "Create, list and revoke API tokens, access keys and key files."),
    },
    "Tools": {
        "token": Late("heliostat.cli.commands.token", "Print the token of the login, and nothing else, to stdout."),
        "completion": Late("heliostat.cli.commands.completion", "Print the completion script for your shell."),
        "version": Late("heliostat.cli.commands.version", "Show the versions of this program and of the server."),
    },
}

COMPLETION = "_HELIOSTAT_COMPLETE"
"""Variable in which the shell's completion script says what it wants."""
EXIT_CODES = "\n".join(f"{code:>3}  {code.meaning}" for code in ExitCode)


@click.command(
    cls=Group,
    sections=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"\b\nExit codes:\n{EXIT_CODES}",
    examples="""
        heliostat demo
        heliostat serve
        heliostat cluster create training --workers 2 --cpu 2 --memory 4Gi
        heliostat cluster list --watch
        heliostat run train.py --workers 2
        heliostat job list --watch
    """,
)
@shared_options
def root() -> None:
    """Ray clusters on your own machines, through the APIs you already use.

    Results go to stdout, everything else to stderr. Options given before the command hold for it, too.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Prints every error itself, with the remedy."""
    app = App()
    try:
        asked = os.environ.get(COMPLETION)
        if asked:
            from click.shell_completion import shell_complete

            return shell_complete(root, {}, "heliostat", COMPLETION, asked)
        with root.make_context("heliostat", list(arguments), obj=app) as context:
            root.invoke(context)
        sys.stdout.flush()
        return ExitCode.OK
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort):
        app.say(f"{os.linesep if app.lively else ''}interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough. Python would complain about stdout once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001 - the top-level boundary: every error becomes a sentence and a code
        from .failures import explained

        if app.debug:
            import traceback

            traceback.print_exception(error, file=sys.stderr)
        failure = explained(error)
        failure.show()
        return failure.code


def main() -> None:
    """Entry point of the program ``heliostat``."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
