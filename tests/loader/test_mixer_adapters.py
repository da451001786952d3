"""The hook by which plugins offer adapters of Mixer."""

from __future__ import annotations

import subprocess
import sys

import pytest
from attrs import define, frozen

from meshregistry.defaults import builtin_plugins
from meshregistry.loader import Plugins
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.spi import LIST_ENTRY, Handler, MixerAdapter
from meshregistry.spi import hookimpl


@frozen(kw_only=True)
class Config:
    """No parameters."""


@define
class Changing:
    """What no configuration may be."""


def adapter(name, aliases=(), config_class=Config):
    """An adapter that does nothing."""
    return MixerAdapter(
        name=name,
        config_class=config_class,
        templates=(LIST_ENTRY,),
        open=lambda config, context: Handler(),
        aliases=aliases,
    )


def plugin(name, answer):
    """A plugin that offers this, or raises it."""

    class Plugin:
        __name__ = name

        @hookimpl
        def meshregistry_register_mixer_adapters(self):
            if isinstance(answer, Exception):
                raise answer
            return answer

    return Plugin()


def load(*plugins):
    """These plugins and ours."""
    return Plugins.load(builtins=builtin_plugins(), plugins=plugins, entry_points=False, environ={})


def names(plugins):
    """The adapters that can be used."""
    return [one.name for one in plugins.mixer_adapters(MixerAdapter)]


def error(plugins, name):
    """What the report says of a plugin."""
    (found,) = (one.error for one in plugins.reports() if one.name == name)
    return found


def test_ours_come_through_the_same_hook():
    """Each of them, by name, with a summary; nothing else without a plugin."""
    assert sorted(one.name for one in ADAPTERS) == names(load())
    assert [] == [one.name for one in ADAPTERS if not one.summary]


def test_a_plugin_adds_one_or_several():
    """Beside ours."""
    plugins = load(plugin("one", adapter("zoo")), plugin("more", [adapter("ant"), adapter("bee")]))
    assert {"ant", "bee", "zoo"} == set(names(plugins)) - set(names(load()))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (OSError("no disk"), "OSError: no disk"),
        ("zoo", "returned 'zoo'; return a MixerAdapter"),
        (adapter("zoo", config_class=Changing), "Changing is not frozen"),
    ],
)
def test_a_bad_offer_is_left_out_and_reported(answer, text):
    """The adapters of everybody else stay."""
    plugins = load(plugin("bad", answer), plugin("good", adapter("ant")))
    assert "" == error(plugins, "bad")
    assert {"ant"} == set(names(plugins)) - set(names(load()))
    assert text in error(plugins, "bad")
    assert "" == error(plugins, "good")


@pytest.mark.parametrize("own", [adapter("zoo"), adapter("ant", aliases=("zoo",))])
def test_a_name_that_two_plugins_claim_is_left_out(own):
    """Names and aliases alike; both reports say so."""
    plugins = load(plugin("one", own), plugin("two", adapter("zoo")))
    assert names(load()) == names(plugins)
    assert "the Mixer adapter 'zoo' is claimed by several plugins" in error(plugins, "one")
    assert error(plugins, "one") == error(plugins, "two")


def test_a_name_of_ours_cannot_be_taken_in_silence():
    """Whoever uses it learns that there are two."""
    plugins = load(plugin("one", adapter("noop")))
    assert "noop" not in names(plugins)
    assert "the Mixer adapter 'noop' is claimed" in error(plugins, "one")


def test_a_pilot_does_not_import_them():
    """Only who asks pays for them."""
    code = (
        "import sys\n"
        "from meshregistry.defaults import builtin_plugins\n"
        "from meshregistry.loader import Plugins\n"
        "Plugins.load(builtins=builtin_plugins(), entry_points=False, environ={})\n"
        "print(any(name.startswith('meshregistry.mixer') for name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert "False" == done.stdout.strip()
