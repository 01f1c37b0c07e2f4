"""Settings and the TOML file: every mistake is told with the file and the key, before anything is started."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from heliostat.config import ConfigFile, Settings
from heliostat.dialects.flyte.settings import ConnectorSettings, FlyteSettings
from heliostat.domain.errors import NotReady
from heliostat.domain.installation import Installation
from heliostat.domain.releases import FLYTE
from heliostat.server import flyte_settings

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
    "release with a relative file": (
        "[[releases]]\nname='flyte-1.0.0'\nray='2.60.0'\npython='3.11'\nrequirements='r.txt'",
        "releases.0.requirements",
    ),
    "flyte key": ("[flyte]\nttl = 5", "flyte.ttl: there is no such setting"),
    "flyte workspace": ("[flyte]\nworkspace = ''", "flyte.workspace"),
    "flyte pair": ("[flyte.workspaces]\nanalytics = 'a'", "'analytics' must be project/domain"),
    "flyte pair without a workspace": ("[flyte.workspaces]\n'a/b' = ''", "flyte.workspaces.a/b"),
    "flyte data": ("[flyte]\ndata_url = '/srv/flyte'", "flyte.data_url"),
    "flyte data that is relative": ("[flyte]\ndata_url = 'file://srv/flyte'", "must be an absolute path"),
    "flyte data that is nowhere": ("[flyte]\ndata_url = 's3:///'", "must name a folder"),
    "flyte data with a question": ("[flyte]\ndata_url = 's3://b/f?x=1'", "flyte.data_url"),
    "flyte time": ("[flyte]\nttl_seconds = 2592001", "flyte.ttl_seconds"),
    "flyte idle time": ("[flyte]\nreuse_idle_seconds = 9", "flyte.reuse_idle_seconds"),
    "flyte image": ("[flyte.images]\n'' = 'flyte-1.3.1'", "flyte.images"),
    "flyte variable": ("[flyte.env]\n'a-b' = 'hidden'", "flyte.env.a-b"),
    "flyte variable that is a number": ("[flyte.env]\nA = 5", "flyte.env.A"),
    "flyte variable with a zero": ('[flyte.env]\nA = "hidden\\u0000"', "flyte.env.A"),
    "flyte cores": ("[flyte]\ncpu = 'many'", "flyte.cpu"),
    "flyte no cores": ("[flyte]\ncpu = '0m'", "flyte.cpu"),
    "flyte memory": ("[flyte]\nmemory = '2048'", "flyte.memory"),
    "flyte no memory": ("[flyte]\nmemory = '0Gi'", "flyte.memory"),
    "flyte requirements": ("[flyte]\nrequirements = 'r.txt'", "flyte.requirements"),
    "flyte uploads": ("[flyte]\nmax_upload_mib = 0", "flyte.max_upload_mib"),
    "flyte door": ("[flyte.connector]\nlisten = 'h:70000'", "flyte.connector.listen"),
    "flyte door's principal": ("[flyte.connector]\nprincipal = ' '", "flyte.connector.principal"),
    "flyte door's authority": ("[flyte.connector]\nclient_ca = 'ca.pem'", "flyte.connector.client_ca"),
    "flyte door's networks": ("[flyte.connector]\nnetworks = ['10.0.0.1/8']", "flyte.connector.networks"),
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
    assert "hidden" not in str(raised.value) and "hidden" not in str(raised.value.__cause__)


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
        {"flyte_listen": "8602:"},
        {"flyte_listen": "::1:8602"},
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


ROW = "[[releases]]\nname='{}'\nray='2.60.0'\npython='3.11'\n"


class TestReleasesForFlyte:
    def packages(self, folder: Path, text: str, **settings: Path) -> dict[str, tuple[str, ...]]:
        (folder / "config.toml").write_text(text)
        file = ConfigFile.load(Settings(home=folder, **settings))
        return {row.name: row.packages for row in offered(file).catalogue.releases}

    def test_a_file_is_added_to_the_built_in_ones_and_goes_before_what_they_have(self, tmp_path: Path) -> None:
        mine = tmp_path / "mine.txt"
        mine.write_text("\ufeffpandas==2.3.0  # for tables\nflytekit==1.16.20\n", "utf-8")
        seen = self.packages(tmp_path, f"[flyte]\nrequirements = '{mine}'")
        assert seen["flyte-1.3.1"] == (*FLYTE[1:], "pandas==2.3.0", "flytekit==1.16.20") == seen["flyte-1.3.0"]
        assert seen["ray-1.3.1"] == ()
        other = tmp_path / "other.txt"
        other.write_text("emoji\n")
        named = self.packages(tmp_path, f"[flyte]\nrequirements = '{mine}'", flyte_requirements=other)
        assert named["flyte-1.3.1"] == (*FLYTE, "emoji")

    def test_own_rows_have_flyte_a_file_or_both(self, tmp_path: Path) -> None:
        (tmp_path / "own.txt").write_text("numpy==2.3.0\n")
        (tmp_path / "all.txt").write_text("numpy==1\nemoji\n")
        text = (
            f"{ROW.format('ray-1.0.0')}packages = ['flytekit==1']\nflyte = true\nrequirements = '{tmp_path}/own.txt'\n"
            f"{ROW.format('flyte-1.0.0')}flyte = true\n{ROW.format('ray-2.0.0')}requirements = '{tmp_path}/own.txt'\n"
            f"[flyte]\nrequirements = '{tmp_path}/all.txt'\n"
        )
        assert self.packages(tmp_path, text) == {
            "ray-1.0.0": (*FLYTE[1:], "emoji", "flytekit==1", "numpy==2.3.0"),
            "flyte-1.0.0": (*FLYTE, "numpy==1", "emoji"),
            "ray-2.0.0": ("numpy==2.3.0",),
        }

    def test_a_file_that_would_be_for_nothing_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "r.txt").write_text("emoji\n")
        with pytest.raises(NotReady, match=r"r\.txt is for releases for Flyte, .*flyte = true"):
            self.packages(tmp_path, ROW.format("flyte-1.0.0"), flyte_requirements=tmp_path / "r.txt")

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"numpy\n-r more.txt\n", "r.txt, line 2: the option -r is not accepted"),
            (b"\xff\xfe", "r.txt is not UTF-8"),
            (None, "cannot read "),
        ],
    )
    def test_a_file_that_cannot_be_used_is_told_with_key_and_line(
        self, tmp_path: Path, content: bytes | None, told: str
    ) -> None:
        path = tmp_path / "r.txt"
        if content is not None:
            path.write_bytes(content)
        for key, text in (
            ("flyte.requirements", f"[flyte]\nrequirements = '{path}'"),
            ("releases.0.requirements", f"{ROW.format('ray-1.0.0')}requirements = '{path}'"),
        ):
            with pytest.raises(NotReady) as raised:
                self.packages(tmp_path, text)
            assert key in str(raised.value) and told in str(raised.value)


class TestFlyte:
    def settings(self, folder: Path, text: str = "", **settings: object) -> FlyteSettings:
        (folder / "config.toml").write_text(text)
        chosen = Settings(home=folder, **settings)
        return flyte_settings(chosen, ConfigFile.load(chosen))

    def test_nothing_needs_to_be_set(self, tmp_path: Path) -> None:
        plain = self.settings(tmp_path)
        assert plain == FlyteSettings(data_url=f"file://{tmp_path}/flyte")
        assert plain.release == "flyte-1.3.1" and plain.connector is None

    def test_everything_of_the_table_arrives(self, tmp_path: Path) -> None:
        text = """
            [flyte]
            workspace = "team"
            workspaces = { "a/*" = "b", "c/d" = "e" }
            data_url = "s3://bucket/flyte/"
            ttl_seconds = 60
            reuse_idle_seconds = 600
            release = "flyte-1.3.0"
            images = { "own:*" = "2.60.0", "*flytekit:py3.12-*" = "flyte-1.3.1" }
            env = { KEY = "hidden" }
            staging = true
            max_upload_mib = 5
            cpu = "500m"
            memory = "2Gi"
            [flyte.connector]
            listen = "127.0.0.1:0"
            principal = "propeller"
            networks = ["10.0.0.0/8", "fd00::/8"]
        """
        seen = self.settings(tmp_path, text)
        assert seen == FlyteSettings(
            data_url="s3://bucket/flyte",
            images={"own:*": "ray-1.3.1", "*flytekit:py3.12-*": "flyte-1.3.1"},
            release="flyte-1.3.0",
            workspace="team",
            workspaces={"a/*": "b", "c/d": "e"},
            ttl=timedelta(minutes=1),
            reuse_idle=timedelta(minutes=10),
            cpu="500m",
            memory="2Gi",
            env={"KEY": "hidden"},
            staging=True,
            max_upload_bytes=5 << 20,
            connector=ConnectorSettings("127.0.0.1", 0, "propeller", None, ("10.0.0.0/8", "fd00::/8")),
        )
        assert list(seen.images) == ["own:*", "*flytekit:py3.12-*"], "the first that fits counts"
        assert "hidden" not in repr(seen) and "hidden" not in repr(load(tmp_path, text))

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("[flyte]\nrelease = 'flyte-9.9.9'", r"flyte\.release: .*flyte-9\.9\.9"),
            ("[flyte.images]\n'own:1' = 'flyte-9.9.9'", r"flyte\.images\.own:1: .*flyte-9\.9\.9"),
            ("[flyte.connector]\nlisten = '0.0.0.0:8602'", r"flyte\.connector\.listen: .*other machines"),
            (
                "[flyte.connector]\nlisten = '8602'\nclient_ca = '/no/ca.pem'",
                r"flyte\.connector\.client_ca: .*/no/ca\.pem",
            ),
        ],
    )
    def test_what_does_not_fit_together_is_told_with_its_key(self, tmp_path: Path, text: str, told: str) -> None:
        with pytest.raises(NotReady, match=told):
            self.settings(tmp_path, text)

    def test_the_command_line_opens_the_door_that_the_file_describes(self, tmp_path: Path) -> None:
        text = "[flyte.connector]\nlisten = '1'\nnetworks = ['10.0.0.0/8']"
        opened = self.settings(tmp_path, text, flyte_listen="[::]:8602").connector
        assert opened == ConnectorSettings("::", 8602, networks=("10.0.0.0/8",))
        assert self.settings(tmp_path, "", flyte_listen="localhost:0").connector == ConnectorSettings("localhost", 0)

    def test_of_own_releases_the_first_that_has_flytekit_runs_its_tasks(self, tmp_path: Path) -> None:
        rows = f"{ROW.format('ray-1.0.0')}{ROW.format('flyte-1.0.0').replace('3.11', '3.12')}flyte = true\n"
        assert self.settings(tmp_path, rows).release == "flyte-1.0.0"
        assert self.settings(tmp_path, f"{rows}{ROW.format('ray-2.0.0')}flyte = true\n").release == "ray-2.0.0"
        assert self.settings(tmp_path, ROW.format("ray-1.0.0")).release == FlyteSettings().release


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
