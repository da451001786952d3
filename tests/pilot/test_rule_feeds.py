"""Rule sources of the settings, structured for their kinds."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

from meshregistry.errors import ConfigError, UnknownKindError
from meshregistry.loader import Plugins
from meshregistry.pilot._rule_feeds import feed_faults, rule_feeds
from meshregistry.settings import Settings
from meshregistry.spi import RegistryKind, RuleSourceKind, hookimpl


@frozen(kw_only=True)
class StoreConfig:
    """Options of a registry."""

    address: str = "here"


@frozen(kw_only=True)
class StoreRulesConfig:
    """Options of a rule source of the same backend."""

    prefix: str


class Store:
    """A plugin of both."""

    @hookimpl
    def meshregistry_register_registries(self) -> Any:
        return RegistryKind(
            name="store", config_class=StoreConfig, open=_never, connect=_never_connected
        )

    @hookimpl
    def meshregistry_register_rule_sources(self) -> Any:
        return [
            RuleSourceKind(
                name="store", config_class=StoreRulesConfig, open=_never, registry="store"
            ),
            RuleSourceKind(
                name="alone",
                config_class=StoreRulesConfig,
                open=_never,
                check=lambda config, _base: [ConfigError(f"looked at {config.prefix}")],
            ),
        ]


def _never(_config: object, _context: object) -> Any:
    raise AssertionError


def _never_connected(config: object, _context: object) -> Any:
    return config


@pytest.fixture
def plugins() -> Plugins:
    """With the store."""
    return Plugins.load(builtins=[("store", Store())], entry_points=False, environ={})


def feeds(plugins: Plugins, text: str) -> Any:
    """The rule sources of a settings text."""
    return rule_feeds(Settings.parse(text, file="mesh.yaml"), plugins)


def test_a_source_is_shared_by_name(plugins):
    """Its configuration, and the way to make its client."""
    (feed,) = feeds(
        plugins,
        "sources: [{id: dc1, kind: store, address: there}]\n"
        "rules: [{kind: store, source: dc1, prefix: mesh/}]",
    )
    assert (feed.id, feed.config) == ("dc1", StoreRulesConfig(prefix="mesh/"))
    assert feed.registry_config == StoreConfig(address="there")
    assert feed.connect(None) == feed.registry_config


def test_without_a_source_the_options_stand_side_by_side(plugins):
    """Those of the registry and those of the rule source."""
    (feed,) = feeds(plugins, "rules: [{kind: store, prefix: mesh/, address: there}]")
    assert (feed.id, feed.registry_config) == ("store", StoreConfig(address="there"))
    (alone,) = feeds(plugins, "rules: [{kind: alone, prefix: x}]")
    assert (alone.registry_config, alone.connect) == (None, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rules: [{kind: store}]", "prefix"),
        ("rules: [{kind: store, prefix: a, adress: b}]", "did you mean address"),
        (
            "sources: [{id: s, kind: store}]\nrules: [{kind: store, source: s, prefix: a, address: b}]",
            "address",
        ),
        (
            "sources: [{id: s, kind: store}]\nrules: [{kind: alone, source: s, prefix: a}]",
            "no source",
        ),
        (
            "sources: [{id: s, kind: other}]\nrules: [{kind: store, source: s, prefix: a}]",
            "not store",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(plugins, text, reason):
    """Every fault of every rule source."""
    with pytest.raises(ConfigError) as caught:
        feeds(plugins, text)
    assert any(
        reason in fault.message and fault.file == "mesh.yaml" for fault in caught.value.faults
    )


def test_a_kind_that_is_not_there_is_named(plugins):
    """With what to type."""
    with pytest.raises(UnknownKindError, match=r"kind of rule source 'consul'.*pip install"):
        feeds(plugins, "rules: [{kind: consul, prefix: a}]")


def test_what_a_kind_checks_is_told(plugins):
    """Without running anything."""
    settings = Settings.parse("rules: [{kind: alone, prefix: x}]", file="mesh.yaml")
    assert [fault.message for fault in feed_faults(settings, plugins)] == ["looked at x"]
