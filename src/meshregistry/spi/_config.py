"""The types that a plugin's config class may use beside Python's own."""

from __future__ import annotations

from meshregistry.documents import Path, Seconds, Secret

__all__ = ["Path", "Seconds", "Secret"]
