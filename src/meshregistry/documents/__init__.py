"""Strict YAML and JSON with positions, and the classes that documents are structured into."""

from meshregistry.documents._classes import (
    Scalars,
    check_class,
    json_schema,
    unstructure,
)
from meshregistry.documents._expand import expand
from meshregistry.documents._nodes import (
    AnyNode,
    Document,
    MappingNode,
    Position,
    ScalarNode,
    SequenceNode,
    digest,
    from_plain,
    suggestion,
    to_plain,
)
from meshregistry.documents._parse import decode, parse
from meshregistry.documents._rule_documents import DocumentKey, RuleDocument, rule_document
from meshregistry.documents._rule_units import RuleListing, RuleUnit, RuleUnits, nothing_in
from meshregistry.documents._storing import restored, stored
from meshregistry.documents._structure import attempt, structure
from meshregistry.documents._values import (
    Instant,
    Path,
    Seconds,
    Secret,
    format_seconds,
    parse_seconds,
)

__all__ = [
    "AnyNode",
    "Document",
    "DocumentKey",
    "Instant",
    "MappingNode",
    "Path",
    "Position",
    "RuleDocument",
    "RuleListing",
    "RuleUnit",
    "RuleUnits",
    "ScalarNode",
    "Scalars",
    "Seconds",
    "Secret",
    "SequenceNode",
    "attempt",
    "check_class",
    "decode",
    "digest",
    "expand",
    "format_seconds",
    "from_plain",
    "json_schema",
    "nothing_in",
    "parse",
    "parse_seconds",
    "restored",
    "rule_document",
    "stored",
    "structure",
    "suggestion",
    "to_plain",
    "unstructure",
]
