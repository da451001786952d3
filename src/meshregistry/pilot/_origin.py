"""What a source follows, as a short text that holds no secret."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from meshregistry.documents import unstructure

if TYPE_CHECKING:
    from pathlib import Path


def origin(kind: str, base_path: Path, *configs: Any) -> str:
    """Equal for equal options of a kind; secrets do not count, and neither do core keys.

    So a password may be changed, or a time-out, and the snapshot is still that of this source.

    Args:
        kind: its name.
        base_path: relative paths mean something else in another folder.
        configs: the structured options.
    """
    said = json.dumps(
        [kind, str(base_path), *map(unstructure, configs)], sort_keys=True, default=str
    )
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
