"""The hooks: names, styles, markers, version."""

from __future__ import annotations

import inspect

import pluggy
import pytest

from meshregistry import spi

HOOKS = {
    name: getattr(spi.hookspecs, name)
    for name in vars(spi.hookspecs)
    if name.startswith("meshregistry_")
}
DECISIONS = {"meshregistry_identify_proxy", "meshregistry_merge_policy"}


def test_the_first_release_has_these_hooks():
    """Hooks are promises: adding or losing one is a decision (architecture, section 8)."""
    assert {
        "meshregistry_register_registries",
        "meshregistry_register_rule_sources",
        "meshregistry_register_transforms",
        "meshregistry_register_generators",
        "meshregistry_register_patches",
        "meshregistry_register_commands",
        "meshregistry_register_mixer_adapters",
        "meshregistry_identify_proxy",
        "meshregistry_merge_policy",
        "meshregistry_admit_proxy",
        "meshregistry_source_changed",
        "meshregistry_resources_rejected",
    } == set(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_an_ordinary_documented_function(name):
    """Hooks are synchronous, annotated whole, and say when they are called."""
    hook = HOOKS[name]
    assert not inspect.iscoroutinefunction(hook)
    assert hook.__doc__
    signature = inspect.signature(hook)
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty


@pytest.mark.parametrize("name", HOOKS)
def test_decisions_alone_stop_at_the_first_answer(name):
    """The first answer wins for decisions; every other hook hears everybody."""
    manager = pluggy.PluginManager(spi.PROJECT)
    manager.add_hookspecs(spi.hookspecs)
    options = getattr(manager.hook, name).spec.opts
    assert (name in DECISIONS) == options["firstresult"]


def test_a_plugin_may_take_fewer_arguments():
    """An implementation that omits arguments fits, so hooks can grow (contracts, section 13)."""

    class Plugin:
        @spi.hookimpl
        def meshregistry_source_changed(self, source):
            return None

    manager = pluggy.PluginManager(spi.PROJECT)
    manager.add_hookspecs(spi.hookspecs)
    assert manager.register(Plugin())


def test_the_contract_has_a_version():
    """Breaking and additive numbers, so that plugins can tell what they were written for."""
    assert (1, 0) == spi.VERSION
    assert "meshregistry" == spi.PROJECT
