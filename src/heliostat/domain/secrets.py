"""Secrets of a workspace, and how a job asks for them. A job names them; their values are never stored with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JobSecret:
    """One of the workspace's secrets, for one job."""

    group: str
    key: str
    version: str = ""
    variables: tuple[str, ...] = ()
    """Environment variables that get its value."""
    file: str = ""
    """Relative path of a file with its value, below the job's folder of secrets; empty = no file."""
