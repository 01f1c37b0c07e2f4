"""Makes drivers of Ray 2.47 use the node that they run on. Copied into that release's environment; imports nothing of ours.

Ray 2.47 attaches a driver to the first node in the cluster that has its IP address, in no particular order. Here all nodes
are on 127.0.0.1, so a job, and even the head's own job manager, would hang on some worker, and end with it. Later releases
prefer the head. ``install`` puts this file and a ``.pth`` line into an environment, once, after it is built; outside of
our nodes (no ``HELIOSTAT_NODE_DIR``) it does nothing.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

VARIABLE = "HELIOSTAT_NODE_DIR"
"""Ray's temp dir of the node that a process runs on."""

TARGET = "ray._private.state"
MODULE = "_heliostat_driver_patch"


def install(site_packages: Path) -> None:
    """Put the patch into an environment. Repeatable; call it for releases whose ``Features.drivers_go_astray``."""
    shutil.copyfile(__file__, site_packages / f"{MODULE}.py")
    (site_packages / f"{MODULE}.pth").write_text(
        f"import os; os.environ.get('{VARIABLE}') and __import__('{MODULE}')\n"
    )


def apply(state: ModuleType) -> None:
    """Change ``ray._private.state`` in this process."""
    original = state.GlobalState.get_node_to_connect_for_driver

    def get_node_to_connect_for_driver(self: Any, node_ip_address: str) -> Any:
        here = os.environ.get(VARIABLE, "") + "/"
        for node in self.node_table():
            if node["Alive"] and node["RayletSocketName"].startswith(here):
                return self.get_node(node["NodeID"])
        return original(self, node_ip_address)

    state.GlobalState.get_node_to_connect_for_driver = get_node_to_connect_for_driver


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the target as usual, once, and has it changed when it has been loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_changed(module: ModuleType) -> None:
                load(module)
                apply(module)

            spec.loader.exec_module = load_changed  # type: ignore[method-assign]
        return spec


if __name__ == MODULE:
    sys.meta_path.insert(0, _Finder())
