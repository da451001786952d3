"""Kubernetes on loopback as an installed plugin, for commands in processes of their own.

It takes the place of the real plugin, so that settings say ``kind: kubernetes`` as everywhere.
"""

from __future__ import annotations

from pathlib import Path

import meshregistry_kubernetes
from meshregistry.spi import RegistryKind, hookimpl
from servers.loopback import on_loopback


@hookimpl
def meshregistry_register_registries() -> RegistryKind:
    """The kind ``kubernetes``, whose pods are backends on this machine."""
    return on_loopback(meshregistry_kubernetes.meshregistry_register_registries(), "kubernetes")


def installed(folder: Path) -> dict[str, str]:
    """Install it into an empty folder; the variables with which a process finds it there."""
    info = folder / "meshregistry_loopback-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: meshregistry-loopback\nVersion: 1\n"
    )
    (info / "entry_points.txt").write_text(f"[meshregistry]\nloopback = {__name__}\n")
    return {
        "PYTHONPATH": f"{folder}:{Path(__file__).parents[1]}",
        "MESHREGISTRY_DISABLE_PLUGINS": "kubernetes",
    }
