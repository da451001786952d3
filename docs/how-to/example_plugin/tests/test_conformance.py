"""The registry kind ``hosts`` keeps the contract of adapters."""

from __future__ import annotations

import pytest

from meshregistry.spi import Seconds
from meshregistry.testing import RegistryConformance
from meshregistry_example import HostsConfig, meshregistry_register_registries


class HostsFile:
    """A hosts file that tests write, one address and name to a line."""

    def __init__(self, path):
        self.path = path
        self.aside = path.with_name("aside")
        self.lines = {}
        self.write()

    def write(self):
        part = self.path.with_name("part")
        part.write_text("".join(self.lines.values()), encoding="utf-8")
        part.replace(self.path)

    def put(self, record):
        host = record.service.host
        self.lines[record.key] = "".join(f"{one.address} {host}\n" for one in record.endpoints)
        self.write()
        return record

    def remove(self, key):
        self.lines.pop(key, None)
        self.write()

    def garble(self, key):
        self.lines[key] = f"10.0.0.999 {key}\n"
        self.write()

    def break_(self):
        self.path.rename(self.aside)

    def heal(self):
        self.aside.rename(self.path)

    def wipe(self):
        self.lines.clear()
        self.write()


class TestHosts(RegistryConformance):
    kind = meshregistry_register_registries()
    capabilities = ("atomic", "garble", "outage", "wipe")
    changes = 1_000

    @pytest.fixture
    def backend(self, tmp_path):
        return HostsFile(tmp_path / "hosts")

    def config(self, backend):
        return HostsConfig(path=backend.path, port=8080, interval=Seconds(0.02))
