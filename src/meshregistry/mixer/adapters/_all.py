"""The list of our adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshregistry.mixer.adapters._dogstatsd import DOGSTATSD
from meshregistry.mixer.adapters._noop import NOOP
from meshregistry.mixer.adapters._prometheus import PROMETHEUS
from meshregistry.mixer.adapters._statsd import STATSD
from meshregistry.mixer.adapters._stdio import STDIO

if TYPE_CHECKING:
    from meshregistry.mixer.spi import MixerAdapter

ADAPTERS: Final[tuple[MixerAdapter, ...]] = (
    DOGSTATSD,
    NOOP,
    PROMETHEUS,
    STATSD,
    STDIO,
)
"""All of them, by name. Importing them loads no package that only one of them needs."""
