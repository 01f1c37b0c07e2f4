"""A server with a certificate of a private authority."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

import heliostat
from heliostat.client import Unreachable
from heliostat.testing.harness import threaded


def test_a_private_authority_is_trusted_when_it_is_named_and_only_then(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    made = authority.issue_cert("127.0.0.1")
    made.private_key_pem.write_to_path(tmp_path / "key.pem")
    made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    with threaded(tmp_path / "home", tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem") as server:
        assert server.url.startswith("https://")
        with heliostat.Client(server.url, server.token, ca=str(tmp_path / "ca.pem")) as client:
            assert client.me().admin
        with heliostat.Client(server.url, server.token, retries=0) as client, pytest.raises(Unreachable, match="ca="):
            client.me()


def test_https_to_a_server_without_it_says_so(tmp_path: Path) -> None:
    with threaded(tmp_path) as server:
        endpoint = server.url.replace("http:", "https:")
        with heliostat.Client(endpoint, server.token, retries=0) as client, pytest.raises(Unreachable, match="http://"):
            client.me()
