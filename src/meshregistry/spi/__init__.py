"""All that a plugin needs: the contract of a registry, the hooks, the config types."""

from meshregistry.documents import RuleUnit
from meshregistry.model import (
    REMOVED,
    MergePolicy,
    Peer,
    RecordTransform,
    ResourceGenerator,
    ResourcePatch,
    SourceInfo,
    Union,
    Verdict,
)
from meshregistry.spi import _hookspecs as hookspecs
from meshregistry.spi._config import Path, Seconds, Secret
from meshregistry.spi._hookspecs import PROJECT, VERSION, hookimpl
from meshregistry.spi._polling import PollingRegistry
from meshregistry.spi._registry import (
    CORE_KEYS,
    Clock,
    Condition,
    Connect,
    Lease,
    OpenRegistry,
    Registrar,
    Registry,
    RegistryContext,
    RegistryKind,
    Sink,
)
from meshregistry.spi._rules import (
    RULE_KEYS,
    RuleContext,
    RuleName,
    RuleSink,
    RuleSource,
    RuleSourceKind,
)
from meshregistry.spi._tls import tls_context
from meshregistry.spi._writing import OutgoingDocument, RuleWriter, safe_name

__all__ = [
    "CORE_KEYS",
    "PROJECT",
    "REMOVED",
    "RULE_KEYS",
    "VERSION",
    "Clock",
    "Condition",
    "Connect",
    "Lease",
    "MergePolicy",
    "OpenRegistry",
    "OutgoingDocument",
    "Path",
    "Peer",
    "PollingRegistry",
    "RecordTransform",
    "Registrar",
    "Registry",
    "RegistryContext",
    "RegistryKind",
    "ResourceGenerator",
    "ResourcePatch",
    "RuleContext",
    "RuleName",
    "RuleSink",
    "RuleSource",
    "RuleSourceKind",
    "RuleUnit",
    "RuleWriter",
    "Seconds",
    "Secret",
    "Sink",
    "SourceInfo",
    "Union",
    "Verdict",
    "hookimpl",
    "hookspecs",
    "safe_name",
    "tls_context",
]
