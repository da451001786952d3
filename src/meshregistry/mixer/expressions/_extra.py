"""Everything foreign that expressions need, imported in one place."""

from __future__ import annotations

from meshregistry.errors import MissingExtraError

try:
    import re2
except ModuleNotFoundError as error:
    raise MissingExtraError("mixer-server", "google-re2") from error

__all__ = ["re2"]
