"""Options and files to definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from heliostat.cli import definitions

NONE: dict[str, Any] = {"shape": {}, "head": {}, "plain": {}}


def created(file: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    return definitions.creation(file or {}, **{"workers": None, "groups": [], **NONE, **given})


def changed(present: dict[str, Any], file: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    return definitions.change(present, file or {}, **{"scales": [], "groups": [], "removed": [], **NONE, **given})


class TestCreate:
    def test_a_shape_is_for_every_node(self) -> None:
        found = created(workers=2, shape={"cpu": "2", "memory": "4Gi", "gpu": None, "env": {"A": "1"}})
        shape = {"cpu": "2", "memory": "4Gi", "env": {"A": "1"}}
        assert found == {"head": shape, "workers": [{"name": "workers", "replicas": 2, **shape}]}

    def test_the_head_may_differ(self) -> None:
        found = created(workers=1, shape={"cpu": "2"}, head={"cpu": "1", "memory": None})
        assert found["head"] == {"cpu": "1"}
        assert found["workers"][0]["cpu"] == "2"

    def test_a_group_keeps_what_it_says_itself(self) -> None:
        found = created(groups=[{"name": "big", "cpu": "8"}, {"name": "small"}], shape={"cpu": "1", "memory": "1Gi"})
        assert [(row["name"], row["cpu"], row["memory"]) for row in found["workers"]] == [
            ("big", "8", "1Gi"),
            ("small", "1", "1Gi"),
        ]

    def test_options_win_over_the_file(self) -> None:
        file = {
            "release": "ray-1.0.0",
            "workers": [{"name": "w", "replicas": 1, "cpu": "1", "env": {"A": "1", "B": "1"}}],
        }
        found = created(file, workers=3, shape={"env": {"B": "2"}}, plain={"release": "2.60.0", "description": None})
        assert found["release"] == "2.60.0"
        assert found["workers"] == [{"name": "w", "replicas": 3, "cpu": "1", "env": {"A": "1", "B": "2"}}]

    def test_a_file_may_use_the_short_form(self) -> None:
        found = created({"workers": 2, "cpu": 1, "memory": "1Gi"})
        assert found["head"] == {"cpu": 1, "memory": "1Gi"}
        assert found["workers"] == [{"cpu": 1, "memory": "1Gi", "name": "workers", "replicas": 2}]

    def test_the_files_dictionary_is_not_changed(self) -> None:
        file = {"workers": [{"name": "w", "env": {"A": "1"}}]}
        before = json.dumps(file)
        created(file, workers=5, shape={"env": {"A": "2"}})
        assert json.dumps(file) == before

    def test_a_number_and_groups_contradict_each_other(self) -> None:
        with pytest.raises(click.UsageError, match="cannot both be given"):
            created(workers=1, groups=[{"name": "w"}])

    def test_bounds_switch_autoscaling_on(self) -> None:
        found = created(workers=1, bounds={"min_replicas": [(None, 1)], "max_replicas": [(None, 4)]})
        assert found["autoscaling"] == {"enabled": True}
        assert found["workers"] == [{"name": "workers", "replicas": 1, "min_replicas": 1, "max_replicas": 4}]

    def test_a_greatest_number_alone_begins_with_none(self) -> None:
        assert created(bounds={"max_replicas": [(None, 4)]})["workers"] == [
            {"name": "workers", "replicas": 0, "min_replicas": 0, "max_replicas": 4}
        ]

    def test_bounds_are_for_the_group_that_they_name(self) -> None:
        groups = [{"name": "a"}, {"name": "b"}]
        found = created(groups=groups, bounds={"max_replicas": [("b", 4)]}, plain={"autoscaling": {"enabled": False}})
        assert found["workers"] == [{"name": "a"}, {"name": "b", "min_replicas": 0, "max_replicas": 4}]
        assert found["autoscaling"] == {"enabled": False}

    def test_a_head_alone(self) -> None:
        assert created() == {"workers": []}


PRESENT = {
    "head": {"cpu": "1", "memory": "2Gi", "env": {"A": "1"}},
    "workers": [
        {"name": "a", "replicas": 1, "cpu": "1", "env": {}},
        {"name": "b", "replicas": 2, "cpu": "1", "env": {"C": "1"}},
    ],
}


class TestChange:
    def test_nothing_given_changes_nothing(self) -> None:
        assert changed(PRESENT) == {}

    def test_a_group_is_scaled_by_name(self) -> None:
        found = changed(PRESENT, scales=[("b", 5)])
        assert [row["replicas"] for row in found["workers"]] == [1, 5]
        assert set(found) == {"workers"}

    def test_a_number_alone_needs_a_single_group(self) -> None:
        with pytest.raises(click.UsageError, match="say which worker group: GROUP=N; there are: a, b"):
            changed(PRESENT, scales=[(None, 5)])
        assert changed({"workers": PRESENT["workers"][:1]}, scales=[(None, 5)])["workers"][0]["replicas"] == 5

    def test_bounds_are_changed_without_switching_autoscaling(self) -> None:
        found = changed(PRESENT, bounds={"min_replicas": [("a", 0)], "max_replicas": [("a", 9)]})
        assert set(found) == {"workers"}
        assert found["workers"][0] == {**PRESENT["workers"][0], "min_replicas": 0, "max_replicas": 9}

    def test_an_unknown_group_is_named_with_those_there_are(self) -> None:
        with pytest.raises(click.UsageError, match="no worker group is named 'c'; there are: a, b"):
            changed(PRESENT, removed=["c"])

    def test_groups_are_merged_added_and_removed(self) -> None:
        found = changed(PRESENT, groups=[{"name": "b", "cpu": "4"}, {"name": "c", "replicas": 1}], removed=["a"])
        assert found["workers"] == [
            {"name": "b", "replicas": 2, "cpu": "4", "env": {"C": "1"}},
            {"name": "c", "replicas": 1},
        ]

    def test_variables_are_added_to_those_there_are(self) -> None:
        found = changed(PRESENT, shape={"env": {"B": "2"}})
        assert found["head"]["env"] == {"A": "1", "B": "2"}
        assert [row["env"] for row in found["workers"]] == [{"B": "2"}, {"C": "1", "B": "2"}]

    def test_only_the_head(self) -> None:
        assert changed(PRESENT, head={"memory": "8Gi"}) == {"head": {"memory": "8Gi"}}

    def test_labels_are_set_and_removed(self) -> None:
        kind = definitions.LabelChange()
        labels = dict(kind.convert(text, None, None) for text in ("team=vision", "old-"))
        assert changed(PRESENT, plain={"labels": labels}) == {"labels": {"team": "vision", "old": None}}


class TestGroupText:
    def test_all_keys(self) -> None:
        text = r"name=gpu, replicas=2,min=1,max=4,idle=5m,cpu=500m,memory=8Gi,env.A=1,env.LIST=a\,b,params=--num-gpus=1"
        assert definitions.GroupText().convert(text, None, None) == {
            "name": "gpu", "replicas": 2, "min_replicas": 1, "max_replicas": 4, "idle_timeout_seconds": 300,
            "cpu": "500m", "memory": "8Gi",
            "env": {"A": "1", "LIST": "a,b"}, "ray_start_params": "--num-gpus=1",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "cause"),
        [
            ("cpu=1", "names no group"),
            ("name=a,size=3", "'size=3' is not of the form"),
            ("name=a,replicas=two", "not a whole number"),
            ("name=a,cpu", "'cpu' is not of the form"),
        ],
    )
    def test_what_is_wrong_is_named(self, text: str, cause: str) -> None:
        with pytest.raises(click.BadParameter, match=cause):
            definitions.GroupText().convert(text, None, None)


class TestMount:
    def test_a_server_its_export_and_the_name_here(self) -> None:
        convert = definitions.Mount().convert
        assert convert("10.0.0.2:/exports/a=b=data", None, None) == {
            "server": "10.0.0.2", "path": "/exports/a=b", "mount_point": "data",
        }  # fmt: skip
        assert convert("[fd00::2]:/=data", None, None)["server"] == "[fd00::2]"

    @pytest.mark.parametrize("text", ["", "data", "h=/x", "h:x=data", ":/x=data", "h:/x", "h:/x="])
    def test_what_is_wrong_is_told_with_an_example(self, text: str) -> None:
        with pytest.raises(click.BadParameter, match="as in 10"):
            definitions.Mount().convert(text, None, None)


class TestFiles:
    def test_yaml_json_and_what_get_printed(self, tmp_path: Path) -> None:
        spec = {"release": "2.60.0", "workers": 2}
        for name, text in (
            ("a.yaml", "release: 2.60.0\nworkers: 2\n"),
            ("a.json", json.dumps(spec)),
            ("got.yaml", "id: ray-1\nstate: Running\nspec:\n  release: 2.60.0\n  workers: 2\n"),
        ):
            (tmp_path / name).write_text(text)
            assert definitions.read(str(tmp_path / name)) == spec

    @pytest.mark.parametrize("text", ["- a\n", "just words", "", "a: [", "1: 2"])
    def test_what_is_no_definition_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(click.BadParameter, match=r"bad\.yaml"):
            definitions.read(str(tmp_path / "bad.yaml"))
