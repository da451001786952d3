"""Mixer's configuration: documents in, an immutable snapshot with everything resolved out."""

from meshregistry.mixer._files import ConfigFiles, unreadable
from meshregistry.mixer._nodes import GROUP
from meshregistry.mixer.config._accepting import Accepted, Configurator
from meshregistry.mixer.config._building import DEFAULT_NAMESPACE, snapshot
from meshregistry.mixer.config._instances import OUTPUTS, Builder
from meshregistry.mixer.config._reading import Known
from meshregistry.mixer.config._snapshot import (
    Destination,
    HandlerPlan,
    HeaderPlan,
    Rules,
    Sent,
    Snapshot,
)

__all__ = [
    "DEFAULT_NAMESPACE",
    "GROUP",
    "OUTPUTS",
    "Accepted",
    "Builder",
    "ConfigFiles",
    "Configurator",
    "Destination",
    "HandlerPlan",
    "HeaderPlan",
    "Known",
    "Rules",
    "Sent",
    "Snapshot",
    "snapshot",
    "unreadable",
]
