"""The file registry keeps the contract of adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from meshregistry.registries import FileConfig, FileRegistry
from meshregistry.spi import RegistryKind
from meshregistry.testing import RegistryConformance

if TYPE_CHECKING:
    from pathlib import Path


class Folder:
    """A folder with one document per service, each written at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.aside = path.with_name(f"{path.name}-aside")
        path.mkdir()

    def write(self, key, text):
        part = self.path.with_name("part")
        part.write_text(text, encoding="utf-8")
        part.replace(self.path / f"{key}.yaml")

    def put(self, record):
        (port,) = record.service.ports
        document = {
            "services": [
                {
                    "host": str(record.service.host),
                    "ports": [
                        {"name": port.name, "port": port.number, "protocol": str(port.protocol)}
                    ],
                    "endpoints": [str(endpoint) for endpoint in record.endpoints],
                }
            ]
        }
        self.write(record.key, yaml.safe_dump(document))
        return record

    def remove(self, key):
        (self.path / f"{key}.yaml").unlink(missing_ok=True)

    def garble(self, key):
        self.write(key, "services: [{host: half")

    def break_(self):
        self.path.rename(self.aside)

    def heal(self):
        self.aside.rename(self.path)

    def wipe(self):
        for document in self.path.iterdir():
            document.unlink()


class TestFile(RegistryConformance):
    """A folder that is edited, broken, moved away and emptied."""

    kind = RegistryKind(name="file", config_class=FileConfig, open=FileRegistry)
    capabilities = ("atomic", "garble", "outage", "wipe")
    changes = 2_000  # each writes a file: 10,000 of them take half a minute and find no more

    @pytest.fixture
    def backend(self, tmp_path):
        """An empty folder."""
        return Folder(tmp_path / "mesh")

    def config(self, backend):
        """The folder."""
        return FileConfig(path=backend.path)
