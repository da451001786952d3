"""What the documentation promises is what the code does.

Each kind of promise has a section here: hooks, the plugin how-to, and (with the parts that
they describe) settings, metrics and commands. `page`, `headings` and `python_blocks` read a
page; a section compares what it finds with the code, in both directions.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import re
import sys
from pathlib import Path

import pytest

from meshregistry import spi
from meshregistry.loader import Plugins

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLE = DOCS / "how-to" / "example_plugin"

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def page(name):
    """The text of a page, by its path below docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def headings(text, level):
    """The headings of one level, without backquotes, and the text below each."""
    parts = re.split(rf"^{'#' * level} (.+)$", text, flags=re.MULTILINE)
    return {title.strip("` "): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def blocks(text, language):
    """The blocks of code in one language, in order."""
    return [code for spoken, code in BLOCK.findall(text) if spoken == language]


# --- Hooks --------------------------------------------------------------------------------

HOOKS_PAGE = "reference/hooks.md"


def signatures(code):
    """Every hook that a piece of Python defines: its name, arguments and result as text."""
    return {
        node.name: (ast.unparse(node.args), ast.unparse(node.returns))
        for node in ast.parse(code).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("meshregistry_")
    }


def specified():
    """The hooks of the code."""
    return signatures(Path(spi.hookspecs.__file__).read_text(encoding="utf-8"))


def test_every_hook_is_documented_with_its_signature():
    """The page has each hook once, under its name, and nothing else."""
    documented = {}
    for title, body in headings(page(HOOKS_PAGE), 3).items():
        ((code),) = blocks(body, "python")
        assert [title] == list(signatures(code))
        documented |= signatures(code)
    assert specified() == documented


def test_the_style_of_every_hook_is_documented():
    """Hooks where the first answer wins stand under Decision, and no others."""
    styles = {
        hook: style
        for style, body in headings(page(HOOKS_PAGE), 2).items()
        for hook in headings(body, 3)
    }
    first = {
        name
        for name in specified()
        if getattr(spi.hookspecs, name).meshregistry_spec["firstresult"]
    }
    assert first == {hook for hook, style in styles.items() if style == "Decision"}
    assert {"Registration", "Decision", "Guard", "Observation"} == set(styles.values())


def test_every_hook_says_when_it_is_called():
    """Below each signature stands what it does."""
    bare = [
        title
        for title, body in headings(page(HOOKS_PAGE), 3).items()
        if not BLOCK.sub("", body).strip()
    ]
    assert [] == bare


# --- Writing a plugin ---------------------------------------------------------------------

PLUGIN_PAGE = "how-to/write-a-plugin.md"


@pytest.fixture
def example(monkeypatch):
    """The package of the example plugin, imported from its source."""
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    yield importlib.import_module("meshregistry_example")
    for name in [one for one in sys.modules if one.partition(".")[0] == "meshregistry_example"]:
        del sys.modules[name]


def test_the_code_of_the_plugin_page_is_that_of_the_example():
    """A block that names a file is that file, so the page cannot grow old."""
    shown = []
    for code in blocks(page(PLUGIN_PAGE), "python"):
        first, _, rest = code.partition("\n")
        if first.startswith("# src/"):
            shown.append(first.removeprefix("# "))
            assert (EXAMPLE / shown[-1]).read_text(encoding="utf-8") == rest
    files = {file.relative_to(EXAMPLE).as_posix() for file in EXAMPLE.glob("src/*/*.py")}
    assert files == set(shown)


def test_the_metadata_of_the_plugin_page_is_that_of_the_example():
    """Every line of the shown pyproject.toml stands in the example's."""
    (code,) = blocks(page(PLUGIN_PAGE), "toml")
    real = (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    assert [] == [line for line in code.splitlines()[1:] if line not in real]


def test_the_test_of_the_plugin_page_passes(example, tmp_path):
    """The shown test is run as it stands."""
    (code,) = [one for one in blocks(page(PLUGIN_PAGE), "python") if "def test_" in one]
    names = {}
    exec(compile(code, PLUGIN_PAGE, "exec"), names)
    names["test_it_publishes_the_file"](tmp_path)
    assert asyncio is names["asyncio"]


def test_the_example_plugin_is_loaded_and_registers_its_kind(example):
    """The loader finds nothing wrong with it."""
    plugins = Plugins.load(builtins=(), plugins=[example], entry_points=False, environ={})
    assert "hosts" == plugins.kind("hosts").name
    assert plugins.kind("hosts").summary


def test_the_example_plugin_imports_only_what_plugins_may():
    """It needs meshregistry.model, .errors and .spi, and nothing private (contracts, section 13)."""
    imported = set()
    for file in EXAMPLE.glob("src/**/*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module)
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    ours = {name for name in imported if name.partition(".")[0] == "meshregistry"}
    assert {"meshregistry.errors", "meshregistry.model", "meshregistry.spi"} == ours
