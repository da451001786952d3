"""The door to all kinds of routing documents, and what is promised of their fields."""

from __future__ import annotations

import itertools

import pytest

from meshregistry.rules import RULE_KINDS, Standing


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("apiVersion: networking.istio.io/v1\nkind: VirtualServise", "did you mean VirtualService"),
        ("apiVersion: networking.istio.io/v2\nkind: Gateway", "the version 'v2'"),
        ("apiVersion: networking.istio.io/v1\nkind: ServiceEntry", "a source of the kind file"),
        ("apiVersion: v1\nkind: VirtualService", "no API group"),
    ],
)
def test_other_documents_are_errors_with_a_remedy(read, head, reason):
    """Nothing is left out in silence."""
    reading = read(f"{head}\nmetadata: {{name: a}}\nspec: {{}}\n")
    assert () == reading.rules
    (error,) = reading.errors
    assert reason in error.message


@pytest.mark.parametrize("kind", RULE_KINDS, ids=lambda kind: kind.kind)
def test_a_document_without_a_spec_is_an_error(read, kind):
    """Of every kind."""
    reading = read(
        f"apiVersion: {kind.group}/{kind.versions[0]}\nkind: {kind.kind}\nmetadata: {{name: a}}\n"
    )
    (error,) = reading.errors
    assert "no spec" in error.message


# What the piece of a document needs beside the field in question.
REQUIRED = {
    "VirtualService": "hosts: [a]",
    "DestinationRule": "host: a",
    "servers[]": "port: {number: 80, protocol: HTTP}",
    "listeners[]": "name: a, port: 80, protocol: HTTPS",
    "backendRefs[]": "name: a, port: 80",
    "filters[]": "type: CORS",
    "ingress[]": "port: {number: 80}",
    "egress[]": "hosts: ['*/*']",
    "port": "number: 80, protocol: HTTP",
    "subsets[]": "name: v",
    "portLevelSettings[]": "port: {number: 80}",
}


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        pytest.param(kind, note, id=f"{kind.kind}-{note.path}")
        for kind in RULE_KINDS
        for note in kind.fields
        if note.standing is not Standing.SUPPORTED
    ],
)
def test_the_reader_does_what_the_table_says(spec, kind, note):
    """Each field that is refused is an error at its place, each idle one a warning."""
    path = [kind.kind, *note.path.removeprefix("spec.").split(".")]
    text = "x"
    for container, name in reversed(list(itertools.pairwise(path))):
        below = f"[{text}]" if name.endswith("[]") else text
        bare = name.removesuffix("[]")
        needed = REQUIRED.get(container, "")
        others = f", {needed}" if needed and f"{bare}: {{" not in needed else ""
        text = f"{{{bare}: {below}{others}}}"
    reading = spec(kind.kind, text, f"{kind.group}/{kind.versions[0]}")
    place = note.path.replace("[]", "[0]")
    told = reading.errors if note.standing is Standing.REFUSED else reading.warnings
    assert any(one.field == place and note.note in one.message for one in told), told
