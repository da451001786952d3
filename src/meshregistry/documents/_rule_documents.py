"""Routing documents on their way from a rule source to the rules: named, not yet understood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.documents._nodes import MappingNode, ScalarNode
from meshregistry.documents._values import Instant

if TYPE_CHECKING:
    from meshregistry.documents._nodes import AnyNode


@frozen(order=True, cache_hash=True)
class DocumentKey:
    """The identity of a routing document within a rule source.

    Attributes:
        group: API group without its version, such as ``networking.istio.io``.
        kind: such as ``VirtualService``.
        namespace: empty if the document names none.
        name: of the document.
    """

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {where}"


@frozen(kw_only=True, eq=False)
class RuleDocument:
    """One whole routing document.

    Attributes:
        key: its identity.
        version: of the API group, such as ``v1``; empty if it has none.
        root: its tree, with positions; never expanded.
        created: seconds since the epoch, by ``metadata.creationTimestamp``; 0 if that is
            not said.
    """

    key: DocumentKey
    version: str = ""
    root: MappingNode
    created: float = 0.0


_VERSIONS = "networking.istio.io/v1 or, for Mixer, config.istio.io/v1alpha2"


def rule_document(root: AnyNode) -> RuleDocument:
    """Name a routing document by its ``apiVersion``, ``kind`` and ``metadata``.

    Raises:
        ConfigError: if one of them is missing.
    """
    if not isinstance(root, MappingNode):
        raise root.fault(f"must be a mapping, not {root.kind}", "write apiVersion: and kind:")
    group, slash, version = _text(root, "apiVersion", _VERSIONS).partition("/")
    kind = _text(root, "kind", "VirtualService or, for Mixer, rule")
    metadata = root.get("metadata")
    if not isinstance(metadata, MappingNode):
        raise (metadata or root).fault("the document has no metadata", "add metadata: {name: …}")
    name = _text(metadata, "name", "reviews")
    namespace = metadata.get("namespace")
    home = namespace.text if isinstance(namespace, ScalarNode) else ""
    key = DocumentKey(group if slash else "", kind, home, name)
    return RuleDocument(
        key=key, version=version if slash else group, root=root, created=_created(metadata)
    )


def _created(metadata: MappingNode) -> float:
    """Seconds since the epoch, as Kubernetes writes it (RFC 3339); 0 if it is not said."""
    node = metadata.get("creationTimestamp")
    if not isinstance(node, ScalarNode) or node.is_null:
        return 0.0
    try:
        return float(Instant.parse(node.text))
    except ValueError as error:
        reason, _, remedy = str(error).rpartition(": ")
        raise node.fault(reason, f"{remedy}, or take it out") from None


def _text(node: MappingNode, key: str, example: str) -> str:
    found = node.get(key)
    if not isinstance(found, ScalarNode) or not found.text:
        raise (found or node).fault(f"{key} is missing", f"add {key}: such as {example}")
    return found.text
