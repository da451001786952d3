"""The list of our adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshregistry.mixer.adapters._bypass import BYPASS
from meshregistry.mixer.adapters._denier import DENIER
from meshregistry.mixer.adapters._dogstatsd import DOGSTATSD
from meshregistry.mixer.adapters._fluentd import FLUENTD
from meshregistry.mixer.adapters._kubernetesenv import KUBERNETESENV
from meshregistry.mixer.adapters._list import LIST
from meshregistry.mixer.adapters._memquota import MEMQUOTA
from meshregistry.mixer.adapters._noop import NOOP
from meshregistry.mixer.adapters._opa import OPA
from meshregistry.mixer.adapters._opentelemetry import OPENTELEMETRY
from meshregistry.mixer.adapters._prometheus import PROMETHEUS
from meshregistry.mixer.adapters._rbac import RBAC
from meshregistry.mixer.adapters._redisquota import REDISQUOTA
from meshregistry.mixer.adapters._statsd import STATSD
from meshregistry.mixer.adapters._stdio import STDIO
from meshregistry.mixer.adapters._zipkin import ZIPKIN

if TYPE_CHECKING:
    from meshregistry.mixer.spi import MixerAdapter

ADAPTERS: Final[tuple[MixerAdapter, ...]] = (
    BYPASS,
    DENIER,
    DOGSTATSD,
    FLUENTD,
    KUBERNETESENV,
    LIST,
    MEMQUOTA,
    NOOP,
    OPA,
    OPENTELEMETRY,
    PROMETHEUS,
    RBAC,
    REDISQUOTA,
    STATSD,
    STDIO,
    ZIPKIN,
)
"""All of them, by name. Importing them loads no package that only one of them needs."""
