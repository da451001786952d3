"""docs/how-to/write-a-mixer-adapter.md: what it builds is found, checked, asked and tested."""

from __future__ import annotations

import asyncio
import importlib
import re
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import evolve
from grpc_tools import protoc

from meshregistry.documents import RuleUnit
from meshregistry.loader import Plugins
from meshregistry.mixer import ClientOptions, FailPolicy, MixerClient
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.config import Configurator, Known
from meshregistry.mixer.server import MixerServer
from meshregistry.mixer.spi import TEMPLATES, MixerAdapter
from meshregistry.testing import free_port

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "write-a-mixer-adapter.md"
TEXT = PAGE.read_text(encoding="utf-8")
NAME = "meshregistry_office_hours"


def blocks(kind):
    """The code blocks of the page of this kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


MODULE, TEST, PROCESS = blocks("python")
DOCUMENTS, HANDLER = blocks("yaml")
(PROTO,) = blocks("proto")


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
    """In the group in which plugins are looked for; and it is in the package, whatever else is."""
    (code,) = blocks("toml")
    document = tomllib.loads(code)
    assert document["project"]["entry-points"] == {"meshregistry": {"office-hours": NAME}}
    # Left to itself setuptools takes a folder such as policies/, and not the module.
    assert document["tool"]["setuptools"]["py-modules"] == [NAME]


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


@contextmanager
def process(folder):
    """The adapter in another process, as the page builds it; where it listens."""
    (folder / "office.proto").write_text(PROTO, encoding="utf-8")
    well_known = Path(protoc.__file__).parent / "_proto"
    words = ["protoc", f"-I{folder}", f"-I{well_known}"]
    out = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert 0 == protoc.main([*words, *out, "office.proto"])
    address = f"127.0.0.1:{free_port()}"
    assert "127.0.0.1:9070" in PROCESS
    (folder / "office.py").write_text(PROCESS.replace("127.0.0.1:9070", address), encoding="utf-8")
    with subprocess.Popen([sys.executable, "office.py"], cwd=folder) as running:
        try:
            yield address
        finally:
            running.terminate()


def test_the_adapter_in_another_process_is_asked(tmp_path):
    """By its own messages; with the hours that the handler says."""
    (policies := tmp_path / "policies").mkdir()
    (code := tmp_path / "code").mkdir()
    rest = DOCUMENTS.partition("---\n")[2]

    async def ask(address, hours):
        handler = HANDLER.replace("127.0.0.1:9070", address).replace("opens: 9, closes: 17", hours)
        (policies / "office.yaml").write_text(f"{handler}---\n{rest}", encoding="utf-8")
        options = ClientOptions(fail_policy=FailPolicy.CLOSED)
        server = MixerServer("127.0.0.1:0", config=policies, adapters=ADAPTERS)
        async with server, asyncio.timeout(20):
            assert () == server.status().faults
            while True:
                async with MixerClient([server.address], options=options) as client:
                    found = await client.check({"request.path": "/orders/1"})
                    if found.failure is None:
                        return found
                # It is not up yet.
                await asyncio.sleep(0.05)

    with process(code) as address:
        denied = asyncio.run(ask(address, "opens: 0, closes: 0"))
        allowed = asyncio.run(ask(address, "opens: 0, closes: 24"))
    assert denied.status.message == "office.istio-system:the office is closed"
    assert allowed.is_allowed
