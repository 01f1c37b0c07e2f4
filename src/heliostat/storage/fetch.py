"""Fetching the code of a job from where its user has put it: ``https://``, ``s3://``, ``gs://``, ``oss://``, ``file://``.

The server fetches with its own rights: what its credentials for a bucket can read, and what is in the folders that the
operator names, any user who may submit jobs can run. Nothing is fetched over a connection that is not encrypted.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import stat
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from heliostat.domain.errors import HeliostatError, InvalidSpec, NotReady, Retry
from heliostat.domain.masking import hidden, of_settings, shown_url

from .drivers import missing, opened
from .files import replacing

MAX_URL = 4096
MAX_REDIRECTS = 5
PIECE_BYTES = 1 << 20
CAUSE_CHARACTERS = 300
BUCKETS = ("s3", "gs", "oss")
SCHEMES = ("https", *BUCKETS, "file")

_LATER_STATUSES = (408, 425, 429)
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "heliostat"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class CodeUnavailable(HeliostatError):
    """The code of a job cannot be had. ``retry`` says whether it can be later: a server that does not answer, as against a
    file that is not there."""

    code = "code_unavailable"

    def __init__(self, message: str, *, later: bool = False) -> None:
        super().__init__(message)
        self.retry = Retry.LATER if later else Retry.NEVER


@dataclass(frozen=True)
class FetchPolicy:
    """From where code may be fetched, and how much of it."""

    allowed_folders: tuple[Path, ...] = ()
    """Absolute folders below which ``file://`` may be read; none by default."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)  # each driver's own
    """Scheme -> options of its fsspec driver, credentials among them."""
    max_bytes: int = 512 << 20
    """Of one file; Ray's own limit for a package is 500 MiB."""
    seconds: float = 900.0
    """For one file, from the first to the last byte."""
    silence_seconds: float = 60.0
    """For a connection, and between two pieces of an answer over https."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """What servers' certificates are checked against; None = the system's authorities."""


def check_url(url: str, policy: FetchPolicy, path: str) -> None:
    """Whether a URL can be fetched here, without asking its server. Raises InvalidSpec at ``path`` when it never can."""
    try:
        _checked(url, policy)
    except CodeUnavailable as error:
        raise InvalidSpec(path, error.message) from None


async def fetch(url: str, target: Path, policy: FetchPolicy, limit_bytes: int | None = None) -> None:
    """Make ``target`` a copy of what is at the URL, all or nothing. Raises CodeUnavailable.

    ``limit_bytes`` may lower ``policy.max_bytes``. Everything is checked again: time has passed since the submission.
    """
    limit = policy.max_bytes if limit_bytes is None else min(limit_bytes, policy.max_bytes)
    try:
        parts = await asyncio.to_thread(_checked, url, policy)
    except CodeUnavailable as error:
        raise CodeUnavailable(f"{shown_url(url)}: {error.message}") from None
    try:
        async with asyncio.timeout(policy.seconds):
            await _in_thread(_pieces(url, parts, replace(policy, max_bytes=limit)), target, limit, shown_url(url))
    except TimeoutError:
        raise CodeUnavailable(f"{shown_url(url)} took more than {policy.seconds:g} seconds", later=True) from None
    except OSError as error:
        raise CodeUnavailable(f"{shown_url(url)} cannot be kept here: {error.strerror or error}", later=True) from error


def _pieces(url: str, parts: SplitResult, policy: FetchPolicy) -> Generator[bytes, None, None]:
    if parts.scheme == "https":
        return _https(url, policy)
    return _file(parts, policy) if parts.scheme == "file" else _bucket(url, parts.scheme, policy)


def _checked(url: str, policy: FetchPolicy) -> SplitResult:
    if len(url) > MAX_URL or url != url.strip() or _CONTROL.search(url):
        raise CodeUnavailable(
            f"must be a URL of at most {MAX_URL} characters, without control characters and spaces around it"
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise CodeUnavailable("is not a URL: its host or port cannot be read") from None
    if parts.scheme == "http":
        raise CodeUnavailable(
            "http:// is not encrypted, so that anybody on the way could change the code; use https://"
        )
    if parts.scheme not in SCHEMES or not url[len(parts.scheme) :].startswith("://"):
        raise CodeUnavailable(f"must be a URL that begins with one of {', '.join(f'{name}://' for name in SCHEMES)}")
    if parts.scheme == "file":
        _resolved(parts, policy)
    elif parts.scheme == "https":
        if not host:
            raise CodeUnavailable("names no host")
    else:
        if not parts.netloc or not parts.path.strip("/") or parts.path.endswith("/"):
            raise CodeUnavailable(f"must name a bucket and an object, as {parts.scheme}://bucket/folder/code.zip")
        if "::" in url:
            raise CodeUnavailable("must be one URL, not a chain of them")
        if package := missing(parts.scheme):
            raise CodeUnavailable(
                f"{parts.scheme}:// needs a driver that the server does not have; its operator can install it: "
                f"pip install {package}"
            )
    return parts


def _resolved(parts: SplitResult, policy: FetchPolicy) -> tuple[Path, Path]:
    """The allowed folder and the path in it, free of symbolic links."""
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise CodeUnavailable("must name a file of the server's machine, as file:///folder/code.zip")
    if not policy.allowed_folders:
        raise CodeUnavailable(
            "file:// is not allowed on this server; its operator can allow folders with code_folders in the table [jobs] of "
            "config.toml"
        )
    # What is not allowed and what does not exist are told apart for allowed folders only.
    try:
        real = Path(unquote(parts.path)).resolve()
        folders = [folder.resolve() for folder in policy.allowed_folders]
    except (OSError, ValueError, RuntimeError):
        real, folders = Path("/"), []
    for folder in folders:
        if folder in real.parents:
            return folder, real.relative_to(folder)
    raise CodeUnavailable(
        "is not below a folder from which the server may read; its operator can allow more with code_folders in the table "
        "[jobs] of config.toml"
    )


async def _in_thread(pieces: Generator[bytes, None, None], target: Path, limit: int, shown: str) -> None:
    """Write blocking pieces to a file. When the caller goes, the thread stops at the next piece."""
    gone = threading.Event()

    def work() -> None:
        with closing(pieces), replacing(target) as file:
            _write(pieces, file, limit, shown, gone)

    threads = ThreadPoolExecutor(1, thread_name_prefix="fetch")
    working = asyncio.get_running_loop().run_in_executor(threads, work)
    threads.shutdown(wait=False)
    try:
        await working
    finally:
        gone.set()


def _write(pieces: Generator[bytes, None, None], file: BinaryIO, limit: int, shown: str, gone: threading.Event) -> None:
    size = 0
    for piece in pieces:
        if gone.is_set():
            raise CodeUnavailable(f"{shown} was given up", later=True)
        size += len(piece)
        if size > limit:
            raise _too_large(shown, limit)
        file.write(piece)
    if gone.is_set():
        raise CodeUnavailable(f"{shown} was given up", later=True)


def _https(url: str, policy: FetchPolicy) -> Generator[bytes, None, None]:
    shown = shown_url(url)
    try:
        with httpx.Client(verify=policy.tls or True, timeout=policy.silence_seconds, headers=_HEADERS) as client:
            yield from _follow(client, httpx.URL(url), shown, policy.max_bytes)
    except httpx.TimeoutException:
        raise CodeUnavailable(f"{shown} did not answer within {policy.silence_seconds:g} seconds", later=True) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise CodeUnavailable(f"{shown} is not a URL that can be fetched") from None
    except httpx.HTTPError as error:
        unsafe = _of_certificate(error)
        why = "its certificate is not trusted" if unsafe else "it cannot be fetched now"
        raise CodeUnavailable(f"{shown}: {why}: {_cause(error, url)}", later=not unsafe) from None


def _follow(client: httpx.Client, url: httpx.URL, shown: str, limit: int) -> Generator[bytes, None, None]:
    for _ in range(MAX_REDIRECTS + 1):
        with client.stream("GET", url) as answer:
            if answer.is_redirect:
                url = url.join(answer.headers.get("Location", ""))
                if url.scheme != "https" or not url.host:
                    raise CodeUnavailable(f"{shown} leads to an address that is not https")
                continue
            _check_status(answer.status_code, shown)
            told = answer.headers.get("Content-Length", "")
            if told.isdecimal() and int(told) > limit:
                raise _too_large(shown, limit)
            yield from answer.iter_bytes(PIECE_BYTES)
            return
    raise CodeUnavailable(f"{shown} leads from one address to the next more than {MAX_REDIRECTS} times")


def _check_status(status: int, shown: str) -> None:
    if status == 200:
        return
    if status in (404, 410):
        raise CodeUnavailable(f"{shown} does not exist (HTTP {status})")
    if status in (401, 403):
        raise CodeUnavailable(
            f"{shown} may not be read (HTTP {status}); is what opens it in the URL, and has that expired?"
        )
    raise CodeUnavailable(f"{shown} was answered with HTTP {status}", later=status >= 500 or status in _LATER_STATUSES)


def _of_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _file(parts: SplitResult, policy: FetchPolicy) -> Generator[bytes, None, None]:
    """Read below an allowed folder, step by step and through no link: one made after the check leads nowhere."""
    folder, inner = _resolved(parts, policy)
    shown = parts.geturl()
    current = -1
    try:
        current = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for index, name in enumerate(inner.parts):
            last = index == len(inner.parts) - 1
            flags = os.O_NONBLOCK if last else os.O_DIRECTORY
            below = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=current)
            os.close(current)
            current = below
        if not stat.S_ISREG(os.fstat(current).st_mode):
            raise CodeUnavailable(f"{shown} is no plain file")
        while piece := os.read(current, PIECE_BYTES):
            yield piece
    except FileNotFoundError:
        raise CodeUnavailable(f"{shown} does not exist on the server's machine") from None
    except PermissionError:
        raise CodeUnavailable(f"{shown} may not be read by the server") from None
    except OSError as error:
        raise CodeUnavailable(f"{shown} cannot be read: {error.strerror}", later=True) from error
    finally:
        if current >= 0:
            os.close(current)


def _bucket(url: str, scheme: str, policy: FetchPolicy) -> Generator[bytes, None, None]:
    shown = shown_url(url)
    options = policy.options.get(scheme, {})
    try:
        files, path = opened(url, options)
        with closing(files.open(path, "rb", block_size=4 * PIECE_BYTES)) as content:
            while piece := content.read(PIECE_BYTES):
                yield piece
    except FileNotFoundError:
        raise CodeUnavailable(f"{shown} does not exist") from None
    except IsADirectoryError:
        raise CodeUnavailable(f"{shown} is no object") from None
    except PermissionError as error:
        raise CodeUnavailable(
            f"{shown} may not be read with the server's credentials: {_cause(error, url, options)}"
        ) from None
    except NotReady as error:
        raise CodeUnavailable(error.message) from None
    except HeliostatError:
        raise
    except Exception as error:  # drivers have errors of many libraries
        later = "credentials" not in str(error).lower()
        raise CodeUnavailable(f"{shown} cannot be fetched now: {_cause(error, url, options)}", later=later) from error


def _cause(error: Exception, url: str, options: Mapping[str, Any] | None = None) -> str:  # as in the policy
    text = f"{error or type(error).__name__}".replace(url, shown_url(url))
    return hidden(" ".join(text.split())[:CAUSE_CHARACTERS], of_settings(options or {}))


def _too_large(shown: str, limit: int) -> CodeUnavailable:
    size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
    return CodeUnavailable(f"{shown} has more than {size}; leave data out, and read it where the job runs")
