"""The documents say what is: generated parts are fresh, settings are complete, links lead somewhere, code is Python."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from click import Context, Group
from pydantic import BaseModel

from heliostat.cli.commands.serve import command as serve
from heliostat.cli.main import root
from heliostat.config import ConfigFile, Settings
from heliostat.domain.installation import BUILT_IN_GPUS
from heliostat.domain.releases import BUILT_IN, DEFAULT

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
FREE = ("storage.options", "warm.releases", "warm.autoscaled", "vertex.machines", "vertex.images",
        "flyte.workspaces", "flyte.images", "flyte.env")  # fmt: skip
"""Tables whose keys are not ours: whatever a driver takes, any release, machine, image, project or variable."""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(text: str, language: str) -> list[str]:
    return [body for found, body in BLOCK.findall(text) if found == language]


def rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def diagram() -> ModuleType:
    spec = importlib.util.spec_from_file_location("diagram", ROOT / "scripts" / "diagram.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_the_state_diagrams_are_fresh(diagram: ModuleType) -> None:
    assert {row.document for row in diagram.DIAGRAMS} == {"clusters.md", "jobs.md"}
    for row in diagram.DIAGRAMS:
        text = row.path.read_text()
        assert row.renewed(text) == text, "run: python scripts/diagram.py"
        assert row.renewed(text.replace("stateDiagram-v2", "")) == text
        with pytest.raises(ValueError, match="markers"):
            row.renewed("")


def test_every_setting_is_told_with_its_variable_its_option_and_its_default() -> None:
    told = {row[0].strip("`"): row for row in rows(CONFIGURATION) if row[0].startswith("`HELIOSTAT_") and len(row) == 4}
    options = {parameter.name: parameter.opts for parameter in serve.get_params(Context(serve))}
    assert set(told) == {f"HELIOSTAT_{name.upper()}" for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        variable, option, default, meaning = told[f"HELIOSTAT_{name.upper()}"]
        assert option.strip("`") == f"--{name.replace('_', '-')}" in (*options.get(name, ()), "--home"), variable
        assert meaning, variable
        if field.default is not None and field.default_factory is None:
            plain = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
            assert default == f"`{plain}`", variable


def keys(value: Any, prefix: str = "") -> set[str]:
    """Dotted names of a TOML document's keys; rows of arrays of tables count as one table."""
    found = set()
    for key, item in value.items():
        if (name := f"{prefix}{key}") in FREE:
            found.add(name)
            continue
        inner = item[0] if isinstance(item, list) and item and isinstance(item[0], dict) else item
        found |= keys(inner, f"{prefix}{key}.") if isinstance(inner, dict) else {f"{prefix}{key}"}
    return found


def fields(model: type[BaseModel], prefix: str = "") -> set[str]:
    """The same of a model."""
    found = set()
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        found |= (
            {f"{prefix}{name}"} if inner is None or f"{prefix}{name}" in FREE else fields(inner, f"{prefix}{name}.")
        )
    return found


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation speaks of, also within ``tuple[...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in getattr(annotation, "__args__", ()) if (found := model_in(part))), None)


def test_the_example_file_has_every_key_and_is_accepted(tmp_path: Path) -> None:
    (example,) = blocks(CONFIGURATION, "toml")
    assert keys(tomllib.loads(example)) == fields(ConfigFile)
    for name in re.findall(r"/srv/heliostat/(.+\.txt)", example):
        (tmp_path / name).write_text("emoji\n")
    (tmp_path / "config.toml").write_text(example.replace("/srv/heliostat/", f"{tmp_path}/"))
    loaded = ConfigFile.load(Settings(home=tmp_path))
    offered = loaded.installation(url="http://h", domain="h", scheme="http")
    assert offered.catalogue.default == "ray-1.3.1" and set(offered.volumes) == {"vol-datasets"}
    scalars = {name for name, field in ConfigFile.model_fields.items() if model_in(field.annotation) is None}
    unchanged = {name for name in scalars if getattr(loaded, name) == getattr(ConfigFile(), name)}
    assert not unchanged, "the example differs from the defaults"


def test_every_key_of_the_file_is_told_with_its_default() -> None:
    told = {row[0].strip("`"): row[1] for row in rows(CONFIGURATION) if len(row) == 2}
    plain = ConfigFile()
    for name in sorted(fields(ConfigFile)):
        table, _, key = name.rpartition(".")
        found = attrgetter(table)(plain) if table else plain
        if model_in(type(found)) is None:
            assert table in told, table
            continue
        assert name in told, name
        default = getattr(found, key)
        if default not in (None, (), {}):
            shown = (
                str(default).lower()
                if isinstance(default, bool)
                else f"{default:g}"
                if isinstance(default, float)
                else default
            )
            assert told[name].startswith(f"`{shown}`"), name
    assert DEFAULT in told["default_release"]
    assert all(release.display in told["releases"] for release in BUILT_IN)
    assert all(gpu.name in told["gpus"] for gpu in BUILT_IN_GPUS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_documents_is_python(document: Path) -> None:
    for body in blocks(document.read_text(), "python"):
        ast.parse(body)


def test_files_that_documents_name_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for name in re.findall(r"`((?:tests|src|scripts)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_are_commands(document: Path) -> None:
    for block in blocks(document.read_text(), "sh"):
        for line in re.findall(r"\bheliostat ((?:[a-z-]+ ?)+.*)", block.replace("\\\n", " ")):
            words, found = line.split(), root
            while isinstance(found, Group) and words and re.fullmatch("[a-z-]+", words[0]):
                found = found.get_command(Context(found), words.pop(0))
            assert found is not None, line


def test_the_example_for_prometheus_asks_at_our_address() -> None:
    (example,) = blocks((ROOT / "docs" / "monitoring.md").read_text(), "yaml")
    ray, ours = yaml.safe_load(example)["scrape_configs"]
    assert ray["http_sd_configs"][0]["url"].endswith(f":{Settings().port}/v1/metrics/targets")
    assert ours["static_configs"][0]["targets"] == [f"127.0.0.1:{Settings().port}"]
