"""The package that Ray gets: what is in it is what Ray would have made of the zip, and never anything dangerous."""

from __future__ import annotations

import io
import os
import random
import stat
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heliostat.storage.bundle import bundle, check_zip
from heliostat.storage.fetch import CodeUnavailable

from ..environments import Ready

Entries = dict[str, bytes]


def zipped(path: Path, entries: Entries, *, mode: int = 0o644, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode | stat.S_IFREG) << 16
            archive.writestr(info, content, compression)
    return path


def contents(path: Path) -> Entries:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def refused(path: Path, words: str, *, files: list[tuple[str, Path]] | None = None, limit: int = 1 << 30) -> None:
    target = path.parent / "package.zip"
    with pytest.raises(CodeUnavailable, match=words):
        bundle(path, files or [], target, strip=True, max_unpacked=limit)
    assert not target.exists()
    assert not list(path.parent.glob(".*.part"))


STRIPPED: list[tuple[Entries, Entries]] = [
    ({"code/main.py": b"1", "code/lib/a.py": b"2"}, {"main.py": b"1", "lib/a.py": b"2"}),
    ({"code/": b"", "code/main.py": b"1"}, {"main.py": b"1"}),
    ({"code/main.py": b"1", "__MACOSX/code/._main.py": b"x"}, {"main.py": b"1"}),
    ({"code/main.py": b"1", "README": b"2"}, {"code/main.py": b"1", "README": b"2"}),
    ({"a/main.py": b"1", "b/main.py": b"2"}, {"a/main.py": b"1", "b/main.py": b"2"}),
    ({"main.py": b"1"}, {"main.py": b"1"}),
    ({"main.py": b"1", "__MACOSX/._main.py": b"x"}, {"main.py": b"1", "__MACOSX/._main.py": b"x"}),
    ({"a/b/main.py": b"1"}, {"b/main.py": b"1"}),
    ({"a/empty/": b"", "a/x": b"1"}, {"empty/": b"", "x": b"1"}),
    ({}, {}),
]


@pytest.mark.parametrize(("entries", "wanted"), STRIPPED)
def test_the_only_folder_at_the_top_is_taken_away(tmp_path: Path, entries: Entries, wanted: Entries) -> None:
    source = zipped(tmp_path / "source.zip", entries)
    bundle(source, [], tmp_path / "package.zip", strip=True)
    assert contents(tmp_path / "package.zip") == wanted


@pytest.mark.ray
@pytest.mark.slow
def test_it_is_what_ray_itself_would_unpack(tmp_path: Path, ray_environments: Ready) -> None:
    script = """
import json, pathlib, sys
from ray._private.runtime_env.packaging import unzip_package
for number in range(int(sys.argv[2])):
    for kind, strip in (("source", True), ("package", False)):
        folder = pathlib.Path(sys.argv[1], str(number))
        unzip_package(str(folder / f"{kind}.zip"), str(folder / kind), strip, False)
"""
    for number, (entries, _) in enumerate(STRIPPED):
        (tmp_path / str(number)).mkdir()
        source = zipped(tmp_path / str(number) / "source.zip", entries)
        bundle(source, [], tmp_path / str(number) / "package.zip", strip=True)
    pythons = sorted(ray_environments.folder.glob("*/bin/python"))
    assert pythons
    for python in pythons:
        subprocess.run([python, "-c", script, tmp_path, str(len(STRIPPED))], check=True, timeout=120)
        for number in range(len(STRIPPED)):
            found = []
            for kind in ("source", "package"):
                folder = tmp_path / str(number) / kind
                found.append(
                    {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}
                )
                subprocess.run(["rm", "-r", folder], check=True)
            assert found[0] == found[1], STRIPPED[number]


def test_a_folder_that_we_packed_is_left_as_it_is(tmp_path: Path) -> None:
    source = zipped(tmp_path / "source.zip", {"code/main.py": b"1"})
    bundle(source, [], tmp_path / "package.zip", strip=False)
    assert contents(tmp_path / "package.zip") == {"code/main.py": b"1"}


def test_files_are_laid_beside_it(tmp_path: Path) -> None:
    source = zipped(tmp_path / "source.zip", {"code/main.py": b"old", "code/other.py": b"2"})
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"data")
    files = [("main.py", tmp_path / "a"), ("data set.csv", tmp_path / "b")]
    bundle(source, files, tmp_path / "package.zip", strip=True)
    assert contents(tmp_path / "package.zip") == {"main.py": b"new", "other.py": b"2", "data set.csv": b"data"}
    bundle(None, files, tmp_path / "package.zip", strip=False)
    assert contents(tmp_path / "package.zip") == {"main.py": b"new", "data set.csv": b"data"}


def test_the_same_content_has_the_same_hash(tmp_path: Path) -> None:
    entries = {f"code/{number}": os.urandom(100) for number in range(20)}
    hashes = set()
    for seed in range(4):
        names = list(entries)
        random.Random(seed).shuffle(names)
        folders: Entries = {"code/": b""} if seed % 2 else {}
        shuffled = folders | {name: entries[name] for name in names}
        method = zipfile.ZIP_STORED if seed < 2 else zipfile.ZIP_DEFLATED
        source = zipped(tmp_path / f"{seed}.zip", shuffled, compression=method)
        hashes.add(bundle(source, [], tmp_path / "package.zip", strip=True))
    assert len(hashes) == 1
    different = zipped(tmp_path / "other.zip", entries | {"code/0": b"other"})
    assert bundle(different, [], tmp_path / "package.zip", strip=True) not in hashes


def test_what_can_be_run_stays_so(tmp_path: Path) -> None:
    source = zipped(tmp_path / "source.zip", {"run.sh": b"#!/bin/sh"}, mode=0o4751)
    bundle(source, [], tmp_path / "package.zip", strip=True)
    with zipfile.ZipFile(tmp_path / "package.zip") as archive:
        assert archive.getinfo("run.sh").external_attr >> 16 == stat.S_IFREG | 0o755


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil", "outside"),
        ("code/../../evil", "outside"),
        ("code/..", "outside"),
        ("/etc/cron.d/evil", "must be relative"),
        ("C:/evil", "without a disk"),
        ("code/C:evil", "name of a disk"),
        ("code\\evil", "written with /"),
        ("a\nb", "control characters"),
        ("a" * 256, "255 bytes"),
        ("./", None),
    ],
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str, words: str | None) -> None:
    source = zipped(tmp_path / "source.zip", {name: b""})
    if words is None:
        bundle(source, [], tmp_path / "package.zip", strip=True)
        assert contents(tmp_path / "package.zip") == {}
    else:
        refused(source, words)


def test_what_is_no_plain_file(tmp_path: Path) -> None:
    for kind, words in ((stat.S_IFLNK, "symbolic link"), (stat.S_IFIFO, "neither file nor folder")):
        with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
            info = zipfile.ZipInfo("code/link")
            info.external_attr = (kind | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
        refused(tmp_path / "source.zip", words)
        with pytest.raises(CodeUnavailable, match=words):
            check_zip(tmp_path / "source.zip")


def test_a_name_that_is_file_and_folder(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "source.zip", {"x/a": b"1", "x/a/b": b"2"}), "file and a folder")
    refused(zipped(tmp_path / "source.zip", {"a": b"1", "a/": b""}), "file and a folder")
    (tmp_path / "file").write_bytes(b"1")
    refused(
        zipped(tmp_path / "source.zip", {"a/b": b"1", "c": b""}), "file and a folder", files=[("a", tmp_path / "file")]
    )


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0", "/a"])
def test_names_of_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"1")
    source = zipped(tmp_path / "source.zip", {"x": b"1"})
    refused(source, "cannot be the name", files=[(name, tmp_path / "file")])
    refused(source, "two files", files=[("a", tmp_path / "file")] * 2)


def test_bombs(tmp_path: Path) -> None:
    source = zipped(tmp_path / "source.zip", {f"{number}": bytes(1 << 20) for number in range(10)})
    refused(source, "more than 9 MiB", limit=9 << 20)
    bundle(source, [], tmp_path / "package.zip", strip=True, max_unpacked=10 << 20)
    (tmp_path / "package.zip").unlink()
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    refused(source, "more than 10 MiB", limit=10 << 20, files=[("file", tmp_path / "file")])


def test_a_zip_that_lies_about_sizes(tmp_path: Path) -> None:
    source = zipped(tmp_path / "source.zip", {"a": bytes(1 << 20)})
    data = bytearray(source.read_bytes())
    place = data.index(b"PK\x01\x02") + 24
    for told in (10, 1 << 21):
        data[place : place + 4] = struct.pack("<I", told)
        source.write_bytes(data)
        refused(source, "intact zip|fewer bytes")


def test_an_endless_list_of_contents(tmp_path: Path) -> None:
    source = tmp_path / "source.zip"
    with source.open("wb") as file:
        file.truncate(100 << 20)
        file.seek(0, io.SEEK_END)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 100 << 20, 0, 0))
    refused(source, "list of contents")


def test_what_is_no_zip(tmp_path: Path) -> None:
    for content in (b"", b"<html>not found</html>", b"PK\x05\x06"):
        (tmp_path / "source.zip").write_bytes(content)
        refused(tmp_path / "source.zip", "no intact zip")


def test_an_encrypted_zip(tmp_path: Path) -> None:
    source = zipped(tmp_path / "source.zip", {"a": b"1"})
    data = bytearray(source.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    source.write_bytes(data)
    refused(source, "encrypted")


@settings(deadline=None)
@example([], 10_000)
@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6), st.integers(0, 800) | st.just(10_000)
)
def test_a_damaged_zip_is_refused_or_is_one(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    entries = {"code/main.py": b"print()", "code/data": bytes(200), "code/other": b"x" * 50}
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        data = bytearray(zipped(folder / "source.zip", entries, compression=method).read_bytes())
        damaged = bytearray(data)
        for place, value in changes:
            damaged[place % len(data)] = value
        del damaged[cut:]
        (folder / "source.zip").write_bytes(damaged)
        try:
            bundle(folder / "source.zip", [], folder / "package.zip", strip=True, max_unpacked=1 << 20)
        except CodeUnavailable:
            assert damaged != data
            continue
        contents(folder / "package.zip")
