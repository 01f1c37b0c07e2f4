"""The options of ``ray start`` as users write them."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat_node.options import OPTIONS, REFUSED, parse_ray_start_params

from .support import Release

NAMES = st.text(st.characters(categories=("L", "N"), include_characters="-_/."), min_size=1, max_size=12)
AMOUNTS = st.integers(0, 1 << 40)
RESOURCES = st.dictionaries(
    NAMES.filter(lambda name: name not in ("CPU", "GPU", "memory", "object_store_memory")), AMOUNTS
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "num-cpus": AMOUNTS,
    "num-gpus": AMOUNTS,
    "memory": st.integers(1, 1 << 50),
    "object-store-memory": st.integers(1, 1 << 50),
    "resources": RESOURCES,
    "labels": st.dictionaries(NAMES, NAMES),
    "plasma-directory": NAMES.map(lambda name: "/" + name),
    "object-spilling-directory": NAMES.map(lambda name: "/" + name),
    "include-log-monitor": st.booleans(),
    "system-config": st.dictionaries(NAMES, st.integers() | st.booleans()),
    "tracing-startup-hook": NAMES,
    "no-monitor": st.booleans(),
    "disable-usage-stats": st.just(True),
    "include-dashboard": st.just(True),
}
GIVEN = st.fixed_dictionaries({}, optional=VALUES)


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@given(GIVEN, st.booleans())
def test_command_line_and_json_mean_the_same(given: dict[str, Any], equals: bool) -> None:
    words = []
    for name, value in given.items():
        flag = OPTIONS[name].flag
        words += [f"--{name}={text_of(value)}"] if equals or flag else [f"--{name}", text_of(value)]
    expected = {OPTIONS[name].parameter: value for name, value in given.items() if OPTIONS[name].parameter}
    assert parse_ray_start_params(shlex.join(words)) == expected
    assert parse_ray_start_params(json.dumps(given)) == expected
    assert parse_ray_start_params(json.dumps({name: text_of(value) for name, value in given.items()})) == expected


@given(st.text() | st.text().map(lambda text: "--" + text) | st.text().map(lambda text: '{"num-cpus": ' + text))
def test_any_text_gives_parameters_or_a_sentence(text: str) -> None:
    try:
        values = parse_ray_start_params(text)
    except ValueError as error:
        assert str(error).endswith((".", "?")), str(error)
    else:
        assert set(values) <= {option.parameter for option in OPTIONS.values()}


@pytest.mark.parametrize("name", sorted(REFUSED))
@pytest.mark.parametrize("form", ["--{}", "--{}=1", "--{} 1", '{{"{}": "1"}}'])
def test_refused_options_say_why(name: str, form: str) -> None:
    with pytest.raises(ValueError, match="cannot be used here") as caught:
        parse_ray_start_params(form.format(name))
    assert REFUSED[name] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--num-cpus", "--num-cpus needs a value: a whole number of 0 or more."),
        ("--num-cpus=", "--num-cpus must be a whole number of 0 or more."),
        ("--num-cpus=-1", "--num-cpus must be a whole number of 0 or more."),
        ("--num-cpus=0.5", "--num-cpus must be a whole number of 0 or more."),
        ("--num-cpus=1.5", "--num-cpus must be a whole number of 0 or more."),
        ("--num-cpus=nan", "--num-cpus must be a whole number of 0 or more."),
        ("--num-cpus=inf", "--num-cpus must be a whole number of 0 or more."),
        ("--num-cpus=1 --num-cpus=2", "--num-cpus is given twice."),
        ('{"num-cpus": 1, "num-cpus": 2}', "--num-cpus is given twice."),
        ("--memory=1e30", "--memory must be a positive whole number of bytes."),
        ("--memory=0", "--memory must be a positive whole number of bytes."),
        ("--num-cpu=1", "--num-cpu is not an option of 'ray start'. Did you mean --num-cpus?"),
        ("num-cpus=1", "'num-cpus=1' is not an option; options are written as --name=value or --name value."),
        ("--labels=a", "--labels must be 'name=value,name=value' or a JSON object of texts."),
        ("--plasma-directory=here", "--plasma-directory must be an absolute path."),
        ("--disable-usage-stats=false", "--disable-usage-stats must be true, as they are always off."),
        ("--resources '{", "The options cannot be split into words: no closing quotation."),
    ],
)
def test_bad_options_are_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_ray_start_params(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("amount", ['{"CPU": 1}', '{"disk": "1"}', '{"disk": -1}', "[1]", "null", '{"": 1}'])
def test_bad_resources(amount: str) -> None:
    with pytest.raises(ValueError, match="--resources must be a JSON object"):
        parse_ray_start_params(shlex.join(["--resources", amount]))


def test_examples_of_the_vendors() -> None:
    assert parse_ray_start_params("--num-cpus=0") == {"num_cpus": 0}
    assert parse_ray_start_params("") == {}
    assert parse_ray_start_params("  ") == {}
    assert parse_ray_start_params("{}") == {}
    assert parse_ray_start_params("--no-monitor --labels a=b,c=d") == {
        "no_monitor": True,
        "labels": {"a": "b", "c": "d"},
    }


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.head_only])
def test_options_of_the_head_are_refused_on_a_worker(name: str) -> None:
    with pytest.raises(ValueError, match="head node only"):
        parse_ray_start_params(f"--{name}=true", kind="worker")


@pytest.mark.ray
@pytest.mark.slow
def test_every_option_of_ray_start_is_known(release: Release) -> None:
    program = (
        "import json; from ray.scripts.scripts import start;"
        "print(json.dumps([o[2:] for p in start.params for o in p.opts if o.startswith('--')]))"
    )
    output = subprocess.run([release.python, "-I", "-c", program], capture_output=True, text=True, check=True).stdout
    assert set(json.loads(output)) - set(OPTIONS) - set(REFUSED) == set()
