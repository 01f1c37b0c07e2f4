"""The server's own certificate authority and certificate, in the folder ``tls`` of the home folder.

=============  ====================================================================================================
``ca.key``     the authority: its private key and its certificate, in one file. Made once and kept: whoever trusts it
               goes on trusting the server, whatever names it has.
``ca.pem``     its certificate alone, for clients. Written again whenever it is not what ``ca.key`` says.
``server.pem`` the server's private key and certificate, in one file. Made anew when the names have changed or little
               time is left.
=============  ====================================================================================================

Every file is written aside and renamed, and what belongs together is one file, so there is nothing in between that a
crash could leave behind. Two servers that start at once agree on one authority, since only one of them can give the
file its name; each uses the certificate that it has read or made, whoever's file stays.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from heliostat.domain.errors import NotReady

from .files import authority_file

log = structlog.get_logger()
AUTHORITY_LIFETIME = timedelta(days=3650)
"""Also how long it is good before it was made: when it was made by a clock that was ahead, it must not become useless as
soon as that is set right."""
CERTIFICATE_LIFETIME = timedelta(days=397)
"""The most that every client accepts."""
RENEW_BEFORE = timedelta(days=30)
SKEW = timedelta(hours=1)
"""Clients' clocks may be behind."""
ABANDONED = timedelta(minutes=10)
"""Age of a file that was written aside and not renamed, after which its writer is taken for dead."""


@dataclass(frozen=True)
class _Pair:
    """A certificate with its private key, and how the file has them."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    text: bytes = field(repr=False)

    @classmethod
    def of(cls, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> _Pair:
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(key, certificate, private + certificate.public_bytes(serialization.Encoding.PEM))

    @classmethod
    def read(cls, text: bytes) -> _Pair:
        """Raises ValueError unless both are there and belong together."""
        key = serialization.load_pem_private_key(text, None)
        certificate = x509.load_pem_x509_certificate(text)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("key and certificate do not belong together")
        return cls(key, certificate, text)


class OwnCertificate:
    """The server's own certificate for these names."""

    def __init__(self, home: Path, names: Iterable[str]) -> None:
        self._folder = home / "tls"
        self._names = _general(names)
        self._loaded = b""

    @property
    def authority(self) -> Path:
        """The file that clients need to trust the server."""
        return authority_file(self._folder.parent)

    @property
    def pem(self) -> bytes:
        """Private key and certificate as :meth:`load_into` has loaded them last."""
        return self._loaded

    def load_into(self, context: ssl.SSLContext, now: datetime | None = None) -> None:
        """Make what is missing or outdated, and have ``context`` show it from now on. Does nothing when there is nothing
        new, so it can be called again every day. Raises NotReady."""
        now = now or datetime.now(UTC)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._sweep()
            authority = self._find_authority(now)
            current = self._find_certificate(authority, now)
            made = current is None
            pair = current or _issue(authority, self._names, now)
            if pair.text == self._loaded:
                return
            # The file could be another server's by the time it is read again, so this one is loaded from where only we
            # know of it.
            with self._aside("server.pem", pair.text, durable=made) as mine:
                context.load_cert_chain(mine)
                if made:
                    mine.replace(self._folder / "server.pem")
            self._loaded = pair.text
        except OSError as error:
            raise NotReady(f"{self._folder} cannot be used for certificates: {error.strerror or error}") from error
        if made:
            log.info("certificate made", file=str(self._folder / "server.pem"))

    def _find_authority(self, now: datetime) -> _Pair:
        """The authority, made if there is none or it is about to end. Raises NotReady, OSError."""
        file = self._folder / "ca.key"
        found = _read(file)
        if found is None:
            with self._aside("ca.key", _make_authority(now).text) as mine, contextlib.suppress(FileExistsError):
                os.link(mine, file)  # unlike a rename it fails when another server was first
            found = file.read_bytes()
        pair = self._parsed(file, found)
        if pair.certificate.not_valid_after_utc - now < RENEW_BEFORE:
            pair = _make_authority(now)
            with self._aside("ca.key", pair.text) as mine:
                mine.replace(file)
            log.warning("certificate authority made anew, clients need its file again", file=str(self.authority))
        file.chmod(0o600)
        public = pair.certificate.public_bytes(serialization.Encoding.PEM)
        if _read(self.authority) != public:
            with self._aside("ca.pem", public, mode=0o644) as mine:
                mine.replace(self.authority)
        return pair

    @staticmethod
    def _parsed(file: Path, text: bytes) -> _Pair:
        try:
            return _Pair.read(text)
        except (ValueError, TypeError) as error:
            raise NotReady(
                f"{file} is no certificate authority that this server has made; restore it, or remove it to have another "
                "made, whose ca.pem all clients need then"
            ) from error

    def _find_certificate(self, authority: _Pair, now: datetime) -> _Pair | None:
        """The certificate that is there, unless another is needed.

        The one that is shown already goes before it, so that servers of different names in one home do not take turns in
        replacing the file.
        """
        text = _read(self._folder / "server.pem")
        if text is None:
            return None
        return self._good(self._loaded, authority, now) or self._good(text, authority, now)

    def _good(self, text: bytes, authority: _Pair, now: datetime) -> _Pair | None:
        """The certificate in this file, if it can be shown now."""
        try:
            pair = _Pair.read(text)
            pair.certificate.verify_directly_issued_by(authority.certificate)
            names = pair.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return None  # it can be made again at any time
        left = pair.certificate.not_valid_after_utc - now
        early = now < pair.certificate.not_valid_before_utc
        return None if set(names) != set(self._names) or left < RENEW_BEFORE or early else pair

    def _sweep(self) -> None:
        """Remove what a killed server left: it may hold a private key."""
        old = time.time() - ABANDONED.total_seconds()
        for path in self._folder.glob(".*.*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < old:
                    path.unlink()

    @contextlib.contextmanager
    def _aside(self, name: str, text: bytes, *, mode: int = 0o600, durable: bool = True) -> Iterator[Path]:
        """A file of ours beside ``name`` with this text, ``durable`` on disk; gone afterwards unless it was renamed."""
        path = self._folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _general(names: Iterable[str]) -> list[x509.GeneralName]:
    """Names as a certificate has them. Raises NotReady for what cannot be one."""
    found: dict[x509.GeneralName, None] = {}
    for name in names:
        try:
            found[x509.IPAddress(ipaddress.ip_address(name))] = None
            continue
        except ValueError:
            pass
        try:
            found[x509.DNSName(name.lower() if name.isascii() else name.encode("idna").decode())] = None
        except ValueError as error:
            raise NotReady(f"{name!r} cannot stand in a certificate: {error}") from error
    return list(found)


def _make_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own, so that the authorities of two servers can be told apart where both are trusted.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Heliostat authority {secrets.token_hex(4)}")])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        _begun(name, name, key, now - AUTHORITY_LIFETIME, now - SKEW + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return _Pair.of(key, made.sign(key, hashes.SHA256()))


def _issue(authority: _Pair, names: list[x509.GeneralName], now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Heliostat")])
    ends = min(now - SKEW + CERTIFICATE_LIFETIME, authority.certificate.not_valid_after_utc)
    identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        _begun(subject, authority.certificate.subject, key, now - SKEW, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
    )  # fmt: skip
    return _Pair.of(key, made.sign(authority.key, hashes.SHA256()))


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
