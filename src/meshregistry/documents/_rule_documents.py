"""Routing documents on their way from a rule source to the rules: named, not yet understood."""

from __future__ import annotations

from attrs import field, frozen

from meshregistry.documents._nodes import MappingNode


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
        created: seconds since the epoch; 0 if the source does not know.
    """

    key: DocumentKey
    version: str = ""
    root: MappingNode
    created: float = field(default=0.0)
