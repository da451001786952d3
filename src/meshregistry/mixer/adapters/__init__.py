"""Our adapters for Mixer: what handlers can be without a plugin."""

from meshregistry.mixer.adapters._all import ADAPTERS

__all__ = ["ADAPTERS"]
