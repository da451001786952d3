"""What a plugin distribution may import, and how it is called (contracts, section 13)."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from meshregistry.testing import CAPABILITIES

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "docs" / "how-to" / "example_plugin"
PAGE = (ROOT / "docs" / "how-to" / "write-a-plugin.md").read_text(encoding="utf-8")
DISTRIBUTIONS = [EXAMPLE, *(file.parent for file in sorted(ROOT.glob("plugins/*/pyproject.toml")))]

ALLOWED = {
    "meshregistry.errors",
    "meshregistry.mixer.spi",
    "meshregistry.model",
    "meshregistry.spi",
    "meshregistry.spi.xds",
}
IN_TESTS = ALLOWED | {"meshregistry.testing"}


def imported(source):
    """Every module of ours that a piece of Python imports, wherever it does; with what is in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            whole = node.module == "meshregistry"
            names = [f"meshregistry.{one.name}" if whole else node.module for one in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0].startswith("meshregistry"))


def strangers(folder, allowed):
    """What the Python files below a folder import beside that, and which file does."""
    return sorted(
        f"{file.relative_to(ROOT)}: {name}"
        for file in folder.rglob("*.py")
        for name in imported(file.read_text(encoding="utf-8"))
        if name not in allowed and name.partition(".")[0] not in allowed
    )


def package(distribution):
    """The name of the import package."""
    (folder,) = [one for one in (distribution / "src").iterdir() if (one / "__init__.py").exists()]
    return folder.name


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_a_plugin_imports_only_what_plugins_may(distribution):
    """Model, errors and spi by their façades, and itself; in its tests the kit, too."""
    own = package(distribution)
    assert [] == strangers(distribution / "src", ALLOWED | {own})
    assert [] == strangers(distribution / "tests", IN_TESTS | {own})


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("from meshregistry.spi import Sink", ["meshregistry.spi"]),
        ("from meshregistry import pilot", ["meshregistry.pilot"]),
        ("import meshregistry.aggregate", ["meshregistry.aggregate"]),
        ("def f():\n  from meshregistry.spi._registry import Sink", ["meshregistry.spi._registry"]),
        ("from meshregistry_other import x", ["meshregistry_other"]),
        ("import asyncio, json\nfrom . import x", []),
    ],
)
def test_every_form_of_import_is_seen(code, names):
    """Also within functions, and of another plugin."""
    assert names == list(imported(code))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_a_plugin_names_itself_after_its_kind(distribution):
    """Distribution, package, folder and entry point go by one name; types are shipped."""
    project = tomllib.loads((distribution / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    ((kind, module),) = project["entry-points"]["meshregistry"].items()
    assert package(distribution) == module
    assert project["name"] == module.replace("_", "-")
    assert "meshregistry>=0.1,<0.2" in project["dependencies"]
    assert (distribution / "src" / module / "py.typed").exists()
    if distribution != EXAMPLE:  # it is called after what it is
        assert (f"meshregistry_{kind}", kind) == (module, distribution.name)


def test_every_adapter_has_an_extra():
    """`pip install 'meshregistry[<kind>]'` brings it, and `all` brings every one."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = pyproject["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    for distribution in DISTRIBUTIONS[1:]:
        kind = distribution.name
        assert [f"meshregistry-{kind}>=0.1,<0.2"] == extras[kind]
        assert kind in everything.partition("[")[2].rstrip("]").split(",")


def test_the_conformance_test_of_the_plugin_page_is_that_of_the_example():
    """The shown class is the one that is run."""
    name = "tests/test_conformance.py"
    (shown,) = re.findall(rf"^```python\n# {name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert (EXAMPLE / name).read_text(encoding="utf-8") == shown


def test_every_capability_stands_on_the_plugin_page_with_its_methods():
    """The table has a row for each, and no other."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE, re.MULTILINE))
    assert CAPABILITIES.keys() == rows.keys()
    for capability, methods in CAPABILITIES.items():
        assert [] == [one for one in methods if f"`{one}(" not in rows[capability]]
