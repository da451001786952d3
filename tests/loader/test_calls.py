"""Calling hooks: who is asked, who wins, what a fault does."""

from __future__ import annotations

import pytest

from meshregistry.defaults import builtin_plugins
from meshregistry.errors import PluginError, RegistryUnavailable, RemoteAdsError
from meshregistry.loader import Plugins
from meshregistry.model import (
    MergePolicy,
    Node,
    Peer,
    Proxy,
    ProxyRole,
    ServiceKey,
    SourceId,
    Union,
    Verdict,
)
from meshregistry.spi import Condition, hookimpl

NODE = Node(id="edge")
PROXY = Proxy(node_id="edge", role=ProxyRole.ROUTER)
KEY = ServiceKey.parse("shop/web")
FIRST = MergePolicy(ports=Union.FIRST)


def plugin(hook, answer, *, name="Plugin", log=None, **options):
    """An object that implements one hook: it answers, or raises what is an exception."""

    def function(self):
        if log is not None:
            log.append(name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    function.__name__ = hook
    return type(name, (), {hook: hookimpl(**options)(function)})()


def load(*plugins, builtins=None):
    """These plugins, and the built-in ones."""
    return Plugins.load(
        builtins=builtin_plugins() if builtins is None else builtins,
        plugins=plugins,
        entry_points=False,
        environ={},
    )


IDENTIFY = "meshregistry_identify_proxy"
POLICY = "meshregistry_merge_policy"
ADMIT = "meshregistry_admit_proxy"
CHANGED = "meshregistry_source_changed"
REJECTED = "meshregistry_resources_rejected"


def test_the_first_answer_wins_and_ours_comes_last():
    """Plugins are asked in the order in which they are given, the default after them."""
    log = []
    one = plugin(IDENTIFY, None, name="One", log=log)
    two = plugin(IDENTIFY, PROXY, name="Two", log=log)
    three = plugin(IDENTIFY, None, name="Three", log=log)
    assert PROXY is load(one, two, three).identify(NODE)
    assert ["One", "Two"] == log
    assert Proxy.identify(NODE) == load(one).identify(NODE)


def test_a_plugin_may_ask_to_be_first_or_last():
    """The marks of pluggy come before the order of loading; a plugin's trylast before ours."""
    log = []
    last = plugin(POLICY, None, name="Last", log=log, trylast=True)
    middle = plugin(POLICY, None, name="Middle", log=log)
    first = plugin(POLICY, None, name="First", log=log, tryfirst=True)
    assert MergePolicy() == load(last, middle, first).merge_policy(KEY)
    assert ["First", "Middle", "Last"] == log


def test_a_hook_gets_what_it_asks_for():
    """Arguments are passed by keyword, and an implementation may take any of them."""
    seen = {}

    class Whole:
        @hookimpl
        def meshregistry_admit_proxy(self, peer, proxy):
            seen["whole"] = (proxy, peer)

    class Part:
        @hookimpl
        def meshregistry_resources_rejected(self, error):
            seen["part"] = error

    plugins = load(Whole(), Part())
    plugins.admit(PROXY, Peer(address="x"))
    plugins.resources_rejected(PROXY, "type", "1", "no such cluster")
    assert {"whole": (PROXY, Peer(address="x")), "part": "no such cluster"} == seen


def test_a_malformed_node_is_the_peers_fault_and_no_plugins():
    """RemoteAdsError goes through as it is, and is not counted against a plugin."""
    plugins = load()
    with pytest.raises(RemoteAdsError):
        plugins.identify(Node(id="a~b"))
    assert {} == plugins.fault_counts()


@pytest.mark.parametrize("answer", [KeyError("x"), "edge"])
def test_a_plugin_that_fails_to_identify_is_not_passed_over(caplog, answer):
    """Nobody else may take the client for somebody else: the error names the plugin."""
    plugins = load(plugin(IDENTIFY, answer))
    with pytest.raises(PluginError, match="the plugin 'Plugin'") as caught:
        plugins.identify(NODE)
    assert "Plugin" == caught.value.plugin
    assert {("Plugin", IDENTIFY): 1} == plugins.fault_counts()
    assert "failed" in caplog.text


def test_somebody_must_identify():
    """Without the built-in plugins an unknown node is an error and no guess."""
    with pytest.raises(PluginError, match="register the built-in plugins too"):
        load(builtins=()).identify(NODE)


@pytest.mark.parametrize("answer", [KeyError("x"), "first"])
def test_a_plugin_that_fails_to_give_a_policy_is_passed_over(caplog, answer):
    """A service does not vanish over a decision: the next one is asked, the fault counted."""
    plugins = load(plugin(POLICY, answer, name="Bad"), plugin(POLICY, FIRST, name="Good"))
    assert [FIRST, FIRST] == [plugins.merge_policy(KEY), plugins.merge_policy(KEY)]
    assert {("Bad", POLICY): 2} == plugins.fault_counts()
    assert 1 == len(caplog.records)


def test_without_an_answer_the_policy_is_that_of_the_contract():
    """Merging never waits for a plugin."""
    assert MergePolicy() == load(builtins=()).merge_policy(KEY)


def test_any_refusal_wins_and_everybody_is_asked():
    """An allowance does not outweigh a refusal, whatever the order."""
    log = []
    guards = [
        plugin(ADMIT, Verdict.allow(), name="Kind", log=log),
        plugin(ADMIT, Verdict.refuse("not on my watch"), name="Strict", log=log),
        plugin(ADMIT, None, name="Silent", log=log),
        plugin(ADMIT, Verdict.refuse(""), name="Terse", log=log),
    ]
    verdict = load(*guards).admit(PROXY, Peer())
    assert Verdict.refuse("not on my watch; the plugin 'Terse' refuses it") == verdict
    assert ["Kind", "Strict", "Silent", "Terse"] == log


def test_without_a_refusal_everybody_is_let_in():
    """Nobody who objects means that the proxy may come in."""
    assert Verdict.allow() == load().admit(PROXY, Peer())
    assert Verdict.allow() == load(plugin(ADMIT, Verdict.allow())).admit(PROXY, Peer())


@pytest.mark.parametrize("answer", [KeyError("x"), True])
def test_a_guard_that_fails_refuses_and_the_others_are_asked(caplog, answer):
    """An exception is a refusal, and so is nonsense (architecture, section 8)."""
    log = []
    bad = plugin(ADMIT, answer, name="Bad", log=log)
    good = plugin(ADMIT, Verdict.allow(), name="Good", log=log)
    plugins = load(bad, good)
    assert Verdict.refuse("the plugin 'Bad' failed to decide") == plugins.admit(PROXY, Peer())
    assert ["Bad", "Good"] == log
    assert {("Bad", ADMIT): 1} == plugins.fault_counts()
    assert "'Bad' failed" in caplog.text


@pytest.mark.parametrize(
    ("hook", "tell"),
    [
        (CHANGED, lambda p: p.source_changed(SourceId("a"), Condition.SYNCED, None)),
        (
            CHANGED,
            lambda p: p.source_changed(SourceId("a"), Condition.STALE, RegistryUnavailable("x")),
        ),
        (REJECTED, lambda p: p.resources_rejected(PROXY, "type", "1", "no")),
    ],
)
def test_one_bad_observer_does_not_silence_the_others(caplog, hook, tell):
    """Each plugin is told by itself; exceptions are logged with traceback, and counted."""
    log = []
    plugins = load(
        plugin(hook, "ignored", name="One", log=log),
        plugin(hook, ValueError("oops"), name="Bad", log=log),
        plugin(hook, None, name="Two", log=log),
    )
    tell(plugins)
    assert ["One", "Bad", "Two"] == log
    assert {("Bad", hook): 1} == plugins.fault_counts()
    assert "ValueError: oops" in caplog.text


def test_a_repeated_fault_is_logged_on_change(caplog):
    """The same kind of fault of one hook is logged once; every one is counted."""
    faults = [ValueError("a"), ValueError("b"), KeyError("c")]

    class Plugin:
        @hookimpl
        def meshregistry_source_changed(self):
            raise faults.pop(0)

    plugins = load(Plugin())
    for _ in range(3):
        plugins.source_changed(SourceId("a"), Condition.SYNCED, None)
    assert 2 == len(caplog.records)
    assert {("Plugin", CHANGED): 3} == plugins.fault_counts()


def test_leaving_is_no_fault_of_a_plugin():
    """What is not an Exception (an interrupt) goes through every call."""

    class Plugin:
        @hookimpl
        def meshregistry_source_changed(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(Plugin()).source_changed(SourceId("a"), Condition.SYNCED, None)
