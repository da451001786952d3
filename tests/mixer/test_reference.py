"""docs/reference/mixer.md: its tables are what the code says, and its example runs."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import attrs
import pytest

from meshregistry.mixer import ClientOptions, MixerClient
from meshregistry.mixer.client._statistics import Statistics
from meshregistry.mixer.vocabulary import STANDARD

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "mixer.md"


def section(name):
    """The generated part of the page with this name."""
    return re.compile(
        rf"(<!-- {name}: written by REWRITE_REFERENCE=1 -->\n)(.*?)(<!-- end -->\n)", re.DOTALL
    )


def table(head, rows):
    """One Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def described(kind):
    """What the docstring of a class says of each attribute, by its name."""
    text = inspect.getdoc(kind).partition("Attributes:\n")[2]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", words) for name, words in entries}


def options():
    """Every option with its default and meaning."""
    meanings = described(ClientOptions)
    rows = []
    for field in attrs.fields(ClientOptions):
        default = getattr(field.default, "name", field.default)
        rows.append((f"`{field.name}`", f"`{default}`", meanings.pop(field.name)))
    assert {} == meanings
    return table(("Option", "Default", "Means"), rows)


def statistics():
    """Every counter that follows from others, and every other one."""
    names = Statistics().read(0, 0)
    return "".join(f"- `{name}`\n" for name in names)


def metrics():
    """Every metric with its kind, its label and its meaning."""
    rows = []
    for metric in MixerClient("127.0.0.1:1").metrics():
        labels = {f"{key}={value}" for each, _ in metric.samples for key, value in each.items()}
        values = ", ".join(f"`{label}`" for label in sorted(labels))
        rows.append((f"`{metric.name}`", metric.kind, values, metric.description))
    return table(("Name", "Kind", "Labels", "Means"), rows)


def attributes():
    """The whole vocabulary."""
    rows = [
        (
            f"`{name}`",
            attribute.type.name,
            "; ".join(sorted(when.value for when in attribute.when)),
            attribute.meaning,
        )
        for name, attribute in STANDARD.items()
    ]
    return table(("Name", "Type", "Comes", "Means"), rows)


TABLES = {
    "options": options,
    "statistics": statistics,
    "metrics": metrics,
    "attributes": attributes,
}


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_what_the_code_says(name):
    """An option, a figure or an attribute that is otherwise than the page says would be a lie."""
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("REWRITE_REFERENCE") == "1":
        text = section(name).sub(lambda found: found[1] + TABLES[name]() + found[3], text)
        PAGE.write_text(text, encoding="utf-8")
    assert TABLES[name]() == section(name).search(text)[2]


def test_the_example_of_the_page_does_what_it_shows(run_async):
    """Without any server the request is allowed, as the page says of the default policy."""
    (code,) = re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    code = code.replace("mixer-1:9091", "127.0.0.1:1").replace("mixer-2:9091", "127.0.0.1:1")
    code = code.replace('"127.0.0.1:1"]', '"127.0.0.1:1"], options=ClientOptions(drain_timeout=0)')
    names = {"ClientOptions": ClientOptions}
    exec(compile(code, PAGE.name, "exec"), names)
    assert run_async(names["handle"](None)) is None
