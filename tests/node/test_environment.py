"""The engine's variables, applied to a node's environment; and what each release has. No Ray is started."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from heliostat_node.environment import NODE_MARKER, VARIABLES, import_environment, node_environment, overruled
from heliostat_node.features import features
from heliostat_node.protocol import NodeSpec

HEAD = NodeSpec(
    instance="i",
    node="n-1",
    kind="head",
    group="headgroup",
    directory="/d",
    temp_dir="/d/r",
    gcs_port=1,
    token_path="/d/token",
    gcs_storage_dir="/d/gcs",
    dashboard_metrics_port=5,
    autoscaler_metrics_port=6,
)
NEW = features("2.60.0")
OLD = features("2.47.1")


def test_the_head_of_a_new_release() -> None:
    result = node_environment(HEAD, NEW)
    assert result["RAY_AUTH_MODE"] == "token"
    assert result["RAY_AUTH_TOKEN_PATH"] == "/d/token"
    assert result["RAY_gcs_storage"] == "rocksdb"
    assert result["RAY_gcs_storage_path"] == "/d/gcs"
    assert (result["DASHBOARD_METRIC_PORT"], result["AUTOSCALER_METRIC_PORT"]) == ("5", "6")
    assert result[NODE_MARKER] == result["RAY_CLOUD_INSTANCE_ID"] == "n-1"


def test_authentication_is_off_only_explicitly() -> None:
    assert node_environment(dataclasses.replace(HEAD, token_path=None), NEW)["RAY_AUTH_MODE"] == "disabled"


def test_what_the_old_release_does_not_know_is_not_set() -> None:
    result = node_environment(HEAD, OLD)
    assert not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_gcs_storage", "RAY_gcs_storage_path"} & result.keys()


def test_a_worker_has_nothing_of_the_head() -> None:
    result = node_environment(dataclasses.replace(HEAD, kind="worker"), NEW)
    assert not {"RAY_gcs_storage", "DASHBOARD_METRIC_PORT", "AUTOSCALER_METRIC_PORT"} & result.keys()


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_fixed_variables_win_and_defaults_give_way(variable) -> None:  # type: ignore[no-untyped-def]
    spec = dataclasses.replace(HEAD, environment={variable.name: "users"})
    result = node_environment(spec, NEW)
    if variable.fixed:
        assert result.get(variable.name) == variable.value(spec, NEW)
        assert overruled(spec.environment) == {variable.name: variable.reason}
    else:
        assert result[variable.name] == "users"
        assert overruled(spec.environment) == {}


def test_nothing_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "1")
    given = {"MINE": "2", "PATH": "/opt/bin", "no_proxy": "example.org"}
    result = node_environment(dataclasses.replace(HEAD, environment=given), NEW)
    assert "SECRET_OF_THE_SERVER" not in result
    assert result["MINE"] == "2"
    assert result["PATH"] == f"{Path(sys.executable).parent}:/opt/bin"
    assert result["no_proxy"] == "localhost,127.0.0.1,example.org"


def test_what_ray_reads_at_import_does_not_depend_on_the_node() -> None:
    assert import_environment() == {
        variable.name: node_environment(HEAD, NEW)[variable.name] for variable in VARIABLES if variable.at_import
    }


def test_features() -> None:
    assert (NEW.token_auth, NEW.gcs_storage, NEW.node_api) == (True, True, True)
    assert (OLD.token_auth, OLD.gcs_storage, OLD.node_api) == (False, False, True)
    assert not features("2.9.0").node_api
    assert features("2.52.0rc1").token_auth
    with pytest.raises(ValueError, match="not a Ray version"):
        features("nightly")
