"""Where credentials are found, what wins, and that a token goes nowhere it does not belong."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from heliostat.client import credentials
from heliostat.client.credentials import Credentials
from heliostat.client.errors import InvalidRequest, NoCredentials


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment whose files are all in ``tmp_path``, without HELIOSTAT_HOME."""
    return {"HELIOSTAT_PROFILES": str(tmp_path / "config" / "profiles.json")}


def server_file(home: Path, endpoint: str = "http://127.0.0.1:8600") -> None:
    home.mkdir(parents=True, exist_ok=True)
    row = {"endpoint": endpoint, "token": "hlt_local", "workspace_id": "w-local", "access_key_id": "HELI"}
    (home / "credentials.json").write_text(json.dumps(row))


def test_arguments_win_over_variables_and_variables_over_files(tmp_path: Path, env: dict[str, str]) -> None:
    server_file(tmp_path)
    env |= {"HELIOSTAT_HOME": str(tmp_path)}
    assert credentials.find(environ=env).token == "hlt_local"
    env |= {"HELIOSTAT_ENDPOINT": "http://two", "HELIOSTAT_TOKEN": "hlt_two", "HELIOSTAT_WORKSPACE": "w-two"}
    found = credentials.find(environ=env)
    assert (found.endpoint, found.token, found.workspace) == ("http://two", "hlt_two", "w-two")
    found = credentials.find("http://three/", "hlt_three", "w-three", environ=env)
    assert (found.endpoint, found.token, found.workspace) == ("http://three", "hlt_three", "w-three")


def test_a_single_variable_completes_what_a_file_says(tmp_path: Path, env: dict[str, str]) -> None:
    server_file(tmp_path)
    env |= {"HELIOSTAT_HOME": str(tmp_path), "HELIOSTAT_WORKSPACE": "w-other"}
    found = credentials.find(environ=env)
    assert (found.token, found.workspace) == ("hlt_local", "w-other")
    found = credentials.find(token="hlt_mine", environ=env)
    assert (found.endpoint, found.token, found.source) == ("http://127.0.0.1:8600", "hlt_mine", "given")


def test_a_variable_names_the_authority_whatever_the_files_say(tmp_path: Path, env: dict[str, str]) -> None:
    credentials.save_profile("one", Credentials("https://one", "hlt_1", ca="/ca.pem"), env)
    assert credentials.find(environ=env).ca == "/ca.pem"
    env |= {"HELIOSTAT_CA_FILE": "other.pem"}
    assert credentials.find(environ=env).ca == str(Path("other.pem").absolute())
    assert credentials.find("https://two", "hlt_2", environ=env).ca == str(Path("other.pem").absolute())


def test_a_token_is_not_sent_to_another_endpoint(tmp_path: Path, env: dict[str, str]) -> None:
    server_file(tmp_path)
    env |= {"HELIOSTAT_HOME": str(tmp_path)}
    credentials.save_profile("work", Credentials("https://work", "hlt_work", "w-work"), env)
    with pytest.raises(NoCredentials, match="no token is known for http://evil"):
        credentials.find("http://evil", environ=env)
    assert credentials.find("https://WORK/", environ=env).token == "hlt_work"
    assert credentials.find("http://127.0.0.1:8600", environ=env).token == "hlt_local"


def test_profiles_are_kept_private_and_chosen_by_name(tmp_path: Path, env: dict[str, str]) -> None:
    path = credentials.save_profile("one", Credentials("https://one/", "hlt_1", "w-1", ca="/ca.pem"), env)
    credentials.save_profile("two", Credentials("https://two", "hlt_2"), env)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [row.name for row in path.parent.iterdir()] == [path.name]
    assert credentials.find(environ=env).token == "hlt_2"
    one = credentials.find(profile="one", environ=env)
    assert (one.endpoint, one.token, one.workspace, one.ca) == ("https://one", "hlt_1", "w-1", "/ca.pem")
    assert credentials.find(environ={**env, "HELIOSTAT_PROFILE": "one"}) == one
    with pytest.raises(NoCredentials, match="'three'"):
        credentials.find(profile="three", environ=env)
    assert credentials.remove_profile("two", env) and not credentials.remove_profile("two", env)
    assert credentials.find(environ=env).token == "hlt_1"


def test_a_file_that_was_readable_by_others_is_not_any_more(env: dict[str, str]) -> None:
    path = Path(env["HELIOSTAT_PROFILES"])
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    path.chmod(0o644)
    credentials.save_profile("one", Credentials("https://one", "hlt_1"), env)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_home_that_is_named_means_the_server_there(tmp_path: Path, env: dict[str, str]) -> None:
    credentials.save_profile("work", Credentials("https://work", "hlt_work"), env)
    server_file(tmp_path / "home")
    assert credentials.find(home=tmp_path / "home", environ=env).token == "hlt_local"
    assert credentials.find(environ={**env, "HELIOSTAT_HOME": str(tmp_path / "home")}).token == "hlt_local"
    with pytest.raises(NoCredentials):
        credentials.find(home=tmp_path / "empty", environ=env)


def test_what_is_missing_is_said_with_the_places_and_the_remedy(tmp_path: Path, env: dict[str, str]) -> None:
    with pytest.raises(NoCredentials) as caught:
        credentials.find(environ={**env, "HELIOSTAT_HOME": str(tmp_path)})
    for part in (
        "HELIOSTAT_ENDPOINT",
        "profiles.json",
        str(tmp_path / "credentials.json"),
        "heliostat serve",
        "heliostat login",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"endpoint": 3, "token": "x"}', '{"endpoint": "http://x"}', "\xff"])
def test_a_broken_file_is_no_traceback(tmp_path: Path, env: dict[str, str], content: str) -> None:
    (tmp_path / "credentials.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(NoCredentials):
        credentials.find(environ={**env, "HELIOSTAT_HOME": str(tmp_path)})


def test_a_file_of_somebody_else_is_no_traceback(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    server_file(tmp_path)
    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(NoCredentials, match="cannot be read: Permission denied"):
        credentials.find(environ={**env, "HELIOSTAT_HOME": str(tmp_path)})


def test_no_token_in_a_repr() -> None:
    assert "hlt_1" not in repr(Credentials("https://one", "hlt_1"))


@pytest.mark.parametrize("endpoint", ["127.0.0.1:8600", "ftp://h", "http://", "http://h:port", "http://[", "h"])
@pytest.mark.parametrize("token", ["hlt_x", None])
def test_what_is_no_address_is_told_before_anything_is_sent(
    endpoint: str, token: str | None, env: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest, match="not the address of a server; write for example http://") as raised:
        credentials.find(endpoint, token, environ=env)
    assert raised.value.path == "endpoint"


@pytest.mark.parametrize("endpoint", ["http://h:1/docs", "http://me:s3cret@h:1", "http://h:1?x", "http://h:1/#x"])
def test_an_endpoint_is_scheme_host_and_port_alone(endpoint: str, env: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match=r"http://h:1$") as raised:
        credentials.find(endpoint, "hlt_x", environ=env)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("token", ["hlt_ä", "hlt_a b", "hlt_a\nx: y"])
def test_a_token_that_no_header_can_carry_is_told_without_repeating_it(token: str, env: dict[str, str]) -> None:
    with pytest.raises(NoCredentials, match="characters that no token has") as raised:
        credentials.find("http://h", token, environ=env)
    assert token not in str(raised.value)
