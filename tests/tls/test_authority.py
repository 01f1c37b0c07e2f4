"""The server's own authority and certificate: believed by clients, kept as long as they are good, whole after any crash."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from heliostat.domain.errors import NotReady
from heliostat.tls import authority_file, server_context
from heliostat.tls.authority import OwnCertificate

NAMES = ("localhost", "127.0.0.1", "::1", "*.ray.localhost")
NOW = datetime.now(UTC)
STEPS = ("link", "replace", "unlink", "fsync", "chmod", "mkdir")


def own(home: Path, names: tuple[str, ...] = NAMES, now: datetime = NOW) -> ssl.SSLContext:
    context = server_context()
    OwnCertificate(home, names).load_into(context, now)
    return context


def certificate(home: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((home / "tls" / "server.pem").read_bytes())


def greet(context: ssl.SSLContext, home: Path, name: str = "localhost") -> str | None:
    """What is agreed on by a client that trusts the home's authority. Raises SSLError."""
    client = ssl.create_default_context(cafile=authority_file(home))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.set_alpn_protocols(["h2"])
    ours, theirs = socket.socketpair()

    def answer() -> None:
        try:
            with context.wrap_socket(ours, server_side=True):
                pass
        except OSError:
            ours.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with client.wrap_socket(theirs, server_hostname=name) as connection:
            return connection.selected_alpn_protocol()
    finally:
        thread.join()
        theirs.close()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "c-ray-aaaaaaaaaaaaaaaa.ray.localhost"])
def test_who_trusts_the_authority_believes_the_server(tmp_path: Path, name: str) -> None:
    assert greet(own(tmp_path), tmp_path, name) == "h2"


def test_no_other_name_and_nobody_who_does_not_know_the_authority(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        own(tmp_path / name)
    context = own(tmp_path / "one")
    for home, name in (("one", "example.com"), ("two", "localhost")):
        with pytest.raises(ssl.SSLCertVerificationError):
            greet(context, tmp_path / home, name)


def test_keys_are_for_the_owner_alone_also_when_somebody_was_careless(tmp_path: Path) -> None:
    own(tmp_path)
    folder = tmp_path / "tls"
    (folder / "ca.key").chmod(0o644)
    own(tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes.pop("ca.pem") in (0o644, 0o600)
    assert modes == {"tls": 0o700, "ca.key": 0o600, "server.pem": 0o600}
    assert b"PRIVATE" not in authority_file(tmp_path).read_bytes()


def test_what_is_good_is_kept(tmp_path: Path) -> None:
    own(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    own(tmp_path, tuple(reversed(NAMES)), NOW + timedelta(days=300))
    assert {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()} == before
    assert certificate(tmp_path).not_valid_after_utc - certificate(tmp_path).not_valid_before_utc <= timedelta(days=397)


@pytest.mark.parametrize(
    ("names", "later"),
    [((*NAMES, "new.example"), 0), (NAMES[:1], 0), (NAMES, 368)],
    ids=["a name more", "names less", "its end is near"],
)
def test_a_new_certificate_by_the_same_authority(tmp_path: Path, names: tuple[str, ...], later: int) -> None:
    own(tmp_path)
    trusted, serial = authority_file(tmp_path).read_bytes(), certificate(tmp_path).serial_number
    own(tmp_path, names, NOW + timedelta(days=later))
    assert certificate(tmp_path).serial_number != serial
    assert authority_file(tmp_path).read_bytes() == trusted
    assert certificate(tmp_path).not_valid_after_utc > NOW + timedelta(days=later + 360)


def test_an_authority_at_its_end_is_followed_by_another_and_no_certificate_outlives_it(tmp_path: Path) -> None:
    own(tmp_path)
    end = x509.load_pem_x509_certificate(authority_file(tmp_path).read_bytes()).not_valid_after_utc
    own(tmp_path, now=end - timedelta(days=200))
    assert certificate(tmp_path).not_valid_after_utc == end
    own(tmp_path, now=end - timedelta(days=29))
    new = x509.load_pem_x509_certificate(authority_file(tmp_path).read_bytes())
    assert new.not_valid_after_utc > end
    certificate(tmp_path).verify_directly_issued_by(new)


@pytest.mark.parametrize("days", [1000, -20000], ids=["ahead", "behind"])
def test_what_was_made_by_a_wrong_clock_serves_when_it_is_set_right(tmp_path: Path, days: int) -> None:
    context, certificate = server_context(), OwnCertificate(tmp_path, NAMES)
    certificate.load_into(context, NOW + timedelta(days=days))
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(context, tmp_path)
    certificate.load_into(context, NOW)
    assert greet(context, tmp_path) == "h2"


def test_a_clock_that_is_wrong_for_a_while_costs_no_trust(tmp_path: Path) -> None:
    own(tmp_path)
    trusted = authority_file(tmp_path).read_bytes()
    for days in (-20000, 1000, 0):
        context = own(tmp_path, NAMES, NOW + timedelta(days=days))
    assert authority_file(tmp_path).read_bytes() == trusted
    assert greet(context, tmp_path) == "h2"


def test_it_is_renewed_under_a_running_server(tmp_path: Path) -> None:
    context = server_context()
    mine = OwnCertificate(tmp_path, NAMES)
    mine.load_into(context, NOW - timedelta(days=380))  # has ended for a client of today, but for 17 days
    before = certificate(tmp_path).serial_number
    mine.load_into(context, NOW)
    assert certificate(tmp_path).serial_number != before
    assert greet(context, tmp_path) == "h2"


@pytest.mark.parametrize("name", ["server.pem", "ca.pem"])
@pytest.mark.parametrize("text", [b"", b"nonsense", None])
def test_what_can_be_made_again_is(tmp_path: Path, name: str, text: bytes | None) -> None:
    own(tmp_path)
    trusted = authority_file(tmp_path).read_bytes()
    file = tmp_path / "tls" / name
    file.unlink() if text is None else file.write_bytes(text)
    assert greet(own(tmp_path), tmp_path) == "h2"
    assert authority_file(tmp_path).read_bytes() == trusted


@pytest.mark.parametrize("text", [b"", b"nonsense", b"half"])
def test_a_broken_authority_is_not_replaced_behind_the_clients_backs(tmp_path: Path, text: bytes) -> None:
    own(tmp_path)
    file = tmp_path / "tls" / "ca.key"
    file.write_bytes(file.read_bytes()[:300] if text == b"half" else text)
    with pytest.raises(NotReady, match=r"ca\.key .* remove it"):
        own(tmp_path)


def test_the_key_of_another_certificate_is_no_pair(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        own(tmp_path / name)
    mixed = tmp_path / "one" / "tls" / "server.pem"
    key = mixed.read_bytes().partition(b"-----BEGIN CERTIFICATE")[0]
    other = (tmp_path / "two" / "tls" / "server.pem").read_bytes().partition(b"-----BEGIN CERTIFICATE")
    mixed.write_bytes(key + other[1] + other[2])
    assert greet(own(tmp_path / "one"), tmp_path / "one") == "h2"


def test_servers_that_start_at_once_agree_on_one_authority(tmp_path: Path) -> None:
    homes = [tmp_path / str(number) for number in range(5)]
    for home in homes:
        home.mkdir()
        with ThreadPoolExecutor(8) as pool:
            contexts = list(pool.map(lambda _, home=home: own(home), range(8)))
        assert all(greet(context, home) == "h2" for context in contexts)
        assert sorted(path.name for path in (home / "tls").iterdir()) == ["ca.key", "ca.pem", "server.pem"]


def dying(call: int) -> None:
    """Kill this process at its ``call``-th step that changes the disk."""
    left = call

    def counted(step: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*args, **options)

        return wrapped

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


def test_servers_of_different_names_in_one_home_leave_each_other_in_peace(tmp_path: Path) -> None:
    servers = [(OwnCertificate(tmp_path, (name, "localhost")), server_context()) for name in ("one.test", "two.test")]
    for certificate, context in servers:
        certificate.load_into(context, NOW)
    before = (tmp_path / "tls" / "server.pem").read_bytes()
    for name, (certificate, context) in zip(("one.test", "two.test"), servers, strict=True):
        certificate.load_into(context, NOW + timedelta(days=1))
        assert greet(context, tmp_path, name) == "h2"
    assert (tmp_path / "tls" / "server.pem").read_bytes() == before


@pytest.mark.parametrize("before", ["nothing", "another name", "an old authority"])
def test_a_kill_between_any_two_steps_leaves_no_broken_pair(tmp_path: Path, before: str) -> None:
    now, names = NOW, NAMES
    deaths = 0
    for call in range(100):
        home = tmp_path / str(call)
        home.mkdir()
        if before != "nothing":
            own(home, ("old.example",), NOW - timedelta(days=3630) if before == "an old authority" else NOW)
        child = os.fork()
        if child == 0:
            try:
                dying(call)
                own(home, names, now)
            finally:
                os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        deaths += killed
        assert greet(own(home, names, now), home) == "h2"
        if before == "another name":
            assert authority_file(home).read_bytes() in (home / "tls" / "ca.key").read_bytes()
        if not killed:
            break
        shutil.rmtree(home)
    assert deaths >= 5
    assert not killed


def test_what_a_killed_server_has_left_goes_once_it_is_old(tmp_path: Path) -> None:
    own(tmp_path)
    left = [tmp_path / "tls" / f".server.pem.{number}.abcd" for number in (1, 2)]
    for path in left:
        path.write_bytes(b"a key")
    os.utime(left[0], (0, 0))
    own(tmp_path)
    assert [path.exists() for path in left] == [False, True]


def test_a_name_that_no_certificate_can_have_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="cannot stand in a certificate"):
        OwnCertificate(tmp_path, ["a..\u00fc"])


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file")
    with pytest.raises(NotReady, match="cannot be used for certificates"):
        own(tmp_path)
