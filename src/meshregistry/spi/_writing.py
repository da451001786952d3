"""What a writer of rule sources implements: operators' decisions, put where replicas read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

import yaml
from attrs import field, frozen

_UNSAFE = re.compile(r"[^a-z0-9.]+")


@frozen(kw_only=True)
class OutgoingDocument:
    """A routing document on its way into a rule source.

    Attributes:
        group: API group, such as ``meshregistry.dev``.
        version: of the group.
        kind: such as ``Drain``.
        namespace: empty if it has none.
        name: unique within group, kind and namespace.
        spec: plain values.
    """

    group: str
    version: str
    kind: str
    namespace: str = ""
    name: str
    spec: Mapping[str, Any] = field(factory=dict)

    @property
    def value(self) -> dict[str, Any]:
        """The whole document, as plain values."""
        metadata = {"name": self.name, **({"namespace": self.namespace} if self.namespace else {})}
        return {
            "apiVersion": f"{self.group}/{self.version}",
            "kind": self.kind,
            "metadata": metadata,
            "spec": dict(self.spec),
        }

    @property
    def text(self) -> str:
        """The whole document as YAML."""
        return yaml.safe_dump(self.value, sort_keys=False, allow_unicode=True)

    @property
    def place(self) -> str:
        """A name for its file or key, the same for each version of it: ``drain-shop-a.yaml``."""
        parts = filter(None, (self.kind, self.namespace, self.name))
        return "-".join(safe_name(part) for part in parts) + ".yaml"


def safe_name(text: str) -> str:
    """A name that a file, a key and an object of Kubernetes may have.

    Letters in lower case, digits, dots and inner hyphens; ``*`` becomes ``any``.
    """
    return _UNSAFE.sub("-", text.lower().replace("*", "any")).strip("-.") or "any"


class RuleWriter(Protocol):
    """Writes documents into the backend of a rule source."""

    async def put(self, document: OutgoingDocument) -> str:
        """Write a document, or its new version; gives the place where it stands.

        Raises:
            RegistryError: if the backend does not take it.
        """

    async def delete(self, document: OutgoingDocument) -> bool:
        """Take a document away that `put` has written, whatever its version says.

        Returns:
            Whether it was there.

        Raises:
            RegistryError: if the backend does not answer.
        """
