"""What is followed: a collection of objects of the API, of the cluster or of a namespace."""

from __future__ import annotations

from attrs import evolve, frozen


@frozen(kw_only=True)
class Collection:
    """What is followed: one resource, of the cluster or of one namespace.

    Attributes:
        resource: the plural, such as ``services``; empty: what resources the version has.
        group: the API group; empty for the core.
        version: of the group.
        namespace: empty for all, and for resources at cluster scope.
        label_selector: chooses on the server's side.
        field_selector: chooses on the server's side.
        is_metadata: whether the metadata of the objects suffices.
    """

    resource: str
    group: str = ""
    version: str = "v1"
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    is_metadata: bool = False

    @property
    def path(self) -> str:
        """Where it is, below the server's address."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{root}{inside}/{self.resource}".rstrip("/")

    @property
    def qualified(self) -> str:
        """Resource and group, as rules of RBAC have them."""
        group = f" of the API group {self.group}" if self.group else ""
        return f"{self.resource}{group}"

    @property
    def selection(self) -> dict[str, str]:
        """The query that chooses."""
        pairs = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: value for name, value in pairs.items() if value}

    def __str__(self) -> str:
        scope = f"in namespace {self.namespace}" if self.namespace else "at the cluster scope"
        return f"{self.qualified} {scope}"


def in_namespaces(collection: Collection, namespaces: tuple[str, ...]) -> list[Collection]:
    """The collection in each of the namespaces; in all of them if none is named."""
    return [evolve(collection, namespace=name) for name in namespaces or ("",)]
