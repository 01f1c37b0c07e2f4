"""Packing: what git would take is in it, the same folder has the same hash, and what is too much is told by name."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliostat.client.errors import InvalidRequest
from heliostat.client.packing import collect, pack, pack_zip, packed_from

Tree = dict[str, str]


def make(root: Path, tree: Tree) -> Path:
    for name, content in tree.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    return root


def names(root: Path, *excludes: str) -> list[str]:
    return [name for name, _ in collect(root, excludes).files]


def git_says(folder: Path) -> list[str]:
    """What git would take of a folder."""
    command = ["git", "-C", str(folder), "ls-files", "-coz", "--exclude-standard"]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": os.devnull,
                   "GIT_CONFIG_NOSYSTEM": "1"}  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    return sorted(name for name in done.stdout.decode().split("\0") if name)


def init(folder: Path) -> None:
    """Make it a repository: no more than this is what git asks for, and no process is needed."""
    for name in ("objects", "refs"):
        (folder / ".git" / name).mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")


WORDS = st.sampled_from(["a", "b", "ab", "c.py", "d.log", "build", "x y", "é", "[z]", "#h", "!n"])
PATHS = st.lists(WORDS, min_size=1, max_size=4).map("/".join)
PARTS = st.sampled_from(["a", "b", "ab", "*", "**", "?", "*.py", "c.*", "d.log", "build", "[ab]", "[!a]", "[a-c]*", "x y",
                         "\\#h", "\\!n", "#h", "a*b", "\\[z\\]", "é", "x\\ y", "***"])  # fmt: skip
PATTERNS = st.builds(
    lambda negated, anchored, parts, folder, end: negated + anchored + "/".join(parts) + folder + end,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
    st.sampled_from(["", "", "", " ", "\r"]),
)
IGNORES = st.lists(st.one_of(PATTERNS, st.sampled_from(["", "# words", "/", "!", "*", "!*/", "*/", "/*"])), max_size=5)
IGNORE_FILES = st.dictionaries(
    st.lists(st.sampled_from(["a", "b", "build"]), max_size=2).map(lambda parts: "/".join([*parts, ".gitignore"])),
    IGNORES.map("\n".join),
    max_size=3,
)


def plant(root: Path, paths: list[str], ignores: Tree) -> None:
    """Files at ``paths``, as far as none is also the folder of another."""
    for path in [*paths, *ignores]:
        place = root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                place.write_text(ignores.get(path, "x"))
        except (FileExistsError, NotADirectoryError):
            continue


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(PATHS, max_size=14), IGNORE_FILES)
def test_what_is_packed_is_what_git_would_take(paths: list[str], ignores: Tree) -> None:
    compare(paths, ignores)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(PATHS, max_size=20), IGNORE_FILES)
def test_what_is_packed_is_what_git_would_take_thoroughly(paths: list[str], ignores: Tree) -> None:
    compare(paths, ignores)


def compare(paths: list[str], ignores: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        init(root)
        plant(root, paths, ignores)
        assert sorted(names(root)) == git_says(root)
        for below in ("a", "build"):
            if (root / below).is_dir() and (told := git_says(root / below)):
                assert sorted(names(root / below)) == told


def test_a_folder_that_its_repository_ignores_was_named_on_purpose(tmp_path: Path) -> None:
    init(tmp_path)
    make(tmp_path, {".gitignore": "dist/\n*.log\n", "dist/main.py": "", "dist/a.log": "", "src/a.log": "", "src/b": ""})
    assert names(tmp_path / "dist") == ["a.log", "main.py"]
    assert names(tmp_path / "src") == ["b"]


def test_rays_own_ignore_files_and_excludes_count_too(tmp_path: Path) -> None:
    make(tmp_path, {".gitignore": "*.log\n!keep.log\n", ".rayignore": "data/\nkeep.log\n", "keep.log": "", "data/x": "",
                    "sub/.rayignore": "*.bin\n!/a.bin\n", "sub/a.bin": "", "sub/b.bin": "", "main.py": ""})  # fmt: skip
    assert names(tmp_path) == [".gitignore", ".rayignore", "main.py", "sub/.rayignore", "sub/a.bin"]
    assert names(tmp_path, "*.bin", ".*ignore") == ["main.py"]


def test_without_a_repository_the_ignore_files_count_as_well(tmp_path: Path) -> None:
    make(tmp_path, {".gitignore": "*.log\n", "a.log": "", "a.py": "", ".git": "gitdir: elsewhere", "b/.git/config": ""})
    assert names(tmp_path) == [".gitignore", "a.py"]


def test_the_same_folder_has_the_same_hash(tmp_path: Path) -> None:
    tree = {"b.py": "2", "a/c.py": "3", "a.py": "1"}
    one, two = make(tmp_path / "one", tree), make(tmp_path / "two", dict(reversed(tree.items())))
    os.utime(two / "a.py", (time.time() - 10**8,) * 2)
    (two / "a.py").chmod(0o600)
    with pack(one) as first, pack(two) as second:
        assert first.sha256 == second.sha256
        assert first.path.read_bytes() == second.path.read_bytes()
        assert (first.files, first.content_bytes, first.size) == (3, 3, first.path.stat().st_size)
        places = [first.path, second.path]
    assert not any(place.exists() for place in places)
    (two / "a.py").chmod(0o700)
    with pack(one) as first, pack(two) as second:
        assert first.sha256 != second.sha256
        with zipfile.ZipFile(second.path) as archive:
            assert archive.namelist() == ["a.py", "a/c.py", "b.py"]
            assert archive.testzip() is None
            assert stat.S_IMODE(archive.getinfo("a.py").external_attr >> 16) == 0o755
    (one / "b.py").write_text("9")
    with pack(one) as changed:
        assert changed.sha256 not in (first.sha256, second.sha256)


def test_links_are_followed_inside_the_folder_only(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    root = make(tmp_path / "root", {"a/b.py": "1", "c.py": "2", ".git/config": "3"})
    (root / "file").symlink_to("c.py")
    (root / "folder").symlink_to("a")
    (root / "a" / "up").symlink_to("..")
    for name, target in (("out", "../outside"), ("away", "/etc/hostname"), ("broken", "nothing"), ("self", "self"),
                         ("git", ".git/config")):  # fmt: skip
        (root / name).symlink_to(target)
    found = collect(root)
    assert [name for name, _ in found.files] == ["a/b.py", "c.py", "file", "folder/b.py"]
    assert found.left_out == ("a/up", "away", "broken", "folder/up", "git", "out", "self")
    with pack(root) as packed, zipfile.ZipFile(packed.path) as archive:
        assert archive.read("folder/b.py") == b"1"
        assert packed.left_out == found.left_out


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, {"a.py": ""})
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(tmp_path)
        try:
            listener.bind("socket")
        finally:
            os.chdir(before)
        assert names(tmp_path) == ["a.py"]


def test_too_much_is_told_by_name_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    root = make(tmp_path / "root", {"small.py": "x"})
    for number in range(7):
        (root / f"data{number}.bin").write_bytes(os.urandom((number + 1) << 18))
    with pytest.raises(InvalidRequest) as caught:
        pack(root, max_bytes=1 << 20)
    assert caught.value.path == "working_dir"
    assert "more than 1.0 MiB" in caught.value.message
    assert "data6.bin (1.8 MiB), data5.bin (1.5 MiB)" in caught.value.message and "data1" not in caught.value.message
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_cannot_be_packed_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", make(tmp_path, {"file": ""}) / "file"):
        with pytest.raises(InvalidRequest, match="is no folder"):
            packed_from(path)
    empty = tmp_path / "empty"
    empty.mkdir()
    make(empty, {".gitignore": "*"})
    with pytest.raises(InvalidRequest, match="nothing to pack"):
        packed_from(empty)
    odd = make(tmp_path / "odd", {"a": ""})
    (Path(os.fsdecode(os.fsencode(odd) + b"/\xff"))).write_text("x")
    with pytest.raises(InvalidRequest, match="UTF-8"):
        packed_from(odd)


def test_a_zip_is_taken_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "code.ZIP"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("main.py", "print(1)")
    with packed_from(place) as packed:
        assert (packed.path, packed.files, packed.content_bytes) == (place, 1, 8)
    assert place.exists()
    with pytest.raises(InvalidRequest, match=r"main.py"):
        pack_zip(place, max_bytes=10)
    place.write_text("text")
    with pytest.raises(InvalidRequest, match="as a zip"):
        packed_from(place)
