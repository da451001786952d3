"""Deriving needs an extra, and says so."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["meshregistry.generate", "meshregistry.generate._clusters"])
@pytest.mark.parametrize("missing", ["envoy", "google"])
def test_a_missing_extra_is_named_with_the_line_to_type(missing: str, module: str) -> None:
    """Importing the package without its extra tells how to install it."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from meshregistry.errors import MissingExtraError\n"
        "try:\n"
        f"    import {module}\n"
        "except MissingExtraError as error:\n"
        "    print(error.extra, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.startswith(f"server this needs the package '{missing}.")
    assert "pip install 'meshregistry[server]'" in done.stdout
