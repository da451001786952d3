"""Values come from strangers: whatever they are, one observation is one line, and no more."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshregistry.mixer.spi import LogEntry, Metric

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
HITS = "hits: metric {value: '1', dimensions: {a: 'request.path | \"\"', b: 'request.host | \"\"'}}"
HIT = "hits.instance.ns"
LAW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Kept:
    """Takes lines in place of a socket."""

    def __init__(self):
        self.lines = []

    def put(self, line):
        self.lines.append(line)

    def flush(self):
        pass


@pytest.fixture
def lines(adapters):
    """The lines that a handler writes for one metric with these dimensions."""

    def write(adapter, config, **dimensions):
        handler, _ = adapters.open(adapter, config, (HITS,))
        handler._lines = Kept()
        instance = Metric(name=HIT, value=1, dimensions=dimensions)
        with pytest.raises(StopIteration):  # it awaits nothing
            handler.report([instance]).send(None)
        return handler._lines.lines

    return write


@LAW
@given(a=TEXT, b=TEXT)
def test_statsd(lines, a, b):
    """A name without marks, a value, a type."""
    config = f"{{metrics: {{{HIT}: {{type: COUNTER, nameTemplate: '{{{{.a}}}}.{{{{.b}}}}'}}}}}}"
    (line,) = lines("statsd", config, a=a, b=b)
    assert re.fullmatch(r"[^:|@\s]*:1\|c", line)


@LAW
@given(a=TEXT, b=TEXT)
def test_dogstatsd(lines, a, b):
    """As many tags as dimensions with a value, each under its name, and none without one."""
    config = f"{{metrics: {{{HIT}: {{type: COUNTER, name: hits}}}}}}"
    (line,) = lines("dogstatsd", config, a=a, b=b)
    assert line.split("\n") == [line]
    head, value, *tags = line.split("|")
    assert ("istio.hits:1", "c") == (head, value)
    named = [tag.partition(":") for one in tags for tag in one.removeprefix("#").split(",")]
    assert [name for name, text in (("a", a), ("b", b)) if text] == [name for name, _, _ in named]
    assert all(text for _, _, text in named)


@LAW
@given(a=TEXT, b=st.floats(), c=st.binary(max_size=16))
def test_stdio(adapters, a, b, c):
    """A line of JSON that every parser reads, with the same text in it."""
    handler, context = adapters.open("stdio")
    instance = LogEntry(name=HIT, variables={"a": a, "b": b, "c": c}, timestamp=context.wall_time())
    line = handler._line(instance, "INFO")
    assert "\n" not in line
    assert "\r" not in line

    def refuse(word):
        raise AssertionError(word)

    assert a == json.loads(line, parse_constant=refuse)["a"]
