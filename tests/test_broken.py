"""Ten broken files and what users are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshregistry.errors import ConfigError
from meshregistry.registries import document_faults
from meshregistry.settings import Settings

FOLDER = Path(__file__).parent / "broken"
MESSAGES = dict(
    line.split(":", 1) for line in (FOLDER / "messages.txt").read_text("utf-8").splitlines()
)


def faults(path):
    """All that is wrong with a settings file or a file of services."""
    if not Settings.is_settings(path):
        return document_faults(path)
    with pytest.raises(ConfigError) as caught:
        Settings.load(path, environ={})
    return list(caught.value.faults)


def test_there_are_ten():
    """Each with its message."""
    files = {path.name for path in FOLDER.iterdir()} - {"messages.txt"}
    assert files == set(MESSAGES)
    assert len(files) == 10


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_the_message_names_file_line_field_and_remedy(name):
    """One fault, in one line, as written down for review."""
    (fault,) = faults(FOLDER / name)
    assert fault.message == f"{FOLDER / name}:{MESSAGES[name]}"
    assert fault.line
    assert fault.remedy
    assert fault.field or "not YAML" in fault.reason
