"""Whether a set is whole: every resource that another one needs is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshregistry.model import ResourceSet


def dangling_references(resources: ResourceSet) -> tuple[tuple[str, str, str, str], ...]:
    """References to what the set does not hold.

    Each is (referring type, referring name, missing type, missing name), as
    `InconsistentResources` takes them; sorted.
    """
    return tuple(
        sorted(
            (resource.type_url, resource.name, needed.type_url, needed.name)
            for resource in resources
            for needed in resource.references
            if resources.get(needed.type_url, needed.name) is None
        )
    )
