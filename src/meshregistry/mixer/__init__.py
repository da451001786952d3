"""Mixer: check before a request, report after it.

Each request is described by an `AttributeBag`. A `MixerClient` asks a server whether it is
allowed, and tells it what happened.

Attributes, manifests and what documents say of services need nothing beyond the core. The other
names are imported when they are used, and need the extra ``mixer``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from meshregistry.errors import MixerUnavailable
from meshregistry.mixer._attributes import AttributeBag, BagBuilder, StringMap, Value, ValueType
from meshregistry.mixer._directive import HeaderOperation, Operation, RouteDirective
from meshregistry.mixer._manifest import Attribute, Manifest, When
from meshregistry.mixer._status import Code, Status
from meshregistry.mixer._words import BASE_WORD_COUNT, GLOBAL_WORDS

if TYPE_CHECKING:
    from meshregistry.mixer._compress import (
        Compressor,
        Repeated,
        delta_runs,
    )
    from meshregistry.mixer._decompress import Decoded, decode_attributes, decode_report
    from meshregistry.mixer.client import (
        FORWARDED_HEADER,
        CallFailed,
        CheckResult,
        ClientOptions,
        FailPolicy,
        GrpcTransport,
        MixerClient,
        MixerInterceptor,
        MixerMiddleware,
        MixerTls,
        MixerTransport,
        ThreadedMixerClient,
        forwarded_attributes,
        forwarded_header,
        read_forwarded,
    )
    from meshregistry.mixer.services import (
        Api,
        ApiKey,
        ApiPattern,
        Clause,
        QuotaRule,
        QuotaRules,
        ServiceSpecs,
        read_services,
    )

__all__ = [
    "BASE_WORD_COUNT",
    "FORWARDED_HEADER",
    "GLOBAL_WORDS",
    "Api",
    "ApiKey",
    "ApiPattern",
    "Attribute",
    "AttributeBag",
    "BagBuilder",
    "CallFailed",
    "CheckResult",
    "Clause",
    "ClientOptions",
    "Code",
    "Compressor",
    "Decoded",
    "FailPolicy",
    "GrpcTransport",
    "HeaderOperation",
    "Manifest",
    "MixerClient",
    "MixerInterceptor",
    "MixerMiddleware",
    "MixerTls",
    "MixerTransport",
    "MixerUnavailable",
    "Operation",
    "QuotaRule",
    "QuotaRules",
    "Repeated",
    "RouteDirective",
    "ServiceSpecs",
    "Status",
    "StringMap",
    "ThreadedMixerClient",
    "Value",
    "ValueType",
    "When",
    "decode_attributes",
    "decode_report",
    "delta_runs",
    "forwarded_attributes",
    "forwarded_header",
    "read_forwarded",
    "read_services",
]

_HOMES = {
    "Api": "services",
    "ApiKey": "services",
    "ApiPattern": "services",
    "Compressor": "_compress",
    "Decoded": "_decompress",
    "Repeated": "_compress",
    "decode_attributes": "_decompress",
    "decode_report": "_decompress",
    "delta_runs": "_compress",
    "CallFailed": "client",
    "CheckResult": "client",
    "Clause": "services",
    "ClientOptions": "client",
    "MixerTls": "client",
    "FORWARDED_HEADER": "client",
    "FailPolicy": "client",
    "GrpcTransport": "client",
    "MixerClient": "client",
    "MixerInterceptor": "client",
    "MixerMiddleware": "client",
    "QuotaRule": "services",
    "QuotaRules": "services",
    "ThreadedMixerClient": "client",
    "MixerTransport": "client",
    "forwarded_attributes": "client",
    "forwarded_header": "client",
    "read_forwarded": "client",
    "ServiceSpecs": "services",
    "read_services": "services",
}


if not TYPE_CHECKING:  # else checkers would take any name for one of ours

    def __getattr__(name: str) -> object:
        """Import a name at its first use: most need the extra (PEP 562)."""
        if name not in _HOMES:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
