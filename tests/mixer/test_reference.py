"""docs/reference/mixer.md: its tables are what the code says, and its example runs."""

from __future__ import annotations

import enum
import inspect
import json
import os
import re
import typing
from pathlib import Path
from random import Random

import attrs
import pytest

from meshregistry.documents import Seconds, Secret, format_seconds
from meshregistry.documents._classes import config_fields, unwrap_optional
from meshregistry.mixer import ClientOptions, MixerClient
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.client._statistics import Statistics
from meshregistry.mixer.expressions import FUNCTIONS
from meshregistry.mixer.expressions._operators import COMPARISONS, SUM
from meshregistry.mixer.fronts import EnvoyFronts
from meshregistry.mixer.server import Mixer
from meshregistry.mixer.server._engine import Engine
from meshregistry.mixer.server._running import Surroundings
from meshregistry.mixer.server._statistics import server_metrics
from meshregistry.mixer.spi import TEMPLATES, Form
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
    """Every metric of a client."""
    return metric_table(MixerClient("127.0.0.1:1").metrics())


def server_figures():
    """Every metric of a server that Envoys ask."""
    engine = Engine(Surroundings(random=Random(1), base_path=Path()))
    mixer = Mixer(engine, now=lambda: 0.0)
    return metric_table((*server_metrics(engine, mixer, 0), *EnvoyFronts().metrics()))


def metric_table(found):
    """Each metric with its kind, its labels and its meaning."""
    rows = []
    for metric in found:
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


def templates():
    """Every template, with its fields by the names of documents."""
    rows = [
        (
            f"`{one.name}`",
            one.variety.name,
            "; ".join(fields(one.fields)) or "none",
            ", ".join(f"`{name}`" for name in one.output),
        )
        for one in TEMPLATES
    ]
    return table(("Name", "Variety", "Fields", "Output"), rows)


def fields(listed, start=""):
    """Each field of a template with the type of its value."""
    for one in listed:
        name = f"{start}{one.camel_name}"
        if one.form is Form.NESTED:
            yield from fields(one.nested, f"{name}.")
        else:
            kind = one.value_type.name if one.form is Form.TYPED else one.form.value
            yield f"`{name}`: {kind}"


def adapters():
    """Every adapter with its templates and its parameters."""
    return "\n".join(
        f"### `{one.name}`\n\n{adapter_text(one)}\n{parameter_table(one.config_class)}"
        for one in sorted(ADAPTERS, key=lambda one: one.name)
    )


def adapter_text(adapter):
    """What an adapter does, what it takes, and what else it is called."""
    taken = ", ".join(f"`{one.name}`" for one in adapter.templates)
    also = "".join(f" Also called `{name}`." for name in adapter.aliases)
    return f"{adapter.summary[:1].upper()}{adapter.summary[1:]}. Takes {taken}.{also}\n"


def parameter_table(config_class):
    """The parameters of an adapter; no table if it has none."""
    rows = list(parameters(config_class))
    return table(("Parameter", "Default", "Means"), rows) if rows else "It has no parameters.\n"


def parameters(config_class, start=""):
    """Each parameter by its path, with its default and meaning."""
    meanings = described(config_class)
    for one in config_fields(config_class):
        name = f"{start}{camel(one.key)}"
        hint, _ = unwrap_optional(one.hint)
        words = meanings.pop(one.attribute.name, "")
        if not words:
            assert attrs.has(hint), f"{config_class.__name__}.{one.attribute.name} is not explained"
            words = inspect.getdoc(hint).partition("\n")[0]
        yield f"`{name}`", default_text(one), words + choices(hint)
        inner = [hint, *typing.get_args(hint)]
        below = next((kind for kind in inner if attrs.has(kind) and kind is not Secret), None)
        if below is not None:
            marks = {dict: ".*", tuple: "[]", list: "[]"}
            yield from parameters(below, f"{name}{marks.get(typing.get_origin(hint), '')}.")
    assert {} == meanings


def choices(hint):
    """The values of a parameter that has only some."""
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        values = [one.value for one in hint]
    elif typing.get_origin(hint) is typing.Literal:
        values = typing.get_args(hint)
    else:
        return ""
    return f" One of {', '.join(f'`{value}`' for value in values)}."


def camel(name):
    """A name as documents mostly write it."""
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def default_text(one):
    """The default as a document would write it; empty for nothing."""
    default = one.attribute.default
    if one.is_required:
        return "required"
    if isinstance(default, attrs.Factory):
        made = default.factory()
        return f"`{json.dumps(made)}`" if isinstance(made, dict) and made else ""
    if one.hint is Seconds:
        return f"`{format_seconds(default)}`"
    default = getattr(default, "value", default)
    if default in (None, "", ()):
        return ""
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def operators():
    """Every operator with the types that it works on."""

    def names(types):
        return ", ".join(sorted(kind.name for kind in types))

    rows = [
        (r"`\|\|`, `&&`", "BOOL; the right side only if it decides"),
        (r"`\|`", "any type, both sides the same"),
        ("`+`", names(SUM)),
        *((f"`{sign}`", names(types)) for sign, types, _ in COMPARISONS.values()),
    ]
    return table(("Operator", "Types"), rows)


def functions():
    """Every function with its types."""
    rows = []
    for one in sorted(FUNCTIONS, key=lambda one: one.name.lower()):
        before = "" if one.receiver is None else f"{one.receiver.name}."
        taken = ", ".join(kind.name for kind in one.parameters)
        rows.append((f"`{before}{one.name}({taken})`", one.result.name, one.summary))
    return table(("Function", "Gives", "Means"), rows)


TABLES = {
    "operators": operators,
    "functions": functions,
    "templates": templates,
    "adapters": adapters,
    "options": options,
    "statistics": statistics,
    "metrics": metrics,
    "server figures": server_figures,
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
