"""Secrets over HTTP: set, listed and deleted, asked for by jobs, and told to nobody."""

from __future__ import annotations

from typing import Any

from heliostat.domain.records import Role

from .support import House

VALUE = "hunter2 in plain sight"
SECRET = {"group": "prod/db", "key": "password", "value": VALUE}
WANTED = {"group": "prod/db", "key": "password", "variables": ["PASSWORD"]}


def secrets(house: House) -> str:
    return f"/v1/workspaces/{house.workspace}/secrets"


async def test_a_secret_is_set_replaced_listed_and_deleted(house: House) -> None:
    made = await house.admin.put(secrets(house), json=SECRET)
    assert made.status_code == 200, made.text
    shown = made.json()
    assert shown == {
        "group": "prod/db", "key": "password", "version": "", "modifier": "ada", "modified_at": shown["modified_at"],
    }  # fmt: skip
    again = (await house.admin.put(secrets(house), json=SECRET | {"value": "another"})).json()
    second = (await house.admin.put(secrets(house), json=SECRET | {"group": "a", "version": "2"})).json()
    assert (await house.admin.get(secrets(house))).json() == {"secrets": [second, again]}
    assert (await house.admin.get(f"{secrets(house)}?group=prod/db")).json() == {"secrets": [again]}
    wrong = await house.admin.delete(f"{secrets(house)}?group=a&key=password")
    assert (wrong.status_code, wrong.json()["code"]) == (404, "not_found")
    gone = await house.admin.delete(f"{secrets(house)}?group=a&key=password&version=2")
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await house.admin.get(secrets(house))).json() == {"secrets": [again]}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"group": ""}, "group"),
    ({"group": "../x"}, "group"),
    ({"key": "a/b"}, "key"),
    ({"version": "@"}, "version"),
    ({"value": ""}, "value"),
    ({"value": 7}, "value"),
    ({"value": f"{VALUE}\0"}, "value"),
    ({"value": VALUE * 4000}, "value"),
    ({"value": VALUE + "\u00e9" * 33_000}, "value"),
    ({"values": VALUE}, "values"),
]


async def test_bad_bodies_name_the_path_and_not_the_value(house: House) -> None:
    for change, path in BAD:
        answer = await house.admin.put(secrets(house), json=SECRET | change)
        assert (answer.status_code, answer.json()["path"]) == (422, path), answer.text
        assert VALUE not in answer.text
    surrogate = b'{"group": "g", "key": "k", "value": "\\ud800"}'
    answer = await house.admin.put(secrets(house), content=surrogate, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert (await house.admin.delete(f"{secrets(house)}?group=g")).json()["path"] == "key"


BAD_WISHES: list[tuple[dict[str, Any], str]] = [
    ({"key": "other"}, "secrets[0]"),
    ({"variables": []}, "secrets[0].variables"),
    ({"variables": ["A", "A"]}, "secrets[0].variables[1]"),
    ({"variables": ["A-B"]}, "secrets[0].variables[0]"),
    ({"variables": ["HELIOSTAT_SECRET_FILES"]}, "secrets[0].variables[0]"),
    ({"file": "a"}, "secrets[0].file"),
    ({"group": "/"}, "secrets[0].group"),
]


async def test_a_job_names_secrets_and_their_variables(house: House) -> None:
    await house.admin.put(secrets(house), json=SECRET)
    for change, path in BAD_WISHES:
        answer = await house.admin.post(house.jobs, json={"entrypoint": "true", "secrets": [WANTED | change]})
        assert (answer.status_code, answer.json()["path"]) == (422, path), answer.text
    job = await house.submit(secrets=[WANTED])
    told = [WANTED | {"version": "", "file": ""}]
    assert job["secrets"] == told
    viewer = await house.principal("vera", Role.VIEWER)
    assert (await viewer.get(f"{house.jobs}/{job['id']}")).json()["secrets"] == told
    assert (await viewer.get(house.jobs)).json()["jobs"][0]["secrets"] == told


async def test_no_answer_has_a_value(house: House) -> None:
    answers = [await house.admin.put(secrets(house), json=SECRET)]
    job = await house.submit(secrets=[WANTED])
    for path in (
        secrets(house), house.jobs, f"{house.jobs}/{job['id']}", f"{house.jobs}/{job['id']}/events",
        f"{house.jobs}/{job['id']}/why", "/metrics", "/openapi.json",
    ):  # fmt: skip
        answers.append(await house.admin.get(path))
    answers.append(await house.admin.delete(f"{secrets(house)}?group=prod/db&key=password"))
    assert all(answer.status_code < 300 for answer in answers)
    assert not any(VALUE in answer.text for answer in answers)
