"""Requirements files: what is taken as it is written, and what is refused with its line and a remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.domain.requirements import BadLine, name_of, read_requirements, with_defaults

FILE = """\ufeff# what the team uses
pandas==2.3.0
  torch >= 2 ; python_version < "3.13"   # not on the newest

scikit-learn[examples] \\
    ~= 1.7
model @ https://files.example.com/model-1.0-py3-none-any.whl#sha256=abc
tool @ git+ssh://git@code.example.com/team/tool.git@v1
"""
REFUSED = {
    "-r other.txt": "put the lines of that file into this one",
    "-rother.txt": "put the lines of that file into this one",
    "--requirement=other.txt": "put the lines of that file into this one",
    "-c versions.txt": "write the versions into this file",
    "-e .": "build a wheel",
    "--editable git+https://h/x": "build a wheel",
    "--index-url https://user:hidden@h/simple": "UV_DEFAULT_INDEX",
    "--extra-index-url=https://user:hidden@h/simple": "UV_DEFAULT_INDEX",
    "-f /srv/wheels": "UV_FIND_LINKS",
    "pandas==2.3.0 --hash=sha256:00": "leave the hashes out",
    "--pre": "one requirement per line",
    "./library": "not a requirement",
    "/srv/wheels/x.whl": "not a requirement",
    "pandas=2": "not a requirement",
    "a b": "not a requirement",
    "x @ git+https://${TOKEN}@h/x": "variables are not filled in",
    "x @ git+https://hidden@h/x": "has a credential in it",
    "x @ https://user:hidden@h/x.whl": "has a credential in it",
}


def test_requirements_are_taken_as_they_are_written() -> None:
    assert read_requirements(FILE.removeprefix("\ufeff")) == (
        "pandas==2.3.0",
        'torch >= 2 ; python_version < "3.13"',
        "scikit-learn[examples]      ~= 1.7",
        "model @ https://files.example.com/model-1.0-py3-none-any.whl#sha256=abc",
        "tool @ git+ssh://git@code.example.com/team/tool.git@v1",
    )


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_used_is_told_with_its_line_and_no_secret(line: str) -> None:
    with pytest.raises(BadLine, match=REFUSED[line].replace(".", r"\.")) as raised:
        read_requirements(f"# first\nnumpy\n\n{line}\nb==1\n")
    assert raised.value.line == 4 and "hidden" not in str(raised.value)


def test_the_line_of_a_long_requirement_is_its_first() -> None:
    with pytest.raises(BadLine) as raised:
        read_requirements("a\nb \\\n  c \\\n  d\n")
    assert raised.value.line == 2
    assert read_requirements("a==1 \\") == ("a==1",)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        rows = read_requirements(text)
    except BadLine as error:
        assert 1 <= error.line <= len(text.splitlines())
    else:
        assert all(name_of(row) for row in rows)


def test_defaults_give_way_to_what_is_named() -> None:
    defaults = ("flytekit==1.16.31", "flytekitplugins-ray==1.16.31", "kubernetes")
    assert with_defaults((), defaults) == defaults
    assert with_defaults(("Flytekit==1.16.20", "emoji", "emoji"), defaults) == (
        *defaults[1:],
        "Flytekit==1.16.20",
        "emoji",
    )
    assert with_defaults(("/srv/x.whl", "flytekitplugins_ray"), defaults) == (
        defaults[0], defaults[2], "/srv/x.whl", "flytekitplugins_ray",
    )  # fmt: skip
