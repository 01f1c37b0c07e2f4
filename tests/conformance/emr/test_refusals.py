"""Bad input, wrong moments and missing rights, as the SDK's users see them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heliostat.domain.ids import WorkspaceId
from heliostat.domain.records import Role
from heliostat.services import Caller
from heliostat.testing.harness import HarnessServer, threaded

from .sdk import HEAD, WORKER, Driver, Sdk, SdkError

UUID = r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"


def head(**fields: object) -> dict[str, Any]:
    return {"headSpec": HEAD | fields}


def workers(*groups: object, **of_head: object) -> dict[str, Any]:
    return {"headSpec": HEAD | of_head, "workerSpec": list(groups)}


def group(**fields: object) -> dict[str, Any]:
    return WORKER | fields


SCALING = {"enableAutoScaling": True}
ELSEWHERE = "ray-1.3.0 (Ray 2.60.0, Python 3.12)"

BAD_BODIES: list[tuple[dict[str, Any], str, str]] = [
    ({"name": None}, "MissingParameter", "name"),
    ({"name": ""}, "InvalidParameter", "name"),
    ({"name": "n" * 65}, "InvalidParameter", "name"),
    ({"name": "集" * 65}, "InvalidParameter", "name"),
    ({"name": 7}, "InvalidParameter", "name"),
    ({"headSpec": None}, "MissingParameter", "headSpec"),
    ({"headSpec": {}}, "MissingParameter", "headSpec.queueName"),
    (head(cpu=None), "MissingParameter", "headSpec.cpu"),
    (head(memory=None), "MissingParameter", "headSpec.memory"),
    (head(queueName="nope"), "InvalidParameter", "headSpec.queueName"),
    (head(cpu="many"), "InvalidParameter", "headSpec.cpu"),
    (head(cpu="0"), "InvalidParameter", "headSpec.cpu"),
    (head(cpu=True), "InvalidParameter", "headSpec.cpu"),
    (head(memory="much"), "InvalidParameter", "headSpec.memory"),
    (head(gpuSpec="ecs.nope"), "InvalidParameter", "headSpec.gpuSpec"),
    (head(env="A"), "InvalidParameter", "headSpec.env"),
    (head(rayStartParams="--head"), "InvalidParameter", "headSpec.rayStartParams"),
    (head(rayStartParams="--node-manager-port=1"), "InvalidParameter", "headSpec.rayStartParams"),
    (head(idleTimeoutSeconds=0), "InvalidParameter", "headSpec.idleTimeoutSeconds"),
    (head(idleTimeoutSeconds=10**9), "InvalidParameter", "headSpec.idleTimeoutSeconds"),
    (head(enableAutoScaling="yes"), "InvalidParameter", "headSpec.enableAutoScaling"),
    (head(gftEnabled=True), "MissingParameter", "headSpec.gftConfig.redisUrl"),
    (head(gftEnabled=True, gftConfig={}), "MissingParameter", "headSpec.gftConfig.redisUrl"),
    (head(displayReleaseVersion="ray-9.0.0"), "InvalidParameter", "headSpec.displayReleaseVersion"),
    (
        head(displayReleaseVersion=ELSEWHERE) | {"displayReleaseVersion": "ray-1.0.0"},
        "InvalidParameter",
        "headSpec.displayReleaseVersion",
    ),
    ({"displayReleaseVersion": "ray-9.0.0 (Ray 9.0.0, Python 3.12)"}, "InvalidParameter", "displayReleaseVersion"),
    ({"networkServiceName": "nope"}, "InvalidParameter", "networkServiceName"),
    ({"extraParam": "not json"}, "InvalidParameter", "extraParam"),
    ({"extraParam": "[1]"}, "InvalidParameter", "extraParam"),
    ({"volumeIds": ["vol-1234567890", "vol-nope"]}, "InvalidParameter", "volumeIds[1]"),
    ({"description": "d" * 1025}, "InvalidParameter", "description"),
    (workers(*[group(groupName=f"g{number}") for number in range(51)]), "InvalidParameter", "workerSpec"),
    (workers(None), "InvalidParameter", "workerSpec[0]"),
    (workers(group(), group()), "InvalidParameter", "workerSpec[1].groupName"),
    (workers(group(groupName="has blank")), "InvalidParameter", "workerSpec[0].groupName"),
    (workers(group(groupName="g" * 64)), "InvalidParameter", "workerSpec[0].groupName"),
    (workers(group(groupName="")), "InvalidParameter", "workerSpec[0].groupName"),
    (workers(group(workerType="TPU")), "InvalidParameter", "workerSpec[0].workerType"),
    (workers(group(replica=0)), "InvalidParameter", "workerSpec[0].replica"),
    (workers(group(replica=-1)), "InvalidParameter", "workerSpec[0].replica"),
    (workers(group(replica="two")), "InvalidParameter", "workerSpec[0].replica"),
    (workers(group(replica=10**6)), "InvalidParameter", "workerSpec[0].replica"),
    (workers(group(minReplica=0)), "InvalidParameter", "workerSpec[0].minReplica"),
    (workers(group(maxReplica=0)), "InvalidParameter", "workerSpec[0].maxReplica"),
    (workers(group(minReplica=3, maxReplica=2)), "InvalidParameter", "workerSpec[0].minReplica"),
    (workers(group(maxReplica=2), **SCALING), "MissingParameter", "workerSpec[0].minReplica"),
    (workers(group(minReplica=1), **SCALING), "MissingParameter", "workerSpec[0].maxReplica"),
    (workers(group(replica=5, minReplica=1, maxReplica=2), **SCALING), "InvalidParameter", "workerSpec[0].replica"),
    (workers(group(), group(groupName="b", queueName="nope")), "InvalidParameter", "workerSpec[1].queueName"),
    (workers(group(displayReleaseVersion="ray-1.0.0")), "InvalidParameter", "workerSpec[0].displayReleaseVersion"),
]


@pytest.mark.parametrize(("fields", "code", "path"), BAD_BODIES)
def test_bad_bodies(sdk: Sdk, fields: dict[str, Any], code: str, path: str) -> None:
    """Create and update refuse with the path of what is wrong, and make or change nothing."""
    before = sdk("ListRayCluster", pageSize=100)["rayClusters"]
    with pytest.raises(SdkError) as refused:
        sdk("CreateRayCluster", **({"name": "bad", "headSpec": HEAD} | fields))
    assert (refused.value.status_code, refused.value.code) == (400, code)
    assert f"400, {path}: " in refused.value.message
    assert sdk("ListRayCluster", pageSize=100)["rayClusters"] == before


def test_messages_use_the_names_of_this_api(sdk: Sdk) -> None:
    with pytest.raises(SdkError) as refused:
        sdk("CreateRayCluster", name="bad", **workers(group(minReplica=3, maxReplica=2)))
    assert "must not exceed maxReplica" in refused.value.message


def test_a_bad_update_changes_nothing(sdk: Sdk) -> None:
    cluster = sdk.create("bad update")
    before = sdk.get(cluster)
    for fields, code in (
        ({"description": "x", "workerSpec": [group(replica=0)]}, "InvalidParameter"),
        ({"description": "x", "headSpec": {"queueName": "root_queue", "cpu": "1"}}, "MissingParameter"),
        ({"name": ""}, "InvalidParameter"),
    ):
        with pytest.raises(SdkError) as refused:
            sdk("UpdateRayCluster", cluster, **fields)
        assert refused.value.code == code
    assert sdk.get(cluster) | {"requestId": ""} == before | {"requestId": ""}
    sdk.remove(cluster)


def test_names_are_unique_until_deleted(sdk: Sdk) -> None:
    first = sdk.create("unique")
    with pytest.raises(SdkError) as taken:
        sdk.create("unique")
    assert (taken.value.status_code, taken.value.code) == (409, "ResourceAlreadyExists")
    sdk.remove(first)
    sdk.remove(sdk.create("unique"))


def denied(sdk: Sdk, operation: str, *path: str, **request: Any) -> SdkError:
    with pytest.raises(SdkError) as refused:
        if operation == "DeleteRayCluster":
            sdk.plain(operation, *path)
        else:
            sdk(operation, *path, **request)
    return refused.value


class TestStates:
    def test_stopped(self, sdk: Sdk) -> None:
        cluster = sdk.create("stopped")
        sdk("StopRayCluster", cluster)
        assert denied(sdk, "StopRayCluster", cluster, instanceId=f"{cluster}-00000000").code == "OperationDenied"
        assert sdk.get(cluster)["state"] == "Stopped"
        sdk.plain("DeleteRayCluster", cluster)
        for operation in ("StartRayCluster", "StopRayCluster", "UpdateRayCluster", "DeleteRayCluster"):
            assert denied(sdk, operation, cluster).code == "ResourceNotFound"

    def test_starting(self, sdk: Sdk, server: HarnessServer) -> None:
        cluster = sdk.create("starting")
        server.world.start_seconds = 3600
        try:
            sdk("StartRayCluster", cluster, clientToken="starting-1")
            assert sdk.get(cluster)["state"] == "Starting"
            assert not {"dashboardUrl", "jobUrl", "submitToken"} & set(sdk.get(cluster))
            sdk("StartRayCluster", cluster, clientToken="starting-1")
            assert denied(sdk, "StartRayCluster", cluster).code == "OperationDenied"
            assert denied(sdk, "StartRayCluster", cluster, clientToken="starting-2").code == "OperationDenied"
            assert denied(sdk, "DeleteRayCluster", cluster).status_code == 409
            sdk("UpdateRayCluster", cluster, workerSpec=[])
            assert sdk.get(cluster)["modified"] is False
            sdk("UpdateRayCluster", cluster, headSpec=HEAD | {"cpu": "2"})
            assert sdk.get(cluster)["modified"] is True
            sdk("StopRayCluster", cluster)
            assert sdk.state(cluster, "Stopped")["modified"] is False
        finally:
            server.world.start_seconds = 0
        sdk.remove(cluster)

    def test_running(self, sdk: Sdk) -> None:
        cluster = sdk.create("running")
        sdk("StartRayCluster", cluster, clientToken="running-1")
        first = sdk.state(cluster, "Running")
        sdk("StartRayCluster", cluster, clientToken="running-1")
        assert denied(sdk, "StartRayCluster", cluster).code == "OperationDenied"
        assert denied(sdk, "DeleteRayCluster", cluster).code == "OperationDenied"
        assert denied(sdk, "StopRayCluster", cluster, instanceId=f"{cluster}-00000000").status_code == 409
        sdk("UpdateRayCluster", cluster, description="no restart needed", name="renamed")
        assert sdk.get(cluster)["modified"] is False
        sdk("UpdateRayCluster", cluster, headSpec=HEAD | {"env": "A=1"})
        assert sdk.get(cluster)["modified"] is True
        sdk("StopRayCluster", cluster)
        sdk.state(cluster, "Stopped")
        sdk("StartRayCluster", cluster)
        second = sdk.state(cluster, "Running")
        assert second["modified"] is False
        assert second["instanceId"] != first["instanceId"]
        assert second["submitToken"] != first["submitToken"]
        late = denied(sdk, "StopRayCluster", cluster, instanceId=first["instanceId"])
        assert (late.status_code, late.code) == (409, "OperationDenied")
        assert sdk.get(cluster)["state"] == "Running"
        sdk.remove(cluster)

    def test_error(self, sdk: Sdk, server: HarnessServer) -> None:
        server.world.failing["doomed"] = "worker group g1: environment build failed"
        cluster = sdk.create("doomed")
        sdk("StartRayCluster", cluster)
        assert sdk.state(cluster, "Error")["message"] == "worker group g1: environment build failed"
        del server.world.failing["doomed"]
        sdk("StartRayCluster", cluster)
        assert sdk.state(cluster, "Running")["message"] == "ok"
        sdk.remove(cluster)

    def test_a_client_token_starts_one_cluster_only(self, sdk: Sdk) -> None:
        one, other = sdk.create("token one"), sdk.create("token other")
        sdk("StartRayCluster", one, clientToken="shared")
        refused = denied(sdk, "StartRayCluster", other, clientToken="shared")
        assert (refused.status_code, refused.code) == (400, "IdempotentParameterMismatch")
        assert denied(sdk, "StartRayCluster", other, clientToken="t" * 129).code == "InvalidParameter"
        assert denied(sdk, "StartRayCluster", other, clientToken=5).code == "InvalidParameter"
        assert denied(sdk, "StopRayCluster", other, instanceId=[]).code == "InvalidParameter"
        sdk.remove(one)
        sdk.remove(other)

    def test_a_release_that_cannot_run_here(self, sdk: Sdk, server: HarnessServer) -> None:
        cluster = sdk.create("no python", displayReleaseVersion="ray-1.0.0")
        server.world.releases_missing["ray-1.0.0"] = "install Python 3.12"
        try:
            refused = denied(sdk, "StartRayCluster", cluster)
            assert (refused.status_code, refused.code) == (409, "OperationDenied")
            assert "install Python 3.12" in refused.message
            offline = sdk.raw("ListReleaseVersions", request={"releaseVersionStatus": "OFFLINE"}).body[
                "releaseVersions"
            ]
            assert [row["releaseVersion"] for row in offline] == ["ray-1.0.0"]
        finally:
            del server.world.releases_missing["ray-1.0.0"]
        sdk.remove(cluster)


class TestErrorsAsUsersSeeThem:
    def test_a_client_exception(self, sdk: Sdk, server: HarnessServer) -> None:
        refused = denied(sdk, "StartRayCluster", "ray-0000000000000000")
        assert (refused.type, refused.status_code, refused.code) == ("ClientException", 404, "ResourceNotFound")
        assert re.fullmatch(UUID, refused.request_id)
        assert refused.message == (
            f"code: 404, cluster 'ray-0000000000000000' does not exist request id: {refused.request_id}"
        )
        assert refused.data["HostId"] == f"127.0.0.1:{server.port}"
        assert refused.data["Recommend"] == ""

    @pytest.mark.parametrize("cluster", ["", "..%2F", "a/b", "ü", "x" * 300, "\0"])
    def test_odd_ids_name_nothing(self, sdk: Sdk, cluster: str) -> None:
        assert denied(sdk, "StartRayCluster", cluster).code == "ResourceNotFound"

    def test_empty_workspace_ids(self, sdk: Sdk) -> None:
        for operation in ("ListRayCluster", "GetWorkspace", "CreateRayCluster"):
            with pytest.raises(SdkError) as refused:
                sdk.raw(operation, "", request={})
            assert (refused.value.status_code, refused.value.code) == (404, "ResourceNotFound")

    def test_an_unknown_workspace_comes_before_a_bad_body(self, sdk: Sdk) -> None:
        assert denied(sdk, "CreateRayCluster", "w-0000000000000000", name=7).code == "ResourceNotFound"

    def test_a_bad_body_comes_before_an_unknown_cluster(self, sdk: Sdk) -> None:
        assert denied(sdk, "UpdateRayCluster", "ray-0000000000000000", name=7).code == "InvalidParameter"

    @pytest.mark.parametrize("operation", ["CreateNetworkService", "ListMembers"])
    def test_operations_that_are_not_offered(self, sdk: Sdk, operation: str) -> None:
        refused = denied(sdk, operation)
        assert (refused.status_code, refused.code) == (404, "InvalidAction.NotFound")
        assert operation in refused.message


class TestCredentials:
    def test_wrong_secret(self, sdk: Sdk) -> None:
        refused = denied(sdk.configured(access_key_secret="wrong"), "ListRayCluster")
        assert (refused.status_code, refused.code) == (400, "SignatureDoesNotMatch")

    def test_unknown_key(self, sdk: Sdk) -> None:
        refused = denied(sdk.configured(access_key_id="HELINOBODY"), "ListRayCluster")
        assert (refused.status_code, refused.code) == (404, "InvalidAccessKeyId.NotFound")

    def test_unknown_bearer_token(self, sdk: Sdk) -> None:
        keyless = sdk.configured(access_key_id=None, access_key_secret=None, bearer_token="hlt_nope")
        refused = denied(keyless, "ListRayCluster")
        assert (refused.status_code, refused.code) == (403, "InvalidBearerToken")

    def test_security_tokens(self, sdk: Sdk) -> None:
        refused = denied(sdk.configured(security_token="token"), "ListRayCluster")
        assert (refused.status_code, refused.code) == (400, "InvalidSecurityToken.MismatchWithAccessKey")

    @pytest.mark.parametrize("algorithm", ["ACS3-HMAC-SM3", "v2"])
    def test_other_algorithms(self, sdk: Sdk, algorithm: str) -> None:
        refused = denied(sdk.configured(signature_algorithm=algorithm), "ListRayCluster")
        assert (refused.status_code, refused.code) == (400, "InvalidSignatureMethod")

    def test_endpoints_with_a_trailing_slash_or_a_scheme(self, sdk: Sdk, server: HarnessServer) -> None:
        for endpoint in (f"127.0.0.1:{server.port}/", f"http://127.0.0.1:{server.port}"):
            assert "rayClusters" in sdk.configured(endpoint=endpoint, protocol="HTTP")("ListRayCluster")

    def test_a_revoked_key(self, sdk: Sdk, server: HarnessServer) -> None:
        async def make() -> tuple[str, str]:
            services = server.running.server.services
            admin = await services.identity.by_token(server.token)
            made = await services.identity.create_access_key(Caller(admin))
            await services.identity.revoke(Caller(admin), made.credential.id)
            return made.credential.id, made.secret.reveal()

        key, secret = asyncio.run(make())
        refused = denied(sdk.configured(access_key_id=key, access_key_secret=secret), "ListRayCluster")
        assert (refused.status_code, refused.code) == (403, "InvalidAccessKeyId.Inactive")
        guessed = denied(sdk.configured(access_key_id=key, access_key_secret="guess"), "ListRayCluster")
        assert guessed.code == "SignatureDoesNotMatch"


class TestRoles:
    def client(self, sdk: Sdk, server: HarnessServer, name: str, role: Role | None) -> Sdk:
        """The SDK with a token of a principal with this role."""

        async def make() -> str:
            identity = server.running.server.services.identity
            admin = Caller(await identity.by_token(server.token))
            made = await identity.create_token(admin, principal=name)
            await identity.grant(admin, WorkspaceId(server.workspace), name, role)
            return made.token.reveal()

        return sdk.configured(access_key_id=None, access_key_secret=None, bearer_token=asyncio.run(make()))

    def test_viewers_see_and_change_nothing(self, sdk: Sdk, server: HarnessServer) -> None:
        viewer = self.client(sdk, server, "vera", Role.VIEWER)
        cluster = sdk.create("seen by viewers")
        sdk("StartRayCluster", cluster)
        sdk.state(cluster, "Running")
        body = viewer.get(cluster)
        assert body["dashboardUrl"] and body["jobUrl"] and "submitToken" not in body
        requests = {"CreateRayCluster": {"name": 7}}
        for operation in (
            "CreateRayCluster",
            "UpdateRayCluster",
            "StartRayCluster",
            "StopRayCluster",
            "DeleteRayCluster",
        ):
            path = () if operation == "CreateRayCluster" else (cluster,)
            refused = denied(viewer, operation, *path, **requests.get(operation, {}))
            assert (refused.status_code, refused.code) == (403, "Forbidden.RAM")
            detail = refused.access_denied_detail
            assert detail is not None
            assert detail["AuthAction"] == f"emr-serverless-spark:{operation}"
            assert detail["AuthPrincipalDisplayName"] == "vera"
        sdk.remove(cluster)

    def test_without_a_role_the_workspace_does_not_exist(self, sdk: Sdk, server: HarnessServer) -> None:
        stranger = self.client(sdk, server, "sven", None)
        assert stranger.raw("ListWorkspaces", request={}).body["workspaces"] == []
        for operation in ("GetWorkspace", "ListRayCluster", "CreateRayCluster"):
            assert denied(stranger, operation).code == "ResourceNotFound"

    def test_editors_make_clusters(self, sdk: Sdk, server: HarnessServer) -> None:
        editor = self.client(sdk, server, "edda", Role.EDITOR)
        cluster = editor.create("by an editor")
        assert sdk.get(cluster)["creatorName"] == "edda"
        sdk("UpdateRayCluster", cluster, description="x")
        body = sdk.get(cluster)
        assert body["creatorName"] == "edda" != body["modifierName"]
        assert body["creator"] != body["modifier"]
        editor.remove(cluster)


@pytest.fixture
def slow_door(tmp_path: Path) -> Iterator[HarnessServer]:
    """A server that lets every key read once a second and write three times a minute."""
    (tmp_path / "config.toml").write_text("[emr]\nreads_per_second = 1\nwrites_per_second = 0.05\n")
    with threaded(tmp_path) as up:
        yield up


def test_throttling(driver: Driver, slow_door: HarnessServer) -> None:
    sdk = Sdk.for_server(driver, slow_door)
    cluster = sdk.create("only one write")
    refused = denied(sdk, "StartRayCluster", cluster)
    assert (refused.type, refused.status_code, refused.code) == ("ThrottlingException", 429, "Throttling.User")
    assert refused.retry_after is not None and 15_000 < refused.retry_after <= 20_000
    assert sdk.get(cluster)["state"] == "Stopped", "reads are counted apart"
    bearer = Sdk.for_server(driver, slow_door, bearer=True)
    bearer("StartRayCluster", cluster)


@pytest.mark.slow
def test_a_throttled_client_that_retries_gets_through(driver: Driver, slow_door: HarnessServer) -> None:
    policy = {
        "retryable": True,
        "retryCondition": [{"maxAttempts": 3, "exception": ["ThrottlingException"], "maxDelay": 5000}],
    }
    sdk = Sdk.for_server(driver, slow_door).configured(retry_options=policy)
    for _ in range(3):
        sdk("ListRayCluster")


def test_created_clusters_start_at_once_when_the_operator_wants_it(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[emr]\nstarts_clusters = true\n")
    with threaded(tmp_path) as server:
        sdk = Sdk.for_server(driver, server)
        assert sdk.state(sdk.create("at once"), "Running")
