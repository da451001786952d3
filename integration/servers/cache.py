"""The folder outside the tree where built programs are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$MESHREGISTRY_SERVERS``, else a folder in the user's cache; made if it is absent."""
    folder = Path(os.environ.get("MESHREGISTRY_SERVERS") or "~/.cache/meshregistry-servers")
    folder = folder.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
