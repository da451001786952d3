"""Which rule source decisions are written into."""

from __future__ import annotations

import pytest

from meshregistry import Settings
from meshregistry.documents import structure
from meshregistry.errors import ConfigError
from meshregistry.pilot import decision_writer
from meshregistry.pilot._wiring import load_plugins
from meshregistry.registries import FileConfig, RuleFiles
from meshregistry.spi import RuleSourceKind, hookimpl


class ReadOnly:
    """A plugin whose kind of rule source is only read."""

    @hookimpl
    def meshregistry_register_rule_sources(self):
        """Offer it."""
        return RuleSourceKind(name="read-only", config_class=FileConfig, open=RuleFiles)


@pytest.fixture
def chosen(run_async, tmp_path):
    """``chosen(*rules, to=…)``: the id of the rule source that would be written into."""

    def choose(*rules, to=None):
        for one in rules:
            (tmp_path / one["path"]).mkdir()
        settings = Settings.from_dict({"rules": list(rules)}, base_path=tmp_path)
        plugins = load_plugins(plugins=[ReadOnly()], entry_points=False, environ={})

        async def main():
            async with decision_writer(settings, to, plugins=plugins) as (name, _):
                return name

        return run_async(main())

    return choose


def rule(name, kind="file", **more):
    """A rule source in a folder of its name."""
    return {"id": name, "kind": kind, "path": name, **more}


def test_the_first_that_can_be_written_to(chosen):
    """Unless it does not want to be."""
    assert chosen(rule("a", "read-only"), rule("b", writable=False), rule("c"), rule("d")) == "c"


def test_one_that_says_so_comes_first(chosen):
    """Whatever the order."""
    assert chosen(rule("a"), rule("b", writable=True)) == "b"


def test_the_one_that_is_named(chosen):
    """By its id."""
    assert chosen(rule("a", writable=True), rule("b"), to="b") == "b"


@pytest.mark.parametrize(
    ("rules", "to", "message"),
    [
        ([], None, "no rule source can be written to"),
        ([rule("a", "read-only")], None, "no rule source can be written to"),
        ([rule("a", "read-only")], "a", "the kind read-only is only read"),
        ([rule("a", writable=False)], "a", "it says writable: false"),
        ([rule("a")], "b", "no rule source b"),
        ([rule("a", "read-only", writable=True)], None, "cannot be written to"),
    ],
)
def test_who_cannot_be_written_to_says_so(chosen, rules, to, message):
    """With a remedy."""
    with pytest.raises(ConfigError, match=message):
        chosen(*rules, to=to)


def test_writable_is_no_option_of_a_kind():
    """It belongs to the core."""
    settings = Settings.from_dict({"rules": [{"kind": "file", "path": "x", "writable": True}]})
    (one,) = settings.rules
    assert one.writable is True
    assert structure(one.options, FileConfig).path.name == "x"
