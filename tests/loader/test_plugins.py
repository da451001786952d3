"""Loading plugins: isolation, conflicts, precedence, kinds, commands, reports."""

from __future__ import annotations

import logging
import sys
from importlib import metadata

import pytest
from attrs import frozen

from meshregistry.defaults import builtin_plugins
from meshregistry.documents import ScalarNode
from meshregistry.errors import (
    PluginConflictError,
    PluginLoadError,
    UnknownKindError,
)
from meshregistry.loader import Plugins, PluginStatus, find_plugins
from meshregistry.spi import RegistryKind, hookimpl

GOOD = """
@frozen(kw_only=True)
class Config:
    url: str = "x"
    token: Secret = Secret()

@hookimpl
def meshregistry_register_registries():
    return RegistryKind(name="NAME", config_class=Config, open=lambda config, context: None)
"""


def good(name):
    """The code of a plugin that registers a kind of this name."""
    return GOOD.replace("NAME", name)


def load(*, environ=None, **words):
    """Everything that is installed, and the built-in plugins."""
    words.setdefault("builtins", builtin_plugins())
    return Plugins.load(environ=environ or {}, **words)


def report(plugins, name):
    """The report of one plugin."""
    (found,) = (one for one in plugins.reports() if one.name == name)
    return found


@frozen(kw_only=True)
class EmptyConfig:
    """No options."""


def plugin(*names):
    """An object that registers kinds of these names."""

    class Plugin:
        @hookimpl
        def meshregistry_register_registries(self):
            return [
                RegistryKind(name=name, config_class=EmptyConfig, open=lambda c, x: None)
                for name in names
            ]

    return Plugin()


def test_an_installed_plugin_is_found_and_its_kind_can_be_used(install):
    """An entry point of the group is enough; nothing else is configured."""
    install("zookeeper", good("zookeeper"), requires=["meshregistry>=0.1,<0.2", "attrs"])
    plugins = load()
    assert "zookeeper" == plugins.kind("zookeeper").name
    assert "zookeeper" in [kind.name for kind in plugins.kinds()]
    found = report(plugins, "zookeeper")
    assert found.loaded
    assert ("meshregistry-zookeeper", "1.2") == (found.distribution, found.version)
    assert ">=0.1,<0.2" == found.requires
    assert metadata.version("meshregistry") == found.present
    assert ("zookeeper",) == found.kinds
    assert ("meshregistry_register_registries",) == found.hooks
    assert ("", "") == (found.error, found.traceback)


BROKEN = {
    "one that raises on import": ("raise RuntimeError('no such library')", "no such library"),
    "one that exits on import": ("raise SystemExit(3)", "SystemExit: 3"),
    "one that panics on import": ("raise BaseException('index 7')", "BaseException: index 7"),
    "one that imports what is absent": ("import absent_library", "absent_library"),
    "one with a misspelt hook": (
        "@hookimpl\ndef meshregistry_register_registry():\n    return None",
        "did you mean 'meshregistry_register_registries'?",
    ),
    "one with a hook of another world": (
        "@hookimpl\ndef frobnicate():\n    return None",
        "optionalhook=True",
    ),
    "one with a wrong argument": (
        "@hookimpl\ndef meshregistry_merge_policy(service):\n    return None",
        "{'service'} are declared",
    ),
    "one that returns a wrong type": (
        "@hookimpl\ndef meshregistry_register_registries():\n    return {'name': 'broken'}",
        "returned 'name'; return a RegistryKind",
    ),
    "one that returns a text": (
        "@hookimpl\ndef meshregistry_register_registries():\n    return 'broken'",
        "returned 'broken'; return a RegistryKind",
    ),
    "one whose hook raises": (
        "@hookimpl\ndef meshregistry_register_registries():\n    raise KeyError('gone')",
        "failed: KeyError: 'gone'",
    ),
    "one whose iterable raises": (
        "@hookimpl\ndef meshregistry_register_registries():\n    return (1 / 0 for _ in 'a')",
        "ZeroDivisionError",
    ),
    "one without any hook": ("def meshregistry_register_registries(): ...", "spi.hookimpl"),
    "one with an asynchronous hook": (
        "@hookimpl\nasync def meshregistry_identify_proxy(node): ...",
        "hooks are synchronous",
    ),
    "one with a generator for a hook": (
        "@hookimpl\ndef meshregistry_register_registries():\n    yield None",
        "is not an ordinary function",
    ),
    "one that wraps a hook": (
        "@hookimpl(wrapper=True)\ndef meshregistry_identify_proxy(node):\n    return (yield)",
        "wrappers are not called",
    ),
    "one whose config class takes a key of the core": (
        good("broken").replace("url: str", "namespace: str"),
        "Config.namespace is a key of the core",
    ),
    "one whose config class has an unsupported type": (
        good("broken").replace('url: str = "x"', "url: complex = 0j"),
        "Config.url",
    ),
    "one whose config class is none": (
        good("broken").replace("config_class=Config", "config_class=int"),
        "is not an attrs class",
    ),
    "one that names a kind in capitals": (good("Broken"), "failed: ValueError"),
    "one that registers a kind twice": (
        good("broken") + "\n_one = meshregistry_register_registries\n"
        "@hookimpl\ndef meshregistry_register_registries():\n    return [_one(), _one()]",
        "'broken' twice",
    ),
}


@pytest.mark.parametrize(("code", "text"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_plugin_harms_nobody_who_does_not_use_it(install, code, text):
    """It is reported with its cause, its kind cannot be used, and all others can."""
    install("broken", code)
    install("zookeeper", good("zookeeper"))
    plugins = load()
    assert "zookeeper" == plugins.kind("zookeeper").name
    found = report(plugins, "broken")
    assert PluginStatus.BROKEN is found.status
    assert "broken" == str(found.status)
    assert text in found.error
    assert "'broken'" in found.error
    assert "PluginLoadError" in found.traceback
    with pytest.raises(PluginLoadError) as caught:
        plugins.kind("broken")
    assert found.error == str(caught.value)
    assert "broken" == caught.value.plugin


def test_the_traceback_of_the_cause_is_kept(install):
    """The report shows where the plugin itself failed, and the error is chained to it."""
    module = install("broken", "def fail():\n    raise RuntimeError('deep down')\nfail()")
    plugins = load()
    assert f"{module}.py" in report(plugins, "broken").traceback
    assert "in fail" in report(plugins, "broken").traceback
    with pytest.raises(PluginLoadError) as caught:
        plugins.kind("broken")
    assert "deep down" == str(caught.value.__cause__)


def test_a_failed_import_names_both_versions(install):
    """Most failed imports are a matter of versions, so required and present ones are said."""
    install("broken", "raise ImportError('RegistryKind2')", requires=["meshregistry>=9"])
    text = report(load(), "broken").error
    assert f"it wants meshregistry >=9, this is {metadata.version('meshregistry')}" in text


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("{module}:number", "has no function marked with spi.hookimpl"),
        ("{module}:word", "has no function marked with spi.hookimpl"),
        ("{module}:nothing", "has no function marked with spi.hookimpl"),
        ("{module}:Plugin", "is the class Plugin; name a module or an instance"),
        ("{module}:absent", "AttributeError"),
        ("{module}:unhashable", "does not fit"),
    ],
)
def test_an_entry_point_of_a_wrong_type_is_reported(install, target, text):
    """An entry point names a module or an instance with hooks; anything else is broken."""
    code = """
    number, word, nothing, unhashable = 7, "plugin", None, []
    class Plugin:
        @hookimpl
        def meshregistry_register_registries(self):
            return None
    """
    install("broken", code, target=target)
    assert text in report(load(), "broken").error


def test_an_entry_point_may_name_an_object(install):
    """An instance with marked methods is a plugin like a module."""
    code = (
        '@frozen\nclass Config:\n    url: str = "x"\n\n'
        "class Plugin:\n    @hookimpl\n    def meshregistry_register_registries(self):\n"
        '        return RegistryKind(name="zookeeper", config_class=Config, open=print)\n\n'
        "plugin = Plugin()\n"
    )
    install("zookeeper", code, target="{module}:plugin")
    assert "zookeeper" == load().kind("zookeeper").name


def test_a_hook_of_a_newer_version_may_be_optional(install):
    """A plugin that serves several versions marks what is newer, and is loaded."""
    code = "@hookimpl(optionalhook=True)\ndef meshregistry_from_the_future(): ...\n"
    install("zookeeper", good("zookeeper") + code)
    found = report(load(), "zookeeper")
    assert found.loaded
    assert ("meshregistry_register_registries",) == found.hooks


def test_two_plugins_that_claim_one_name_conflict(install):
    """Using the name is an error that names both; each report says it; other kinds work."""
    install("one", good("zookeeper"))
    install("two", good("zookeeper"))
    plugins = load()
    with pytest.raises(PluginConflictError, match=r"one \(meshregistry-one\) and two") as caught:
        plugins.kind("zookeeper")
    assert "MESHREGISTRY_DISABLE_PLUGINS" in str(caught.value)
    assert str(caught.value) == report(plugins, "one").error == report(plugins, "two").error
    assert report(plugins, "one").loaded
    assert "zookeeper" not in [kind.name for kind in plugins.kinds()]
    assert "memory" == plugins.kind("memory").name


def test_disabling_one_of_two_ends_the_conflict(install):
    """What is disabled claims nothing; a distribution's name tells namesakes apart."""
    install("zookeeper", good("zookeeper"), distribution="one-zookeeper")
    install("zookeeper", good("zookeeper"), distribution="two-zookeeper")
    with pytest.raises(PluginConflictError):
        load().kind("zookeeper")
    plugins = load(environ={"MESHREGISTRY_DISABLE_PLUGINS": "two-zookeeper"})
    assert "zookeeper" == plugins.kind("zookeeper").name


def test_built_in_plugins_are_reported_as_ours():
    """What comes with the core is of the distribution meshregistry, in its version."""
    found = report(load(entry_points=False), "memory")
    assert ("meshregistry", metadata.version("meshregistry")) == (found.distribution, found.version)


def test_a_built_in_kind_cannot_be_taken_in_silence(install):
    """A plugin that claims `memory` conflicts with ours."""
    install("thief", good("memory"))
    with pytest.raises(
        PluginConflictError, match=r"thief \(meshregistry-thief\) and memory \(meshregistry\)"
    ):
        load().kind("memory")


def test_two_entry_points_may_name_one_module(install):
    """A module under two names is one plugin and no conflict."""
    install("mesos", good("mesos"), more=["marathon"])
    plugins = load()
    assert "mesos" == plugins.kind("mesos").name
    assert ["", ""] == [report(plugins, name).error for name in ("mesos", "marathon")]


def test_a_disabled_plugin_is_never_imported(install):
    """`MESHREGISTRY_DISABLE_PLUGINS` blocks by name, and the report says so."""
    module = install("broken", "raise RuntimeError")
    plugins = load(environ={"MESHREGISTRY_DISABLE_PLUGINS": " other , broken"})
    assert PluginStatus.DISABLED is report(plugins, "broken").status
    assert module not in sys.modules
    with pytest.raises(UnknownKindError, match="take it out of MESHREGISTRY_DISABLE_PLUGINS"):
        plugins.kind("broken")


def test_disabling_what_is_not_there_is_logged(install, caplog):
    """A misspelt name in the variable does nothing, so it is said."""
    install("zookeeper", good("zookeeper"))
    load(environ={"MESHREGISTRY_DISABLE_PLUGINS": "zoo"})
    assert "no installed plugin has the name 'zoo'" in caplog.text


def test_plugins_are_listed_with_versions_before_any_is_imported(install):
    """What is required and present is known without running a line of a plugin."""
    module = install("broken", "raise RuntimeError", requires=["meshregistry (>=0.1)"])
    (found,) = (one for one in find_plugins({}) if one.name == "broken")
    assert PluginStatus.FOUND is found.status
    assert (">=0.1", metadata.version("meshregistry")) == (found.requires, found.present)
    assert module == found.value
    assert module not in sys.modules


def test_an_embedder_may_do_without_entry_points(install):
    """`entry_points=False` looks at nothing that is installed; `plugins` are used."""
    install("zookeeper", good("zookeeper"))
    plugins = load(entry_points=False, plugins=[plugin("mine")])
    assert "mine" == plugins.kind("mine").name
    assert "Plugin" == plugins.reports()[0].name
    with pytest.raises(UnknownKindError):
        plugins.kind("zookeeper")


def test_a_plugin_that_the_program_gives_must_be_right():
    """A broken object in `plugins` is raised at once: the program uses it."""
    with pytest.raises(PluginLoadError, match="has no function marked"):
        load(plugins=[object()])


def test_a_module_may_be_given_as_a_plugin(install):
    """A given module is reported by its name."""
    module = __import__(install("zookeeper", good("zookeeper")))
    plugins = load(entry_points=False, plugins=[module])
    assert module.__name__ == plugins.reports()[0].name
    assert "zookeeper" == plugins.kind("zookeeper").name


def test_plugins_of_one_pilot_are_its_own():
    """Loading twice gives two worlds: nothing is shared, nothing is global."""
    first, second = load(plugins=[plugin("mine")]), load()
    assert "mine" == first.kind("mine").name
    with pytest.raises(UnknownKindError):
        second.kind("mine")


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("consul", "pip install 'meshregistry[consul]'"),
        ("etcd", "pip install 'meshregistry[etcd]'"),
        ("eureka", "pip install 'meshregistry[eureka]'"),
        ("kubernetes", "pip install 'meshregistry[kubernetes]'"),
        ("mesos", "pip install 'meshregistry[mesos]'"),
        ("marathon", "pip install 'meshregistry[mesos]'"),
        ("cloudfoundry", "pip install 'meshregistry[cloudfoundry]'"),
        ("gorouter", "pip install 'meshregistry[cloudfoundry]'"),
        ("capi", "pip install 'meshregistry[cloudfoundry]'"),
    ],
)
def test_a_kind_that_we_know_of_comes_with_the_line_to_type(kind, line):
    """A known kind that is not installed says how to install it (architecture, section 6)."""
    with pytest.raises(UnknownKindError) as caught:
        load(entry_points=False).kind(kind)
    assert (kind, line) == (caught.value.kind, caught.value.install)
    assert f"no plugin provides the registry kind {kind!r}; type: {line}" == str(caught.value)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("memroy", "did you mean 'memory'?"),
        ("konsul", "did you mean 'consul'? it is not installed either; type: pip install"),
        ("xyzzy", "use one of those present (file, memory) or install a plugin"),
    ],
)
def test_a_misspelt_kind_is_met_with_a_suggestion(kind, remedy):
    """The nearest known kind is suggested, or the present ones are listed."""
    with pytest.raises(UnknownKindError) as caught:
        load(entry_points=False).kind(kind)
    assert caught.value.remedy.startswith(remedy)


def test_an_unknown_kind_without_any_plugin_says_so():
    """A pilot without plugins has no kinds at all."""
    with pytest.raises(UnknownKindError, match=r"present \(none\)"):
        load(builtins=(), entry_points=False).kind("xyzzy")


def test_an_unknown_kind_stands_where_the_user_wrote_it():
    """File, line, column and field of the settings are part of the error."""
    place = ScalarNode(file="mesh.yaml", line=3, column=9, path="sources[0].kind", text="xyzzy")
    with pytest.raises(UnknownKindError, match=r"^mesh\.yaml:3:9: sources\[0\]\.kind: no plugin"):
        load(entry_points=False).kind("xyzzy", place=place)


COMMAND = """
import click

@hookimpl
def meshregistry_register_commands():
    return click.Command("NAME")
"""


def test_commands_of_plugins_are_collected(install):
    """Commands of several plugins come by name."""
    install("two", COMMAND.replace("NAME", "zebra"))
    install("one", COMMAND.replace("NAME", "ant"))
    assert ["ant", "zebra"] == [command.name for command in load().commands()]


BAD_COMMANDS = {
    "one that raises": ("raise OSError('no terminal')", "OSError: no terminal"),
    "one that is no command": ("return ['zebra']", "returned what is no command"),
    "one without a name": ("return click.Command(None)", "returned what is no command"),
    "one of ours": ("return click.Command('serve')", "adds the command 'serve', which is ours"),
}


@pytest.mark.parametrize(("body", "text"), BAD_COMMANDS.values(), ids=BAD_COMMANDS.keys())
def test_a_bad_command_is_left_out_and_reported(install, body, text):
    """The plugin's kinds and everybody else's commands stay."""
    hook = f"import click\n@hookimpl\ndef meshregistry_register_commands():\n    {body}\n"
    install("zookeeper", good("zookeeper") + hook)
    install("one", COMMAND.replace("NAME", "ant"))
    plugins = load()
    assert "" == report(plugins, "zookeeper").error
    assert ["ant"] == [command.name for command in plugins.commands(taken={"serve"})]
    assert text in report(plugins, "zookeeper").error
    assert "zookeeper" == plugins.kind("zookeeper").name


def test_two_plugins_cannot_add_one_command(install):
    """A command that two plugins claim is left out, and both reports say so."""
    install("one", COMMAND.replace("NAME", "ant"))
    install("two", COMMAND.replace("NAME", "ant"))
    plugins = load()
    assert () == plugins.commands()
    assert "the command 'ant' is claimed" in report(plugins, "one").error
    assert report(plugins, "one").error == report(plugins, "two").error


def test_faults_go_to_the_logger_that_is_given(install, caplog):
    """An embedding program may give a logger of its own."""
    load(
        environ={"MESHREGISTRY_DISABLE_PLUGINS": "zoo"},
        logger=logging.getLogger("embedder"),
    )
    assert ["embedder"] == [record.name for record in caplog.records]


def test_patches_and_generators_are_named_after_their_plugin(install):
    """So two plugins may choose one name; within a plugin a name is there once."""
    code = """
    @hookimpl
    def meshregistry_register_patches():
        return [ResourcePatch(name="slow", type_url="cds", apply=lambda message, key: message)]

    @hookimpl
    def meshregistry_register_generators():
        return ResourceGenerator(name="more", generate=lambda view: ())
    """
    install("one", code)
    install("two", code)
    plugins = load()
    assert ["one/slow", "two/slow"] == [patch.name for patch in plugins.patches()]
    assert ["one/more", "two/more"] == [own.name for own in plugins.generators()]


def test_transforms_are_named_after_their_plugin_too(install):
    """One that raises, or gives something else, makes the plugin broken."""
    code = """
    @hookimpl
    def meshregistry_register_transforms():
        return RecordTransform(name="tag", apply=lambda record, source: record, order=3)
    """
    install("one", code)
    install("two", code)
    install("bad", code.replace("return RecordTransform", "return dict"))
    plugins = load()
    found = [(own.name, own.order) for own in plugins.transforms()]
    assert [("one/tag", 3), ("two/tag", 3)] == found
    assert "return a RecordTransform" in report(plugins, "bad").error


def test_a_plugin_with_two_patches_of_one_name_is_broken(install):
    """Messages could not tell them apart."""
    install(
        "one",
        """
        @hookimpl
        def meshregistry_register_patches():
            patch = ResourcePatch(name="slow", type_url="cds", apply=lambda message, key: message)
            return [patch, patch]
        """,
    )
    assert "registers the resource patch 'slow' twice" in report(load(), "one").error
