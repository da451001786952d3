"""Façades: what is public, where it lives, and what importing it costs."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import meshregistry

SOURCE = Path(meshregistry.__file__).parent

FACADES = sorted(
    f"meshregistry.{module.name}"
    for module in pkgutil.iter_modules([str(SOURCE)])
    if not module.name.startswith("_")
)
PACKAGES = [name for name in FACADES if (SOURCE / name.rpartition(".")[2]).is_dir()]

# These import the names that need an extra when they are used, as the package itself does.
LAZY = {"meshregistry.mixer"}

# Names that a façade offers although they live in another one.
REEXPORTS = {
    # What a check raises, where callers want that.
    "meshregistry.mixer": {"MixerUnavailable"},
    # The clock of the machine, for tests of adapters on real servers.
    "meshregistry.testing": {"SystemClock"},
    # What a supervisor is told, from one place.
    "meshregistry.aggregate": {"Schedule"},
    # What a program that serves needs, from one place.
    "meshregistry.server": {"MetricsCollector"},
    # Plugins import from spi alone; these values are what their hooks return.
    "meshregistry.spi": {
        *("MergePolicy", "Peer", "Union", "Verdict"),
        *("REMOVED", "RecordTransform", "ResourceGenerator", "ResourcePatch", "SourceInfo"),
        # And these are what their config classes are made of.
        *("Path", "Seconds", "Secret"),
        # What rule sources publish.
        "RuleUnit",
    },
}

# What a package may load beyond the requirements of the core (architecture, section 2).
OPTIONAL = {"aiohttp", "click", "cryptography", "envoy", "google", "grpc", "prometheus_client"} | {
    "pytest",
    "rich",
}
MESSAGES = {"envoy", "google"}
ALLOWED = {
    "meshregistry.exposition": {"prometheus_client"},
    "meshregistry.http_log": {"aiohttp"},
    "meshregistry.grpc_tls": {"grpc"},
    "meshregistry.generate": MESSAGES,
    "meshregistry.server": MESSAGES | {"aiohttp", "grpc", "prometheus_client"},
    "meshregistry.cli": {"click", "rich"},
    "meshregistry.testing": {"pytest"},
}

LOADED = "import json, sys; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after a statement."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{statement}\n{LOADED}"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", FACADES)
def test_all_is_sorted_and_every_name_exists(name):
    """`__all__` lists names that exist, each once, constants first, as ruff sorts them."""
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert len(set(listed)) == len(listed)
    assert [] == [item for item in listed if not hasattr(module, item)]


@pytest.mark.parametrize("name", [name for name in PACKAGES if name not in LAZY])
def test_a_facade_holds_imports_only(name):
    """A package's `__init__` has a docstring, imports and `__all__`; code lives elsewhere."""
    tree = ast.parse(Path(importlib.import_module(name).__file__).read_text(encoding="utf-8"))
    others = [
        ast.unparse(statement)
        for statement in tree.body
        if not isinstance(statement, ast.Import | ast.ImportFrom)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        and not (
            isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
        )
    ]
    assert [] == others


def test_every_public_name_lives_in_one_facade():
    """No two façades export one name, except where the re-export is part of the design."""
    homes = defaultdict(list)
    for name in FACADES:
        for item in getattr(importlib.import_module(name), "__all__", []):
            if item not in REEXPORTS.get(name, ()):
                homes[item].append(name)
    assert {} == {item: found for item, found in homes.items() if len(found) > 1}


@pytest.mark.parametrize("name", FACADES)
def test_a_facade_imports_other_packages_through_their_facades(name):
    """Across packages, no module imports another package's underscore module."""
    path = SOURCE / name.rpartition(".")[2]
    sources = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    strangers = []
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            parts = module.split(".")
            is_private = any(part.startswith("_") for part in parts[1:])
            if parts[0] == "meshregistry" and is_private and not module.startswith(f"{name}."):
                strangers.append(f"{source.name}: {module}")
    assert [] == strangers


def test_importing_the_library_loads_none_of_its_dependencies():
    """A bare `import meshregistry` reads only the standard library (contracts, section 12)."""
    bare = loaded_by("pass")
    added = {name for name in loaded_by("import meshregistry") - bare if not is_standard(name)}
    assert {"meshregistry"} == added


@pytest.mark.parametrize("name", FACADES)
def test_a_package_is_importable_alone(name):
    """Each façade loads in a fresh interpreter, warning-free, without foreign extras."""
    extra = loaded_by(f"import {name}") & OPTIONAL
    assert set() == extra - ALLOWED.get(name, set())


def is_standard(name: str) -> bool:
    """Whether a top-level module comes with Python."""
    return name in sys.stdlib_module_names or name.startswith("_")
