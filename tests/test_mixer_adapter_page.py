"""docs/how-to/write-a-mixer-adapter.md: what it builds is found, checked, asked and tested."""

from __future__ import annotations

import asyncio
import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest
from attrs import evolve

from meshregistry.documents import RuleUnit
from meshregistry.loader import Plugins
from meshregistry.mixer import MixerClient
from meshregistry.mixer.config import Configurator, Known
from meshregistry.mixer.server import MixerServer
from meshregistry.mixer.spi import TEMPLATES, MixerAdapter

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "write-a-mixer-adapter.md"
TEXT = PAGE.read_text(encoding="utf-8")
NAME = "meshregistry_office_hours"


def blocks(kind):
    """The code blocks of the page of this kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


MODULE, TEST = blocks("python")
(DOCUMENTS,) = blocks("yaml")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The module of the page, imported from a file as it stands."""
    (tmp_path / f"{NAME}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield importlib.import_module(NAME)
    del sys.modules[NAME]


def test_the_plugin_offers_the_adapter(module):
    """The loader finds nothing wrong with it."""
    plugins = Plugins.load(builtins=(), plugins=[module], entry_points=False, environ={})
    assert plugins.mixer_adapters(MixerAdapter) == (module.ADAPTER,)


def test_the_entry_point_names_the_module():
    """In the group in which plugins are looked for."""
    (code,) = blocks("toml")
    entry_points = tomllib.loads(code)["project"]["entry-points"]
    assert entry_points == {"meshregistry": {"office-hours": NAME}}


@pytest.mark.parametrize("closes", ["17", "5"])
def test_the_documents_are_checked_as_it_shows(module, closes):
    """The good ones have no fault; the fault that it shows is at that place."""
    text = DOCUMENTS.replace("closes: 17", f"closes: {closes}")
    known = Known.of([module.ADAPTER], TEMPLATES)
    unit = RuleUnit.of_text("policies/office.yaml", text)
    faults = [fault.message for fault in Configurator(known).build(unit.documents).faults]
    assert faults == ([] if closes == "17" else [re.search(r"`(policies/office.*?)`", TEXT)[1]])


def test_a_server_asks_it(module, tmp_path):
    """A server with these documents denies what their rule is about, with the message."""
    # Closed at every hour: what a document may not say.
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "office.yaml").write_text(DOCUMENTS, encoding="utf-8")
    closed = evolve(
        module.ADAPTER,
        open=lambda config, context: module.OfficeHandler(
            evolve(config, opens=0, closes=0), context
        ),
    )

    async def ask():
        server = MixerServer("127.0.0.1:0", config=policies, adapters=[closed])
        async with server, MixerClient([server.address]) as client:
            return [await client.check({"request.path": path}) for path in ("/", "/orders/1")]

    free, denied = asyncio.run(ask())
    assert free.is_allowed
    assert denied.status.message == "office.istio-system:the office is closed"


def test_the_test_of_the_page_passes(module):
    """It is run as it stands."""
    names = {}
    exec(compile(TEST, PAGE.name, "exec"), names)
    names["test_it_denies_while_the_office_is_closed"]()
    assert names["OfficeHandler"] is module.OfficeHandler
