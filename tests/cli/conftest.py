"""What the tests of the commands share: a folder with settings, and running a command."""

from __future__ import annotations

import logging
from typing import NamedTuple

import pytest

from meshregistry import Pilot, ServiceRecord, Settings
from meshregistry.cli import main

SETTINGS = (
    "sources:\n  - {id: vms, kind: file, path: services.yaml}\nserver: {xds: '127.0.0.1:0'}\n"
)
SERVICES = """
services:
  - host: reviews.shop
    ports: [{name: http, port: 9080, protocol: HTTP}]
    endpoints:
      - {address: 10.0.0.1, port: 9080, labels: {version: v1}, zone: eu-1a, weight: 2}
      - 10.0.0.2:9080
"""


@pytest.fixture(autouse=True)
def _logging():
    """Commands configure logging for their process; here the next test is in the same one."""
    logger = logging.getLogger("meshregistry")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with settings of one file source; no variable names another."""
    (tmp_path / "mesh.yaml").write_text(SETTINGS)
    (tmp_path / "services.yaml").write_text(SERVICES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MESHREGISTRY_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def run(capsys):
    """``run(*words)``: exit code and both outputs of a command; no traceback is shown."""

    def call(*words, fault=False):
        code = main(list(words))
        found = Ran(code, *capsys.readouterr())
        assert fault == ("Traceback" in found.err)
        return found

    return call


@pytest.fixture(scope="module")
def running():
    """A pilot that serves one service from memory, in a thread."""
    settings = Settings.from_dict(
        {"sources": [{"id": "mine", "kind": "memory"}], "server": {"xds": "127.0.0.1:0"}}
    )
    with Pilot.in_thread(settings) as pilot:
        record = ServiceRecord.parse("reviews.shop", port=9080, endpoints=["10.0.0.1:9080"])
        pilot.memory("mine").upsert(record)
        pilot.published(timeout=10)
        yield pilot
