"""docs/how-to/survive-a-bad-registry.md: what it shows is right.

Its commands are run by integration/test_mass_loss.py and integration/test_cold_start.py.
"""

from __future__ import annotations

import re
from pathlib import Path

from meshregistry import Settings
from meshregistry.documents import RuleUnit
from meshregistry.rules import Decisions, read_rules

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "survive-a-bad-registry.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_its_settings_are_settings() -> None:
    """With a guard that only people release, and with a snapshot."""
    guarded, _, kept = BLOCKS
    (source,) = Settings.parse(guarded).sources
    assert source.guard is not None
    assert source.guard.confirm_after is None
    settings = Settings.parse(kept)
    assert settings.snapshot is not None
    assert str(settings.snapshot.path) == "/var/lib/meshregistry"
    assert settings.sources[0].sync_timeout == 5.0


def test_its_document_accepts_a_loss() -> None:
    """One that began by then, and no later one."""
    (document,) = RuleUnit.of_text("page.yaml", BLOCKS[1]).documents
    reading = read_rules(document, "mesh.local")
    assert not reading.errors
    decisions = Decisions.of(reading.rules)
    noon = 1769860800.0
    assert decisions.accepts("dc1", "", noon) is not None
    assert decisions.accepts("dc1", "", noon + 1) is None
