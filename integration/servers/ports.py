"""Ports for programs: those of the kit for plugins."""

from __future__ import annotations

from meshregistry.testing import free_port

__all__ = ["free_port"]
