"""Programs that a test needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from servers.recipes import Recipe


def installed(recipe: Recipe) -> Path:
    """The folder of a server; without it the test skips with the reason."""
    found = recipe.find()
    if found is None:
        pytest.skip(recipe.reason())
    return found
