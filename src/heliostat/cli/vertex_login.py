"""``heliostat login --vertex``: what the unmodified clients of Vertex AI need in their environment (Vertex contract, 3.4).

Files go into the folder ``vertex`` beside the profiles, one folder for each server: the certificate of its authority, and
a key file for each project and principal. Running it again changes nothing that still works. Before anything is printed
the key is shown to the server's own token endpoint, at the address that the clients will use and with the trust that they
will have: what is printed has worked once.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliostat.client import credentials, google_keys
from heliostat.client.errors import InvalidRequest, Unreachable
from heliostat.client.http import httpx, without_proxy

from .app import App
from .exits import ExitCode
from .failures import Failure

if TYPE_CHECKING:
    from heliostat.client import Client
    from heliostat.client.models import VertexSetup

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
HOUR = 3600
PATIENCE_SECONDS = 15.0
LOCAL = ("localhost", "127.0.0.1")
_FORMS = {
    "project_id": re.compile(r"[A-Za-z0-9-]+"),
    "project_number": re.compile(r"[0-9]+"),
    "location": re.compile(r"[A-Za-z0-9-]+"),
    "api_endpoint": re.compile(r"[\w.:\[\]-]+:[0-9]+"),
    "universe_domain": re.compile(r"[\w.:\[\]-]+"),
}
"""What a server may tell: a shell is asked to run what is printed, and files are named by some of it."""


class KeyRefused(Failure):
    """The server does not know the key, or it has expired or was revoked."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"the server does not accept the key {key}: {why}", code=ExitCode.NOT_PERMITTED)


@dataclass(frozen=True)
class Environment:
    """What to set, and what to call then."""

    setup: VertexSetup
    key_file: Path
    ca_file: Path | None
    """None when the server's certificate is signed by an authority that everybody trusts."""

    @property
    def variables(self) -> dict[str, str]:
        """In the order of the contract."""
        ca = {} if self.ca_file is None else dict.fromkeys(_CA_VARIABLES, str(self.ca_file))
        return {
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.key_file),
            "GOOGLE_CLOUD_UNIVERSE_DOMAIN": self.setup.universe_domain,
            **ca,
            "GOOGLE_API_USE_CLIENT_CERTIFICATE": "false",
            "GOOGLE_API_USE_MTLS_ENDPOINT": "never",
            "NO_GCE_CHECK": "true",
            "no_proxy": ",".join(dict.fromkeys([*_unproxied(), *LOCAL])),
        }

    @property
    def init(self) -> str:
        """The first line of a program."""
        setup = self.setup
        return (
            f'aiplatform.init(project="{setup.project_id}", location="{setup.location}", '
            f'api_endpoint="{setup.api_endpoint}", api_transport="grpc")'
        )

    def lines(self) -> list[str]:
        """For a shell. The comment comes last, so that it does no harm to whoever forgets the quotes."""
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self.variables.items()]
        return [*exports, f"# then, in Python: {self.init}"]

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "environment": self.variables,
            "project_id": self.setup.project_id,
            "project_number": self.setup.project_number,
            "location": self.setup.location,
            "api_endpoint": self.setup.api_endpoint,
            "key_file": str(self.key_file),
            "ca_file": None if self.ca_file is None else str(self.ca_file),
            "init": self.init,
        }


_CA_VARIABLES = ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""All three replace the roots that are trusted otherwise (Vertex contract, section 3.2)."""


def prepare(app: App, project: str | None, given: Path | None) -> Environment:
    """Write what is lacking and check that it works. Raises HeliostatError or Failure with what to do."""
    with app.client() as client:
        setup = client.keys.google_setup(project)
        check_plain(setup)
        folder = credentials.profiles_file().absolute().parent / "vertex" / re.sub(r"[^\w.-]+", "_", setup.api_endpoint)
        ca = _authority(setup, folder, client.credentials.ca)
        if given is not None:
            path = given.expanduser().absolute()
            check(google_keys.read_file(path, setup.universe_domain), setup, ca)
            return Environment(setup, path, ca)
        path = folder / f"{setup.project_number}-{re.sub(r'[^0-9A-Za-z-]', '_', client.me().id)}.json"
        if not _good(path, setup, ca):
            made = _made(client, setup, path)
            check(made, setup, ca)
            app.say(f"made a key: {path}")
        return Environment(setup, path, ca)


def check_plain(setup: VertexSetup) -> None:
    """Raises Failure unless everything that is printed or names a file has the form that it has at a server of ours."""
    for name, form in _FORMS.items():
        told = getattr(setup, name)
        if not isinstance(told, str) or not form.fullmatch(told):
            raise Failure(f"the server tells a {name} that cannot be one: {told!r}")


def check(key: Mapping[str, Any], setup: VertexSetup, ca: Path | None) -> None:
    """Show the key to the token endpoint. Raises KeyRefused, Unreachable."""
    trust = ssl.create_default_context(cafile=str(ca)) if ca else True
    form = {"grant_type": JWT_BEARER, "assertion": _assertion(key)}
    try:
        with httpx.Client(verify=trust, timeout=PATIENCE_SECONDS, mounts=without_proxy(setup.token_uri)) as http:
            answer = http.post(setup.token_uri, data=form)
    except httpx.TransportError as error:
        raise Unreachable(_unreachable(setup, str(error))) from error
    try:
        said = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict) or answer.status_code >= 500:
        raise Unreachable(f"{setup.token_uri} does not answer as a Heliostat server does (status {answer.status_code})")
    if answer.status_code != 200:
        why = said.get("error_description", "no reason was given")
        raise KeyRefused(key["private_key_id"], why)


def _good(path: Path, setup: VertexSetup, ca: Path | None) -> bool:
    """Whether the key that an earlier run made can still be used."""
    if not path.exists():
        return False
    try:
        check(google_keys.read_file(path, setup.universe_domain), setup, ca)
    except (InvalidRequest, KeyRefused):
        return False
    return True


def _made(client: Client, setup: VertexSetup, path: Path) -> Mapping[str, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = client.keys.create_google_key(
        path,
        project=setup.project_number,
        description=f"heliostat login --vertex on {socket.gethostname()}",
        force=True,
    )
    return made.key_file


def _authority(setup: VertexSetup, folder: Path, known: str | None) -> Path | None:
    """The file of the authority to trust; of a given certificate the one that ``heliostat login --ca`` was told."""
    if setup.ca_certificate is None:
        return Path(known).absolute() if known else None
    path = folder / "ca.pem"
    with contextlib.suppress(OSError):
        if path.read_text() == setup.ca_certificate:
            return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        partial.write_text(setup.ca_certificate)
        partial.chmod(0o644)  # a certificate is no secret, and whatever the umask is, other users may need it
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _assertion(key: Mapping[str, Any]) -> str:
    """As Google's client signs it for a token endpoint."""
    import jwt  # here, since hardly any command needs it

    now = int(time.time())
    email = key["client_email"]
    claims = {"iss": email, "iat": now, "exp": now + HOUR, "aud": "https://oauth2.googleapis.com/token", "scope": SCOPE}
    try:
        return jwt.encode(claims, key["private_key"], "RS256", headers={"kid": key["private_key_id"]})
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise InvalidRequest("the key file's private_key is not a private key that can be used") from error


def _unreachable(setup: VertexSetup, cause: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        return (
            f"the certificate of {setup.api_endpoint} cannot be trusted ({cause}); if a private authority signed it, name its "
            "file: heliostat login --ca FILE"
        )
    return (
        f"nothing answers with TLS at {setup.api_endpoint} ({cause}), where Google's clients would go; if the server is on "
        "another machine, start it with --public-url, or with --tls-cert and --tls-key"
    )


def _unproxied() -> list[str]:
    """What goes past the proxy already."""
    shown = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return [name.strip() for name in shown.split(",") if name.strip()]
