"""Registry kinds and the words of the contract."""

from __future__ import annotations

import pytest

from meshregistry.spi import CORE_KEYS, Condition, RegistryKind


@pytest.mark.parametrize("name", ["", "Consul", "1consul", "con_sul", "con sul", "-a", "a\n"])
def test_the_name_of_a_kind_is_lower_case(name):
    """Letters, digits and hyphens, beginning with a letter."""
    with pytest.raises(ValueError, match="name"):
        RegistryKind(name=name, config_class=int, open=print)


@pytest.mark.parametrize(
    "wrong",
    [{"config_class": 1}, {"open": 1}, {"connect": 1}, {"registrar": 1}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_the_fields_of_a_kind_are_checked(wrong):
    """A config class is a class, and what is called can be called."""
    with pytest.raises((TypeError, ValueError)):
        RegistryKind(**{"name": "a", "config_class": int, "open": print} | wrong)


def test_a_kind_is_keyword_only():
    """Growth happens in objects, so fields are named (contracts, section 13)."""
    with pytest.raises(TypeError):
        RegistryKind("a", int, print)


def test_the_core_keys_are_those_of_the_contract():
    """A config class must not use what the core has reserved (contracts, section 11)."""
    reserved = (
        "id kind required namespace stale_after sync_timeout shadow weight priority network "
        "cluster identity merge guard enabled labels"
    )
    assert {*reserved.split(), "source_options"} == set(CORE_KEYS)


def test_a_condition_prints_as_its_name():
    """Conditions print as people read them."""
    assert ["STARTING", "SYNCED", "STALE", "FAILED"] == [str(one) for one in Condition]
