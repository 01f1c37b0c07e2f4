"""What is told without a credential, the page of a run, and the way back from a browser's sign-in."""

from __future__ import annotations

from flyteidl.admin import execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import execution_pb2 as phases
from flyteidl.service import auth_pb2

from .conftest import Door
from .messages import listing

RUN = "/console/projects/p/domains/d/executions/run"


async def test_clients_are_told_where_to_get_a_token(door: Door) -> None:
    told = await door.call("GetOAuth2Metadata", auth_pb2.OAuth2MetadataRequest(), token="")
    assert (told.issuer, told.token_endpoint) == (door.up.url, f"{door.up.url}/flyte/token")
    client = await door.call("GetPublicClientConfig", auth_pb2.PublicClientAuthConfigRequest(), token="")
    assert client.authorization_metadata_key == "authorization" and list(client.scopes) == ["all"]
    asked = {"redirect_uri": client.redirect_uri, "state": "s&1", "response_type": "code"}
    back = await door.http.get(told.authorization_endpoint, params=asked)
    assert back.status_code == 302 and back.headers["location"] == f"{client.redirect_uri}?code=none&state=s%261"
    for bad in ({**asked, "redirect_uri": "https://elsewhere.example/"}, {"redirect_uri": client.redirect_uri}, {}):
        assert (await door.http.get(told.authorization_endpoint, params=bad)).status_code == 400
    grant = {"grant_type": "authorization_code", "code": "none"}
    answer = await door.http.post("/flyte/token", data=grant, headers={"authorization": ""})
    assert answer.status_code == 400 and "heliostat login --flyte" in answer.json()["error_description"]
    pair = {"client_id": door.up.access_key_id, "client_secret": door.up.access_key_secret}
    del door.http.headers["authorization"]
    made = await door.http.post("/flyte/token", data={"grant_type": "client_credentials", **pair})
    token = made.json()["access_token"]
    assert not (await door.call("ListTasks", listing(), token=token)).tasks


async def test_the_page_of_a_run(door: Door) -> None:
    del door.http.headers["authorization"]
    page = await door.http.get(RUN)
    assert page.status_code == 200 and "p/d/run" in page.text and "heliostat token" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and page.headers["cache-control"] == "no-store"
    own = {"authorization": f"Bearer {door.up.token}"}
    assert (await door.http.get(RUN, headers={"authorization": "Bearer hlt_x"})).status_code == 401
    assert (await door.http.get(RUN, headers=own)).status_code == 404
    run = execution_pb2.Execution()
    run.closure.phase = phases.WorkflowExecution.FAILED
    run.closure.error.message = "<script>alert(1)</script>"
    node = node_execution_pb2.NodeExecution()
    node.id.node_id, node.closure.phase = "n0", phases.NodeExecution.FAILED
    attempt = task_execution_pb2.TaskExecution()
    attempt.closure.logs.add(name="Dashboard", uri="http://c-1.localhost:8600/")
    attempt.closure.logs.add(name="bad", uri="javascript:alert(1)")
    door.runs.answers = {
        "GetExecution": run,
        "ListNodeExecutions": node_execution_pb2.NodeExecutionList(node_executions=[node]),
        "ListTaskExecutions": task_execution_pb2.TaskExecutionList(task_executions=[attempt]),
    }
    shown = await door.http.get(RUN, headers=own)
    assert shown.status_code == 200 and "FAILED" in shown.text and "http://c-1.localhost:8600/" in shown.text
    assert "<script>" not in shown.text and "javascript:" not in shown.text and "data-open" not in shown.text
    run.closure.phase = phases.WorkflowExecution.RUNNING
    assert "data-open" in (await door.http.get(RUN, headers=own)).text
    for path in ("/console/", "/console/projects/p", "/flyte/", "/flyte/nothing", f"{RUN}/more"):
        assert (await door.http.get(path, headers=own)).status_code == 404, path
    assert (await door.http.post(RUN, headers=own)).status_code == 405
