"""Whether a set is whole."""

from __future__ import annotations

from meshregistry.generate import dangling_references
from meshregistry.model import CLUSTER, ENDPOINT, ROUTE, Resource, ResourcePart, ResourceSet


def test_a_reference_may_lead_into_another_part() -> None:
    """Parts complete each other."""
    cluster = Resource(CLUSTER, "a", b"", references=[(ENDPOINT, "a")])
    whole = ResourceSet(
        (ResourcePart.of([cluster]), ResourcePart.of([Resource(ENDPOINT, "a", b"")]))
    )
    assert dangling_references(whole) == ()


def test_what_is_missing_is_listed() -> None:
    """Each reference that leads nowhere is named with who needs it, in order."""
    broken = ResourceSet.of(
        [
            Resource(ROUTE, "80", b"", references=[(CLUSTER, "b"), (CLUSTER, "a")]),
            Resource(CLUSTER, "a", b"", references=[(ENDPOINT, "a")]),
        ]
    )
    assert dangling_references(broken) == (
        (CLUSTER, "a", ENDPOINT, "a"),
        (ROUTE, "80", CLUSTER, "b"),
    )
