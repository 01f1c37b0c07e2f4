"""Settings and the TOML file: every mistake is told with the file and the key, before anything is started."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from heliostat.config import ConfigFile, Settings
from heliostat.domain.errors import NotReady
from heliostat.domain.installation import Installation

BAD = {
    "nonsense": ("not [ TOML", "is not TOML"),
    "unknown key": ("regoin = 'x'", "regoin: there is no such setting"),
    "unknown key in a table": ("[engine]\npython_download = true", "engine.python_download"),
    "wrong type": ("region = 5", "region"),
    "release name": ("[[releases]]\nname='x'\nray='2.60.0'\npython='3.11'", "releases.0.name"),
    "ray version": ("[[releases]]\nname='ray-1.0.0'\nray='latest'\npython='3.11'", "releases.0.ray"),
    "python version": ("[[releases]]\nname='ray-1.0.0'\nray='2.60.0'\npython='3.11.2'", "releases.0.python"),
    "release without python": ("[[releases]]\nname='ray-1.0.0'\nray='2.60.0'", "releases.0.python"),
    "gpu without any": ("[[gpus]]\nname='x'\naccelerator='T4'\ncount=0", "gpus.0.count"),
    "volume id": ("[[volumes]]\nid='data'\npath='/data'", "volumes.0.id"),
    "volume path": ("[[volumes]]\nid='vol-data'\npath='data'", "volumes.0.path"),
    "volume twice": ("[[volumes]]\nid='vol-a'\npath='/a'\n[[volumes]]\nid='vol-a'\npath='/b'", "vol-a is there twice"),
    "no starts": ("[engine]\nconcurrent_starts = 0", "engine.concurrent_starts"),
    "warm clusters": ("[warm.releases]\n'ray-1.3.1' = -1", "warm.releases.ray-1.3.1"),
    "warm group": ("[warm]\ngroup = 'a b'", "warm.group"),
    "warm memory": ("[warm]\nmemory_gib = 0", "warm.memory_gib"),
    "rate": ("[emr]\nreads_per_second = -1", "emr.reads_per_second"),
}


def load(folder: Path, text: str | bytes) -> ConfigFile:
    (folder / "config.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return ConfigFile.load(Settings(home=folder))


def offered(file: ConfigFile) -> Installation:
    return file.installation(url="http://h", domain="h", scheme="http")


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_told_with_file_and_key(tmp_path: Path, name: str) -> None:
    text, told = BAD[name]
    with pytest.raises(NotReady) as raised:
        load(tmp_path, text)
    assert str(tmp_path / "config.toml") in str(raised.value) and told in str(raised.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("default_release = 'ray-9.9.9'", "ray-9.9.9"),
        ("releases = []", "empty"),
        ("[[releases]]\nname='ray-1.0.0'\nray='2.60.0'\npython='3.11'\n" * 2, "twice"),
    ],
)
def test_a_catalogue_that_makes_no_sense(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(NotReady, match=told):
        offered(load(tmp_path, text))


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="is not TOML"):
        load(tmp_path, "region = 'b\u00fcro'".encode("latin-1"))


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    assert ConfigFile.load(Settings(home=tmp_path)) == ConfigFile()
    with pytest.raises(NotReady, match="cannot read"):
        ConfigFile.load(Settings(home=tmp_path, config=tmp_path / "other.toml"))


def test_without_a_file_everything_is_built_in(tmp_path: Path) -> None:
    plain = offered(ConfigFile())
    assert plain.catalogue == Installation().catalogue and plain.gpus == Installation().gpus
    assert plain.start_deadline == timedelta(minutes=5)


def test_own_releases_replace_the_built_in_ones_and_the_first_is_the_default(tmp_path: Path) -> None:
    text = "".join(f"[[releases]]\nname='{name}'\nray='2.60.0'\npython='3.11'\n" for name in ("ray-7.0.0", "err-7.0.1"))
    catalogue = offered(load(tmp_path, text)).catalogue
    assert [release.name for release in catalogue.releases] == ["ray-7.0.0", "err-7.0.1"]
    assert catalogue.default == "ray-7.0.0"


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70000},
        {"port": -1},
        {"public_url": "example.com"},
        {"public_url": "https://h/path"},
        {"tls_port": 65536},
        {"tls_port": -2},
        {"gateway_domain": "https://h"},
        {"gateway_domain": "h/path"},
        {"engine": "slurm"},
    ],
)
def test_settings_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_settings_come_from_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HELIOSTAT_PORT", "9000")
    monkeypatch.setenv("HELIOSTAT_HOME", str(tmp_path))
    monkeypatch.setenv("HELIOSTAT_UNKNOWN", "is not ours to judge")
    assert (Settings().port, Settings().home) == (9000, tmp_path)
    assert Settings(port=1).port == 1


class TestWarmClusters:
    def both(self, folder: Path, text: str, warm: int | None) -> tuple[dict[str, int], dict[str, int]]:
        file = load(folder, text)
        return file.warm_sizes(Settings(home=folder, warm=warm), offered(file).catalogue)

    def sizes(self, folder: Path, text: str, warm: int | None) -> dict[str, int]:
        return self.both(folder, text, warm)[0]

    def test_none_unless_asked_for(self, tmp_path: Path) -> None:
        assert self.both(tmp_path, "", None) == ({}, {})

    def test_those_with_autoscaling_are_counted_apart(self, tmp_path: Path) -> None:
        text = "[warm.releases]\n'ray-1.3.0' = 2\n[warm.autoscaled]\n'ray-1.3.1' = 3"
        assert self.both(tmp_path, text, None) == ({"ray-1.3.0": 2}, {"ray-1.3.1": 3})
        assert self.both(tmp_path, text, 0) == ({}, {})

    def test_the_command_line_speaks_of_the_default_release(self, tmp_path: Path) -> None:
        text = "[warm.releases]\n'ray-1.3.0' = 2\n'ray-1.3.1' = 3"
        assert self.sizes(tmp_path, text, None) == {"ray-1.3.0": 2, "ray-1.3.1": 3}
        assert self.sizes(tmp_path, text, 1) == {"ray-1.3.0": 2, "ray-1.3.1": 1}
        assert self.sizes(tmp_path, "", 1) == {"ray-1.3.1": 1}

    def test_zero_there_turns_all_of_it_off(self, tmp_path: Path) -> None:
        assert self.sizes(tmp_path, "[warm.releases]\n'ray-1.3.0' = 2", 0) == {}

    def test_a_release_that_is_not_offered_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(NotReady, match=r"ray-9\.9\.9"):
            self.sizes(tmp_path, "[warm.releases]\n'ray-9.9.9' = 1", None)
