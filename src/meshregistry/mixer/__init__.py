"""Mixer: check before a request, report after it.

Each request is described by an `AttributeBag`. A `MixerClient` asks a server whether it is
allowed, and tells it what happened.

Attributes and manifests need nothing beyond the core. The other names are imported when they
are used, and need the extra ``mixer``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from meshregistry.mixer._attributes import AttributeBag, BagBuilder, StringMap, Value, ValueType
from meshregistry.mixer._manifest import Attribute, Manifest, When
from meshregistry.mixer._words import BASE_WORD_COUNT, GLOBAL_WORDS

if TYPE_CHECKING:
    from meshregistry.mixer._compress import (
        Compressor,
        Decoded,
        Repeated,
        decode_attributes,
        decode_report,
        delta_runs,
    )

__all__ = [
    "BASE_WORD_COUNT",
    "GLOBAL_WORDS",
    "Attribute",
    "AttributeBag",
    "BagBuilder",
    "Compressor",
    "Decoded",
    "Manifest",
    "Repeated",
    "StringMap",
    "Value",
    "ValueType",
    "When",
    "decode_attributes",
    "decode_report",
    "delta_runs",
]

_HOMES = {
    "Compressor": "_compress",
    "Decoded": "_compress",
    "Repeated": "_compress",
    "decode_attributes": "_compress",
    "decode_report": "_compress",
    "delta_runs": "_compress",
}


def __getattr__(name: str) -> object:
    """Import a name that needs the extra at its first use (PEP 562)."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
