"""Templates that documents describe: the same ones before the original's adapter and in both servers."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from mixer_both import both, documents, manifest
from mixer_templates import CHECK_WITH_OUTPUT, parameters, template
from servers.original_mixer import original_backend

ATTRIBUTES = manifest(
    {
        "context.reporter.kind": "STRING",
        "destination.namespace": "STRING",
        "source.name": "STRING",
    }
)
KEYVAL = (
    (
        "template",
        "keyval",
        {
            "descriptor": template(
                "keyval", CHECK_WITH_OUTPUT, "string key = 1;", "string value = 2;"
            )
        },
    ),
    (
        "adapter",
        "keyval",
        {
            "description": "looks keys up",
            "session_based": False,
            "templates": ["keyval"],
            "config": parameters("keyval", "map<string, string> table = 1;"),
        },
    ),
    ("instance", "who", {"template": "keyval", "params": {"key": 'source.name | "nobody"'}}),
    (
        "rule",
        "look-up",
        {
            "actions": [{"handler": "lookup", "instances": ["who"], "name": "found"}],
            "requestHeaderOperations": [{"name": "x-group", "values": ["found.output.value"]}],
            "responseHeaderOperations": [
                {
                    "name": "x-known",
                    "values": ['found.output.value | "none"'],
                    "operation": "APPEND",
                }
            ],
        },
    ),
)


def configured(address, table):
    """Documents with the original's adapter, described by documents of our own."""
    handler = {
        "adapter": "keyval",
        "connection": {"address": address},
        "params": {"table": table},
    }
    return documents(ATTRIBUTES, *KEYVAL, ("handler", "lookup", handler))


@pytest.fixture
def with_keyval(original, tmp_path):
    """Enters both servers before the original's adapter ``keyval``."""

    @asynccontextmanager
    async def enter():
        folder = tmp_path / "config"
        folder.mkdir()
        async with original_backend(original, "keyval", tmp_path) as address:
            table = {"ann": "admin", "bob": "", "": "anonymous"}
            (folder / "mixer.yaml").write_text(configured(address, table))
            async with both(original, folder, tmp_path) as servers:
                assert () == servers.ours.status().faults
                yield servers

    return enter


def test_keyval_is_served_alike(with_keyval, run_async):
    """What it finds is a header's value; what it does not find is a denial with a body."""

    async def main():
        async with with_keyval() as servers:
            return [
                await servers.check(asked)
                for asked in (
                    {"source.name": "ann"},
                    {"source.name": "bob"},
                    {},
                    {"source.name": ""},
                )
            ]

    ann, bob, nobody, empty = run_async(main())
    for theirs, ours in (ann, bob, nobody, empty):
        assert theirs == ours
    assert (0, 5.0) == (ann[1].code, ann[1].seconds)
    assert 'value: "admin"' in ann[1].route
    assert 5 == nobody[1].code
    assert "not found" in nobody[1].route
