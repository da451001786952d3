"""From settings and plugins to sources, and every fault with its place."""

from __future__ import annotations

import pytest

from meshregistry import Settings
from meshregistry.aggregate import GuardPolicy
from meshregistry.defaults import builtin_plugins
from meshregistry.errors import ConfigError, PluginError, UnknownKindError
from meshregistry.loader import Plugins
from meshregistry.pilot import check_documents, check_settings
from meshregistry.pilot._wiring import Wiring
from meshregistry.registries import MemoryConfig
from meshregistry.spi import RegistryKind, hookimpl


@pytest.fixture(scope="module")
def plugins():
    """Our own."""
    return Plugins.load(builtins=builtin_plugins(), entry_points=False, environ={})


def wired(plugins, text, **registries):
    """The sources that a settings text makes."""
    return Wiring(Settings.parse(text, file="mesh.yaml"), registries).wired(plugins)[0]


def faults(plugins, text, **registries):
    """The faults of that, as messages."""
    with pytest.raises(ConfigError) as caught:
        wired(plugins, text, **registries)
    return [fault.message for fault in caught.value.faults]


class TestSources:
    def test_core_keys_reach_the_core(self, plugins):
        """Under the names of the settings."""
        (source,) = wired(
            plugins,
            "sources: [{id: a, kind: memory, required: false, namespace: shop, network: n,"
            " cluster: c, stale_after: 5s, sync_timeout: 2s}]",
        )
        assert ("a", "memory", False, "shop", "n", "c", 5.0, 2.0) == (
            *(source.id, source.kind, source.required, source.namespace),
            *(source.network, source.cluster, source.stale_after, source.sync_timeout),
        )

    @pytest.mark.parametrize(
        ("own", "expected"),
        [
            ("kind: memory", None),
            ("kind: file, path: .", None),
            ("kind: remote", GuardPolicy()),
            ("kind: remote, guard: off", None),
            ("kind: memory, guard: {at_least: 3}", GuardPolicy(at_least=3)),
            (
                "kind: remote, guard: {window: 5s, share: 0.9, confirm_after: null}",
                GuardPolicy(window=5.0, share=0.9, confirm_after=None),
            ),
        ],
    )
    def test_the_guard_is_on_for_kinds_that_follow_a_registry(self, own, expected):
        """Unless the settings say otherwise."""

        class Plugin:
            @hookimpl
            def meshregistry_register_registries(self):
                return RegistryKind(name="remote", config_class=MemoryConfig, open=print)

        found = Plugins.load(
            builtins=builtin_plugins(), plugins=[Plugin()], entry_points=False, environ={}
        )
        (source,) = wired(found, f"sources: [{{id: a, {own}}}]")
        assert expected == source.guard

    @pytest.mark.parametrize(
        ("own", "expected"), [("", 3.0), (", sync_timeout: 0s", 0.0), (", sync_timeout: 4s", 4.0)]
    )
    def test_the_general_sync_timeout_is_for_those_without(self, plugins, own, expected):
        """None of one's own is not the same as zero."""
        text = f"sync_timeout: 3s\nsources: [{{id: a, kind: memory{own}}}]"
        (source,) = wired(plugins, text)
        assert expected == source.sync_timeout

    def test_objects_of_the_caller_come_last(self, plugins):
        """The same object at every attempt."""
        mine = object()
        sources = wired(plugins, "sources: [{id: a, kind: memory}]", mine=mine)
        assert ["a", "mine"] == [source.id for source in sources]
        assert mine is sources[-1].open(None) is sources[-1].open(None)

    def test_equal_settings_make_equal_sources(self, plugins):
        """So that a reload leaves them alone; in another folder they differ."""
        values = {"sources": [{"id": "a", "kind": "memory"}]}
        here, same, there = (
            Wiring(Settings.from_dict(values, base_path=folder), {}).sources(plugins)
            for folder in ("/x", "/x", "/y")
        )
        assert here == same
        assert here != there

    def test_the_user_agent_names_the_version(self, plugins):
        """What backends log."""
        assert Wiring(Settings(), {}).user_agent.startswith("meshregistry/")


class TestFaults:
    def test_of_every_source_come_together(self, plugins):
        """File, line and field of each."""
        text = (
            "sources:\n"
            "  - {id: a, kind: memory, manuel: true}\n"
            "  - {id: b, kind: file}\n"
            "  - {id: c, kind: file, path: [x]}\n"
        )
        found = faults(plugins, text)
        assert 3 == len(found)
        assert found[0].startswith("mesh.yaml:2:")
        assert "sources[0].manuel: unknown key; did you mean manual?" in found[0]
        assert found[1].startswith("mesh.yaml:3:")
        assert "path" in found[1]
        assert found[2].startswith("mesh.yaml:4:")

    def test_of_a_known_kind_have_the_line_to_type(self, plugins):
        """A kind that the project has, but this machine has not."""
        with pytest.raises(UnknownKindError) as caught:
            wired(plugins, "sources:\n  - {id: a, kind: consul}")
        assert "pip install" in caught.value.message
        assert caught.value.message.startswith("mesh.yaml:2:")
        assert "sources[0].kind" == caught.value.field

    def test_of_an_unknown_kind_have_a_suggestion(self, plugins):
        """And no line to type."""
        (found,) = faults(plugins, "sources: [{id: a, kind: memori}]")
        assert "memory" in found
        assert "pip install" not in found

    def test_of_rule_sources_name_the_line(self, plugins):
        """A kind that there is not, an option too many, a source that files have no use for."""
        (found,) = faults(plugins, "rules:\n  - {kind: fil, path: routing/}")
        assert found.startswith("mesh.yaml:2:")
        assert "did you mean 'file'?" in found
        (found,) = faults(plugins, "rules: [{kind: file, path: a, colour: red}]")
        assert "colour" in found
        (found,) = faults(
            plugins, "sources: [{id: m, kind: memory}]\nrules: [{kind: file, path: a, source: m}]"
        )
        assert "the kind file uses no source" in found

    def test_of_a_source_that_only_the_merge_policy_knows(self, plugins):
        """At its place; an object of the caller's own is a source, too."""
        text = "sources: [{id: dc1, kind: memory}]\nmerge:\n  from: {ports: [dc2, mine]}"
        (found,) = faults(plugins, text, mine=object())
        assert found.startswith("mesh.yaml:3:")
        assert "merge.from.ports[0]: there is no source dc2; did you mean dc1?" in found

    def test_of_an_id_that_is_taken(self, plugins):
        """An object of the caller must not replace a source of the settings."""
        (found,) = faults(plugins, "sources: [{id: a, kind: memory}]", a=object())
        assert "<arguments>: registries.a: the settings have a source 'a' already" in found


class Contested:
    """A plugin that claims a kind of ours."""

    @hookimpl
    def meshregistry_register_registries(self):
        """Claim it."""
        return RegistryKind(name="memory", config_class=MemoryConfig, open=lambda c, x: None)


class TestCheck:
    def test_finds_nothing_in_good_settings(self, tmp_path, plugins):
        """And starts nothing."""
        (tmp_path / "s.yaml").write_text("services: []")
        path = tmp_path / "mesh.yaml"
        path.write_text("sources: [{id: vms, kind: file, path: s.yaml}]")
        assert [] == list(check_settings(path, plugins))

    def test_finds_the_faults_of_settings_options_and_documents(self, tmp_path, plugins):
        """What the settings point to is part of the input."""
        (tmp_path / "s.yaml").write_text("services: [{hots: a.b}]")
        path = tmp_path / "mesh.yaml"
        path.write_text(
            "sources:\n  - {id: vms, kind: file, path: s.yaml}\n  - {id: x, kind: nonsense}\n"
            "rules:\n  - {kind: file, path: routing/}\nmerge: {order: [y]}\n"
        )
        found = [fault.message for fault in check_settings(path, plugins)]
        assert any("s.yaml:1" in one and "hots" in one for one in found)
        assert any("mesh.yaml:3" in one and "nonsense" in one for one in found)
        assert any("routing: cannot be read" in one for one in found)
        assert any("there is no source y" in one for one in found)

    def test_stops_at_settings_that_cannot_be_read(self, tmp_path, plugins):
        """There is nothing to follow from them."""
        (found,) = check_settings(tmp_path / "none.yaml", plugins)
        assert "cannot be read" in found.reason

    def test_gives_a_broken_plugin_a_place(self, tmp_path):
        """Running raises the plugin's own error, a check goes on."""
        contested = Plugins.load(
            builtins=builtin_plugins(), plugins=[Contested()], entry_points=False, environ={}
        )
        path = tmp_path / "mesh.yaml"
        path.write_text("sources:\n  - {id: a, kind: memory}\n  - {id: b, kind: nonsense}\n")
        found = [fault.message for fault in check_settings(path, contested)]
        assert 2 == len(found)
        assert f"{path}:2:" in found[0]
        assert "meshregistry plugins" in found[0]
        with pytest.raises(PluginError):
            Wiring(Settings.load(path), {}).sources(contested)

    def test_of_documents_names_each_fault(self, tmp_path):
        """A file or a folder."""
        (tmp_path / "a.yaml").write_text("services: [{hots: a.b}]")
        for place in (tmp_path, tmp_path / "a.yaml"):
            assert any("hots" in fault.message for fault in check_documents(place))
