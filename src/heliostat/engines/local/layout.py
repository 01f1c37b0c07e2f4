"""Which file is where, and the making and removing of an instance's folders.

::

    <state>/lock                        held by the one server that works here (:mod:`lock`)
    <state>/door                        its socket for the autoscalers of all instances (:mod:`autoscaling`)
    <state>/environments/<key>/         release environments (:mod:`environments`)
    <state>/node-runtime/<hash>/        copies of ``heliostat_node``
    <state>/zygotes/<key>.log           what zygotes print
    <state>/i/<instance>/plan.json      what was applied           } written by :mod:`records`
    <state>/i/<instance>/record.json    what has come of it        }
    <state>/i/<instance>/token          Ray's token, 0600
    <state>/i/<instance>/gcs/           the head's embedded GCS storage
    <state>/i/<instance>/autoscaling.json, autoscaling-secret    what Ray's autoscaler is told (:mod:`autoscaling`)
    <state>/i/<instance>/nodes/<dir>/   one attempt to run a node: spec.json, status.json, shim.log
    <state>/i/<instance>/warm           a link to the entry of the warm pool that it was given; ``nodes`` and ``gcs`` are
                                        links to that entry's then
    <state>/w/<entry>/                  an entry of the warm pool: the same files as of an instance
    <state>/t/<8 hex>/<n>/              Ray's temp dir of a node: sessions, sockets, logs, TMPDIR

Ray puts sockets into its temp dir, and a socket's path may have 107 bytes. Where ``<state>`` is too long for that, Ray
is given a short name instead: ``/tmp/hs-<uid>-<hash>/<8 hex>``, a link to the same folder below ``<state>``, so that the
data stays on the state's disk; the door is then beside those. A folder in /tmp is ours only if it is a real directory of
our user with mode 0700.

Processes keep the paths that they were started with, so an entry of the warm pool stays where it is when it is given to an
instance. Whose it is says the link in the instance's folder, which appears together with that folder, at once.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from heliostat.domain.errors import NotReady
from heliostat.domain.ids import InstanceId

TEMP_DIR_LIMIT = 68
"""Longest temp dir of a node in bytes: 107 for a socket's path, less ``/tmp/pymp-xxxxxxxx/listener-xxxxxxxx`` below it."""

AUTOSCALING_FILE = "autoscaling.json"
AUTOSCALING_SECRET_FILE = "autoscaling-secret"

_NODE_NAME_ROOM = len("/12345678/w9999")
_DOOR = "door"
_WARM = "warm"
_OF_ENTRY = ("nodes", "gcs", AUTOSCALING_FILE, AUTOSCALING_SECRET_FILE)
"""What an instance has of the entry that it was given."""
_COMING = ".new-"
_GOING = ".gone-"


class Layout:
    """The folders of one engine. Blocking file operations; the long ones are called from threads."""

    def __init__(self, state: Path, short_folder: Path | None = None) -> None:
        self.state = state.absolute()
        self.environments = self.state / "environments"
        self.node_runtime = self.state / "node-runtime"
        self.zygotes = self.state / "zygotes"
        self.lock = self.state / "lock"
        self._instances = self.state / "i"
        self._warm = self.state / "w"
        self._temps = self.state / "t"
        name = f"hs-{os.getuid()}-{_hash(str(self.state))}"
        self._short = short_folder or Path("/tmp") / name  # the temp dir of the user may be long as well
        self._direct = _bytes(self._temps) + _NODE_NAME_ROOM <= TEMP_DIR_LIMIT

    def make(self) -> None:
        """Make the engine's folders. Raises NotReady when one cannot be had."""
        for folder in (
            self.state, self.environments, self.node_runtime, self.zygotes, self._instances, self._warm, self._temps,
        ):  # fmt: skip
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise NotReady(
                    f"cannot make the folder {folder}: {error.strerror}; choose another home folder"
                ) from error
        if stat.S_IMODE(self.state.stat().st_mode) & 0o077:
            self.state.chmod(0o700)
        self.ensure_short_folder()

    def sweep(self) -> None:
        """Remove what a crash left half made or half removed."""
        for entry in [*self._instances.iterdir(), *self._warm.iterdir()]:
            if entry.name.startswith((_COMING, _GOING)):
                shutil.rmtree(entry, ignore_errors=True)
        wanted = {_hash(name) for name in (*self.instances(), *self.pool().instances())}
        for entry in list(self._temps.iterdir()):
            if entry.name not in wanted:
                shutil.rmtree(entry, ignore_errors=True)
        for entry in [] if self._direct else list(self._short.iterdir()):
            ours = entry.is_symlink() and entry.readlink().parent == self._temps
            if ours and entry.name not in wanted:
                entry.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove the folder of short names when nothing is in it. It is made again when it is needed."""
        if not self._direct:
            with contextlib.suppress(OSError):
                self._short.rmdir()

    def instances(self) -> list[InstanceId]:
        """Every instance that has a folder."""
        names = (entry.name for entry in self._instances.iterdir() if not entry.name.startswith("."))
        return sorted(InstanceId(name) for name in names)

    def instance(self, instance: InstanceId) -> Path:
        return self._instances / instance

    def exists(self, instance: InstanceId) -> bool:
        return self.instance(instance).exists()

    def create(self, instance: InstanceId, files: Mapping[str, str]) -> Path:
        """Make an instance's folder with its first files (0600), all or nothing."""
        coming = self._coming(instance, files)
        (coming / "nodes").mkdir(mode=0o700)
        self.ensure_temps(instance)
        coming.rename(self.instance(instance))
        return self.instance(instance)

    def claim(self, instance: InstanceId, entry: str, files: Mapping[str, str]) -> Path:
        """Make an instance's folder with its first files (0600) and the entry of the warm pool that is its from now on,
        all or nothing."""
        coming = self._coming(instance, files)
        (coming / _WARM).symlink_to(Path("..", "..", self._warm.name, entry))
        for name in _OF_ENTRY:
            (coming / name).symlink_to(Path(_WARM, name))
        coming.rename(self.instance(instance))
        return self.instance(instance)

    def entry(self, instance: InstanceId) -> str | None:
        """The entry of the warm pool that an instance was given."""
        try:
            return (self.instance(instance) / _WARM).readlink().name
        except OSError:
            return None

    def home(self, instance: InstanceId) -> Path:
        """The folder that has an instance's nodes, by the name that the kernel knows their open files by."""
        entry = self.entry(instance)
        return (self.instance(instance) if entry is None else self._warm / entry).resolve()

    def entries(self) -> list[InstanceId]:
        """The entries of the warm pool that belong to no instance."""
        given = {self.entry(instance) for instance in self.instances()}
        return [entry for entry in self.pool().instances() if entry not in given]

    def pool(self) -> Layout:
        """The same folders with the entries of the warm pool for instances."""
        view = copy.copy(self)
        view._instances = self._warm
        return view

    def _coming(self, instance: InstanceId, files: Mapping[str, str]) -> Path:
        coming = self._instances / (_COMING + instance)
        shutil.rmtree(coming, ignore_errors=True)
        coming.mkdir(mode=0o700)
        for name, text in files.items():
            descriptor = os.open(coming / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
        return coming

    def remove(self, instance: InstanceId) -> None:
        """Remove every file of an instance whose processes are gone, the instance's own folder last."""
        entry = self.entry(instance)
        short = self._short / self._key(instance)
        if not self._direct and short.is_symlink():
            short.unlink(missing_ok=True)
        _remove_tree(self._temps / self._key(instance))
        if entry is not None:
            _remove_tree(self._warm / entry)
        going = self._instances / (_GOING + instance)
        _remove_tree(going)
        with contextlib.suppress(FileNotFoundError):
            self.instance(instance).rename(going)
        _remove_tree(going)

    @property
    def door(self) -> Path:
        """The autoscalers' socket. The same in every run of the server, for heads that outlive one know it."""
        return (self.state if self._direct else self._short) / _DOOR

    def temps(self, instance: InstanceId) -> Path:
        """The folder of the temp dirs of an instance's nodes, by the name that is short enough for Ray."""
        return (self._temps if self._direct else self._short) / self._key(instance)

    def real_temps(self, instance: InstanceId) -> Path:
        """The same folder below ``state``."""
        return self._temps / self._key(instance)

    def ensure_temps(self, instance: InstanceId) -> None:
        """Make the folder and its short name again if something took them away, as cleaners of /tmp may."""
        real = self.real_temps(instance)
        real.mkdir(mode=0o700, exist_ok=True)
        if self._direct:
            return
        short = self._short / self._key(instance)
        try:
            os.utime(short, follow_symlinks=False)
        except FileNotFoundError:
            self._make_short_folder()
            short.symlink_to(real)

    def ensure_short_folder(self) -> None:
        """Make the folder of short names again, where there is one, if something took it away."""
        if not self._direct:
            self._make_short_folder()

    def _key(self, instance: InstanceId) -> str:
        """The name of its folder of temp dirs: its entry's, if it was given one."""
        return _hash(self.entry(instance) or instance)

    def _make_short_folder(self) -> None:
        folder = self._short
        if _bytes(folder) + _NODE_NAME_ROOM > TEMP_DIR_LIMIT:
            raise NotReady(
                f"the folder {folder} for Ray's sockets has a name of {_bytes(folder)} bytes; at most "
                f"{TEMP_DIR_LIMIT - _NODE_NAME_ROOM} leave room for them: choose a shorter one"
            )
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            facts = folder.lstat()
        except OSError as error:
            raise NotReady(f"cannot make the folder {folder} for Ray's sockets: {error.strerror}") from error
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            raise NotReady(
                f"{folder} is not a private directory of this user; remove it, somebody else may have made it"
            )


def _remove_tree(folder: Path) -> None:
    """Remove a folder and insist: files may still appear or lack permissions (job working folders)."""
    for _ in range(3):
        if not os.path.lexists(folder):
            return
        shutil.rmtree(folder, onerror=_open_up)
    shutil.rmtree(folder)


def _open_up(function: object, name: str, information: object) -> None:
    """A directory that a user's job made read-only is ours all the same."""
    path = Path(name)
    with contextlib.suppress(OSError):
        path.parent.chmod(0o700)
        if not path.is_symlink():
            path.chmod(0o700)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _bytes(path: Path) -> int:
    return len(os.fsencode(path))
