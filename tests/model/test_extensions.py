"""Patches and generators as values: what they refuse, and what they let a function see."""

from __future__ import annotations

import pytest

from meshregistry.model import (
    LISTENER,
    Locality,
    ProxyKey,
    ProxyRole,
    ResourceGenerator,
    ResourcePatch,
)


def same(message, _key):
    """Change nothing."""
    return message


def test_a_patch_takes_short_names_of_types():
    """``lds`` is the listener's type."""
    assert LISTENER == ResourcePatch(name="p", type_url="lds", apply=same).type_url


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": ""}, "it needs a name"),
        ({"type_url": "xyz"}, "is not a resource type: use one of cds"),
        ({"type_url": "type.googleapis.com/a.B"}, "are never made: use one of cds"),
        ({"reads": ("host",)}, "cannot read 'host': use namespace, addresses"),
    ],
)
def test_what_a_patch_refuses(words, message):
    """Wrong words are errors where they are written, with what to write."""
    with pytest.raises(ValueError, match=message):
        ResourcePatch(**{"name": "p", "type_url": "cds", "apply": same, **words})


def test_names_are_not_one_text():
    """A text for several names is a slip that would read letters."""
    with pytest.raises(TypeError, match="write \\('tier',\\)"):
        ResourcePatch(name="p", type_url="cds", apply=same, labels="tier")
    with pytest.raises(TypeError, match="write \\('scope',\\)"):
        ResourceGenerator(name="g", generate=lambda _: (), reads="scope")


def test_a_patch_sees_what_it_reads_and_no_more():
    """All other facts are blank."""
    key = ProxyKey(
        role=ProxyRole.SIDECAR,
        namespace="shop",
        addresses=("10.0.0.1",),
        network="n",
        locality=Locality("eu"),
        labels={"a": "1", "b": "2"},
    )
    blank = ResourcePatch(name="p", type_url="cds", apply=same)
    assert ProxyKey(role=ProxyRole.SIDECAR) == blank.reduced(key)
    patch = ResourcePatch(
        name="p", type_url="cds", apply=same, reads=("network", "namespace"), labels=("b", "c")
    )
    seen = ProxyKey(role=ProxyRole.SIDECAR, namespace="shop", network="n", labels={"b": "2"})
    assert seen == patch.reduced(key)
