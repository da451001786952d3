"""docs/how-to/mixer-telemetry.md: its documents are right, beside the standard configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meshregistry.documents import RuleUnit
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.config import Known, snapshot
from meshregistry.mixer.spi import TEMPLATES
from meshregistry.mixer.standard import standard_units

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "mixer-telemetry.md"
BLOCKS = re.findall(
    r"^```yaml\n(apiVersion.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_each_block_stands_beside_the_standard_configuration(number, monkeypatch):
    """Alone: no fault, and one handler more."""
    monkeypatch.setenv("COLLECTOR_AUTHORIZATION", "Bearer x")
    units = [*standard_units(), RuleUnit.of_text("page.yaml", BLOCKS[number])]
    faults = [fault for unit in units for fault in unit.faults]
    documents = [document for unit in units for document in unit.documents]
    made = snapshot(documents, Known.of(ADAPTERS, TEMPLATES), faults)
    assert [] == [str(one) for one in faults]
    assert 3 == len(made.handlers)


def test_there_are_blocks():
    """The pattern finds them."""
    assert 4 == len(BLOCKS)
