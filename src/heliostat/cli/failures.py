"""What went wrong, as a sentence, a remedy and an exit code."""

from __future__ import annotations

from typing import IO, Any

import click

from heliostat.client import errors

from .exits import ExitCode


class Failure(click.ClickException):
    """An error for the user. ``remedy`` is a command or a sentence that says what to do, ``context`` what came before."""

    def __init__(self, message: str, *, code: ExitCode = ExitCode.FAILED, remedy: str = "", context: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy
        self.context = context

    def show(self, file: IO[Any] | None = None) -> None:  # click's own signature
        for line in self.context.splitlines():
            click.echo(click.style(line, dim=True), file=file, err=True)
        lines = self.message.strip().splitlines() or ["unknown error"]
        click.echo(f"{click.style('error:', fg='red', bold=True)} {lines[0]}", file=file, err=True)
        for line in lines[1:]:
            click.echo(f"  {line}", file=file, err=True)
        if self.remedy:
            click.echo(f"  {click.style('->', bold=True)} {self.remedy}", file=file, err=True)


EXIT_CODES: tuple[tuple[type[errors.HeliostatError], ExitCode, str], ...] = (
    (errors.ClusterFailed, ExitCode.FAILED, "heliostat cluster why NAME tells the cause"),
    (errors.JobFailed, ExitCode.FAILED, "heliostat job why JOB tells the cause"),
    (
        errors.DeadlineExceeded,
        ExitCode.TIMEOUT,
        "it goes on in the server; look again with: heliostat cluster get NAME --watch",
    ),
    (errors.NoCredentials, ExitCode.NOT_PERMITTED, ""),
    (errors.NotRunning, ExitCode.CONFLICT, "heliostat cluster start NAME"),
    (errors.InvalidRequest, ExitCode.USAGE, ""),
    (errors.NotFound, ExitCode.NOT_FOUND, ""),
    (errors.Conflict, ExitCode.CONFLICT, ""),
    (errors.AlreadyExists, ExitCode.CONFLICT, ""),
    (errors.IdempotencyMismatch, ExitCode.CONFLICT, ""),
    (errors.QuotaExceeded, ExitCode.CONFLICT, ""),
    (errors.Unauthenticated, ExitCode.NOT_PERMITTED, "log in again with: heliostat login"),
    (errors.Forbidden, ExitCode.NOT_PERMITTED, "ask an owner of the workspace for the role"),
    (errors.Unreachable, ExitCode.UNREACHABLE, ""),
    (errors.Unavailable, ExitCode.UNREACHABLE, "try again in a moment; if it lasts, see the server's log"),
    (errors.Throttled, ExitCode.FAILED, "wait a moment, then try again"),
    (errors.NotReady, ExitCode.FAILED, ""),
    (errors.ServerError, ExitCode.FAILED, "this is a defect of the server; its log has more under the request id"),
)
"""Exit code and remedy by class of error; the first that fits is taken. An empty remedy: the message has it."""


LISTED = frozenset({"cluster", "job", "release", "workspace", "queue", "key", "secret"})
"""Kinds of things that have a ``list`` command."""


def misused(error: click.UsageError) -> Failure:
    """The failure to show for a wrong command line."""
    remedy = f"see: {error.ctx.command_path} --help" if error.ctx is not None else ""
    return Failure(error.format_message(), code=ExitCode.USAGE, remedy=remedy)


def explained(error: Exception) -> Failure:
    """The failure to show for an exception. What is not meant for users becomes a request to report it."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, click.UsageError):
        return misused(error)
    if isinstance(error, errors.HeliostatError):
        return _told(error)
    if isinstance(error, OSError) and error.filename is not None:
        return Failure(f"{error.filename}: {error.strerror}")
    return Failure(
        f"{type(error).__name__}: {error}",
        remedy="this is a defect of the heliostat program; run it again with --debug and report what it prints",
    )


def _told(error: errors.HeliostatError) -> Failure:
    fitting = ((code, remedy) for kind, code, remedy in EXIT_CODES if isinstance(error, kind))
    code, remedy = next(fitting, (ExitCode.FAILED, ""))
    message = str(error)
    if isinstance(error, errors.NotFound) and not remedy:
        kind = error.message.partition(" ")[0]
        remedy = f"see what there is with: heliostat {kind} list" if kind in LISTED and ";" not in message else ""
    if error.request_id and isinstance(error, errors.ServerError):
        message += f"\nrequest id {error.request_id}"
    return Failure(message, code=code, remedy=remedy)
