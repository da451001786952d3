"""Find, isolate, register and report plugins; typed calls to their hooks."""

from meshregistry.loader._discovery import find_plugins
from meshregistry.loader._known import EXTRAS, install_line
from meshregistry.loader._plugins import Plugins
from meshregistry.loader._report import PluginReport, PluginStatus

__all__ = [
    "EXTRAS",
    "PluginReport",
    "PluginStatus",
    "Plugins",
    "find_plugins",
    "install_line",
]
