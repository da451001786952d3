"""Plugins that are really installed: distributions on a path of the test's own."""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap

import pytest

IMPORTS = """
from attrs import frozen
from meshregistry.model import *
from meshregistry.spi import RegistryKind, Seconds, Secret, hookimpl
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """``install("consul", code)`` installs a distribution whose entry point names that code.

    The module gets a name of its own; `extra` is added to the distribution's metadata.
    """
    monkeypatch.syspath_prepend(str(tmp_path))
    numbers = itertools.count()

    def install(
        name, code, *, distribution=None, version="1.2", requires=(), target="{module}", more=()
    ):
        module = f"meshregistry_installed_{next(numbers)}"
        distribution = distribution or f"meshregistry-{name}"
        (tmp_path / f"{module}.py").write_text(IMPORTS + textwrap.dedent(code), encoding="utf-8")
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        lines += [f"Requires-Dist: {text}" for text in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        points = [f"{one} = {target.format(module=module)}" for one in (name, *more)]
        (info / "entry_points.txt").write_text(
            "\n".join(["[meshregistry]", *points]) + "\n", encoding="utf-8"
        )
        importlib.invalidate_caches()
        return module

    yield install
    for module in [one for one in sys.modules if one.startswith("meshregistry_installed_")]:
        del sys.modules[module]
