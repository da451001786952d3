"""The client of Mixer: caches, batches, and what asks before and reports after by itself."""

from meshregistry.mixer.client._asgi import MixerMiddleware
from meshregistry.mixer.client._client import MixerClient
from meshregistry.mixer.client._forwarded import (
    FORWARDED_HEADER,
    forwarded_attributes,
    forwarded_header,
    read_forwarded,
)
from meshregistry.mixer.client._grpc import GrpcTransport
from meshregistry.mixer.client._interceptor import MixerInterceptor
from meshregistry.mixer.client._options import ClientOptions
from meshregistry.mixer.client._result import CheckResult, FailPolicy
from meshregistry.mixer.client._threaded import ThreadedMixerClient
from meshregistry.mixer.client._tls import MixerTls
from meshregistry.mixer.client._transport import CallFailed, MixerTransport
from meshregistry.mixer.services import Api, ApiKey, ApiPattern, Clause, QuotaRule, QuotaRules

__all__ = [
    "FORWARDED_HEADER",
    "Api",
    "ApiKey",
    "ApiPattern",
    "CallFailed",
    "CheckResult",
    "Clause",
    "ClientOptions",
    "FailPolicy",
    "GrpcTransport",
    "MixerClient",
    "MixerInterceptor",
    "MixerMiddleware",
    "MixerTls",
    "MixerTransport",
    "QuotaRule",
    "QuotaRules",
    "ThreadedMixerClient",
    "forwarded_attributes",
    "forwarded_header",
    "read_forwarded",
]
