"""What the documentation promises is what the code does.

Each kind of promise has a section here: hooks, the plugin how-to, and (with the parts that
they describe) settings, metrics and commands. `page`, `headings` and `python_blocks` read a
page; a section compares what it finds with the code, in both directions.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
import sys
import types
from pathlib import Path

import attrs
import click
import pytest

from meshregistry import Pilot, Settings, spi
from meshregistry.cli import Exit, cli
from meshregistry.defaults import builtin_plugins
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


# --- Commands, HTTP, metrics, settings ----------------------------------------------------


def first_cells(text):
    """What stands between backquotes in the first column of the tables of a text."""
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def test_every_command_is_documented_with_its_options():
    """Each in a section of its own, in both directions, with its example."""
    sections = headings(page("reference/commands.md"), 2)
    documented = {title: body for title, body in sections.items() if title.islower()}
    assert set(cli.commands) == set(documented)
    for name, body in documented.items():
        command = cli.commands[name]
        below = command.commands.values() if isinstance(command, click.Group) else ()
        options = {
            word
            for each in (command, *below)
            for one in each.params
            if isinstance(one, click.Option)
            for word in one.opts
        }
        assert options == set(first_cells(body)), name
        assert f"$ meshregistry {name}" in "".join(blocks(body, "console"))
        assert inspect.cleandoc(command.help).splitlines()[-1].removeprefix("Example: ") in body
        for other in below:
            assert f"### `{name} {other.name}`" in body


def test_every_exit_code_is_documented():
    """With its meaning, in both directions."""
    body = headings(page("reference/commands.md"), 2)["Exit codes"]
    assert {str(code.value) for code in Exit} == set(
        re.findall(r"^\| (\d+) \|", body, re.MULTILINE)
    )


@pytest.fixture(scope="module")
def served():
    """The HTTP paths by listener, and the names of the figures, of a pilot that serves."""

    async def read():
        registration = {"source": "mine", "tokens": [{"token": "x"}]}
        settings = Settings.from_dict(
            {
                "sources": [{"id": "mine", "kind": "memory"}],
                "server": {
                    "xds": "127.0.0.1:0",
                    "registration": registration,
                    "peers": ["http://127.0.0.1:1"],
                },
            }
        )
        async with Pilot(settings) as pilot:
            await pilot.synced(timeout=10)
            groups = pilot._serving._http_groups()
            paths = {name: {route.path for route in routes} for name, (_, routes) in groups.items()}
            return paths, {metric.name: metric.kind for metric in pilot.statistics()}

    return asyncio.run(read())


def test_every_http_path_is_documented_under_its_listener(served):
    """In both directions."""
    sections = headings(page("reference/http.md"), 2)
    assert served[0] == {name: set(first_cells(body)) for name, body in sections.items()}


def test_every_metric_is_documented_with_its_kind(served):
    """In both directions."""
    rows = re.findall(
        r"^\| `(meshregistry_\w+)` \| (\w+) \|", page("reference/metrics.md"), re.MULTILINE
    )
    assert served[1] == dict(rows)
    assert len(rows) == len(dict(rows))


def keys(schema, path=""):
    """The keys of a JSON Schema, by the place where they stand."""
    for alternative in (schema, *schema.get("anyOf", ())):
        properties = alternative.get("properties", {})
        if properties:
            yield path, set(properties)
        for name, inner in properties.items():
            place = f"{path}.{name}" if path else name
            yield from keys(inner, place)
            yield from keys(inner.get("items", {}), f"{place}[]")


def test_every_settings_key_is_documented_at_its_place():
    """Those of the core and those of the kinds that come with it, in both directions."""
    expected = dict(keys(Settings.schema()))
    expected["Top level"] = expected.pop("")
    for kind in Plugins.load(builtins=builtin_plugins(), entry_points=False, environ={}).kinds():
        expected[f"sources[]` of kind `{kind.name}"] = options(kind)
    sections = headings(page("reference/settings.md"), 2)
    assert expected == {title: set(first_cells(body)) for title, body in sections.items()}


def options(kind):
    """The names of what a source of this kind may say beside the core keys."""
    return {field.alias or field.name for field in attrs.fields(kind.config_class)}


@pytest.mark.parametrize(
    "folder", sorted((ROOT / "plugins").glob("*/")), ids=lambda path: path.name
)
def test_every_option_of_a_plugin_is_documented_in_its_page(folder):
    """By its name, in its README."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    package = f"meshregistry_{folder.name}"
    kinds = [
        kind
        for kind in Pilot.discover({}).kinds()
        if kind.config_class.__module__.partition(".")[0] == package
    ]
    assert kinds, f"{package} is not installed, or has no kind"
    assert all(f"`{kind.name}`" in text for kind in kinds if len(kinds) > 1)
    names = {name for kind in kinds for name in options(kind)}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_the_defaults_of_settings_are_documented():
    """As far as the schema tells them."""
    found = {}
    for path, names in keys(Settings.schema()):
        node = Settings.schema()
        for part in filter(None, path.split(".")):
            inner = node["properties"][part.removesuffix("[]")]
            node = inner["items"] if part.endswith("[]") else inner
            node = next((one for one in node.get("anyOf", ()) if "properties" in one), node)
        found |= {
            (path or "Top level", name): str(node["properties"][name]["default"]).lower()
            for name in names
            if node["properties"][name].get("default") not in (None, "", 0.0)
        }
    written = {}
    for title, body in headings(page("reference/settings.md"), 2).items():
        for name, default in re.findall(r"^\| `(\w+)` \| ([^|]*) \|", body, re.MULTILINE):
            written[title, name] = default.lower()
    assert found == {place: written[place] for place in found}


# --- Programs and settings in the pages --------------------------------------------------

PROGRAMS = [
    (name, number)
    for name in (
        "how-to/embed",
        "how-to/mixer-with-envoy",
        "how-to/run-the-server",
        "how-to/serve-your-own-resources",
        "how-to/threads-and-gunicorn",
        "tutorial/one-catalog",
    )
    for number, _ in enumerate(blocks(page(f"{name}.md"), "python"))
]


@pytest.mark.parametrize(("name", "number"), PROGRAMS)
def test_the_programs_of_the_pages_run(name, number, tmp_path, monkeypatch, capsys):
    """As they stand, in a folder with the settings of the reference."""
    (tmp_path / "mesh.yaml").write_text("sources: [{id: vms, kind: file, path: services.yaml}]")
    (tmp_path / "services.yaml").write_text(
        "services: [{host: a.b, ports: [{name: http, port: 80, protocol: HTTP}]}]"
    )
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    program = blocks(page(f"{name}.md"), "python")[number]
    exec(compile(program, f"{name}.md", "exec"), names)
    if "post_worker_init" in names:
        worker = types.SimpleNamespace()
        names["post_worker_init"](worker)
        assert 1 == len(worker.pilot.catalog)
        names["worker_exit"](None, worker)
    else:
        assert capsys.readouterr().out


def test_the_settings_of_the_how_to_pages_are_good():
    """Each block of YAML with sources is read without a fault."""
    found = [
        text
        for file in DOCS.glob("how-to/*.md")
        for text in blocks(file.read_text(encoding="utf-8"), "yaml")
        if text.startswith("sources:") or "\nsources:" in text
    ]
    assert found
    for text in found:
        assert Settings.parse(text, environ={}).sources
