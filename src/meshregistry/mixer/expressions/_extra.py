"""Everything foreign that expressions need, imported in one place."""

from __future__ import annotations

from meshregistry.errors import MissingExtraError

try:
    import idna

    # Where patterns are used it may be missing; here it may not.
    import re2
except ModuleNotFoundError as error:
    missing = "google-re2" if error.name == "re2" else "idna"
    raise MissingExtraError("mixer-server", missing) from error

__all__ = ["idna", "re2"]
