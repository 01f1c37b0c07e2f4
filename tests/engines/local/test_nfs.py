"""What of the network file systems that users ask for is on the machine, found without touching one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from heliostat.domain.engine import Verdict
from heliostat.domain.spec import NFS_ROOT, NfsMount
from heliostat.engines.local import LocalEngine, LocalSettings, nfs
from heliostat.engines.local.nfs import Mount, Mounted, finding, look, read_mounts

from .test_support import PLAIN

TABLE = r"""22 1 0:20 / / rw - ext4 /dev/root rw
31 22 0:40 / /mnt/with\040space rw,relatime shared:9 master:1 - nfs4 10.0.0.2:/a\040b rw,vers=4.2
32 22 0:41 / /mnt/twice rw - tmpfs tmpfs rw
33 22 0:42 / /mnt/twice rw - fuse.sshfs user@host:/x rw
a broken line
"""


def test_the_kernels_table() -> None:
    assert read_mounts(TABLE) == {
        "/": Mount("ext4", "/dev/root"),
        "/mnt/with space": Mount("nfs4", "10.0.0.2:/a b"),
        "/mnt/twice": Mount("fuse.sshfs", "user@host:/x"),
    }


def test_no_file_of_a_mount_that_may_hang_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, other = tmp_path / "data", tmp_path / "elsewhere" / "sshfs"
    for folder in (hanging, other, tmp_path / "plain" / "inner", tmp_path / "quick"):
        folder.mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("elsewhere/../data/sub")
    (tmp_path / "far").symlink_to(other)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    rows = [
        (hanging, "nfs", "10.0.0.2:/exports"),
        (other, "fuse.sshfs", "u:secret@h:/"),
        (tmp_path / "quick", "ext4", "x"),
    ]
    table = "".join(f"1 1 0:1 / {place} rw - {kind} {source} rw\n" for place, kind, source in rows)
    monkeypatch.setattr(nfs, "_table", lambda: table)
    real = os.lstat

    def lstat(path: str) -> os.stat_result:
        assert not any(Path(path).is_relative_to(place) for place in (hanging, other)), path
        return real(path)

    monkeypatch.setattr(nfs.os, "lstat", lstat)
    points = [
        "data",
        "data/deep/er",
        "link",
        "far",
        "plain",
        "plain/inner",
        "quick",
        "file",
        "loop",
        "gone",
        "none",
        "a\0",
    ]
    server = "10.0.0.2:/exports"
    assert look(points, str(tmp_path)) == {
        "data": Mounted(str(hanging), server),
        "data/deep/er": Mounted(str(hanging), server),
        "link": Mounted(str(hanging), server),
        "far": Mounted(str(other)),
        "plain": Mounted(),
        "plain/inner": Mounted(),
        "quick": Mounted(str(tmp_path / "quick")),
    }


@pytest.mark.parametrize(
    ("there", "verdict", "words"),
    [
        (None, Verdict.IGNORED, "mkdir -p /mnt/nfs/data && mount -t nfs '10.0.0.2:/a b' /mnt/nfs/data"),
        (Mounted(f"{NFS_ROOT}/data", "10.0.0.2:/a b/"), Verdict.MAPPED, "mount is used, as it is"),
        (Mounted(f"{NFS_ROOT}/data", "10.0.0.9:/x"), Verdict.MAPPED, "is used, as it is (it is of 10.0.0.9:/x)"),
        (Mounted(NFS_ROOT), Verdict.MAPPED, "not looked whether that has /mnt/nfs/data"),
        (Mounted(), Verdict.MAPPED, "nothing is mounted"),
    ],
)
def test_what_users_are_told(there: Mounted | None, verdict: Verdict, words: str) -> None:
    found = finding("nfs_mounts[0]", NfsMount("10.0.0.2", "/a b", "data"), {} if there is None else {"data": there})
    assert (found.path, found.verdict) == ("nfs_mounts[0]", verdict)
    assert words in found.message


def test_an_address_of_version_six_is_written_as_mount_wants_it() -> None:
    assert "mount -t nfs '[fd00::2]:/a'" in finding("p", NfsMount("fd00::2", "/a", "d"), {}).message


def test_the_engine_looks_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LocalEngine(LocalSettings(tmp_path))
    wanted = replace(PLAIN, nfs_mounts=(NfsMount("10.0.0.2", "/a", "heliostat-test"),))

    def verdicts() -> list[tuple[str, Verdict]]:
        return [(row.path, row.verdict) for row in engine.support(wanted) if row.path.startswith("nfs")]

    assert verdicts() == [("nfs_mounts[0]", Verdict.IGNORED)]
    table = f"1 1 0:1 / {NFS_ROOT} rw - nfs 10.0.0.2:/ rw\n"
    monkeypatch.setattr(nfs, "_table", lambda: table)
    assert verdicts() == [("nfs_mounts[0]", Verdict.MAPPED if Path("/mnt").is_dir() else Verdict.IGNORED)]
