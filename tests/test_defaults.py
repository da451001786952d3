"""The built-in plugins: kinds, identification, merge policy, admission."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshregistry.defaults import builtin_plugins
from meshregistry.loader import Plugins
from meshregistry.model import (
    MergePolicy,
    Node,
    Peer,
    Proxy,
    ProxyRole,
    ServiceKey,
    Union,
)
from meshregistry.registries import FileConfig, FileRegistry, Memories, MemoryConfig
from meshregistry.spi import hookimpl
from meshregistry.testing import context

SPIFFE = "spiffe://cluster.local/ns/shop/sa/web"


def load(*plugins, **words):
    """The built-in plugins, and these."""
    return Plugins.load(
        builtins=builtin_plugins(**words), plugins=plugins, entry_points=False, environ={}
    )


def proxy(namespace="shop"):
    """A proxy that claims this namespace."""
    return Proxy(node_id="edge", role=ProxyRole.SIDECAR, namespace=namespace)


def test_the_kinds_of_the_core_are_there():
    """`memory` and `file` need no plugin and have a summary (architecture, section 6)."""
    kinds = {kind.name: kind for kind in load().kinds()}
    assert {"file", "memory"} == set(kinds)
    assert all(kind.summary for kind in kinds.values())


def test_the_documents_of_a_file_source_can_be_checked(tmp_path):
    """`meshregistry check` learns every fault of the files that a source points to."""
    (tmp_path / "good.yaml").write_text("services: []\n", encoding="utf-8")
    (tmp_path / "bad.yaml").write_text("services: [{host: a b}]\n", encoding="utf-8")
    check = load().kind("file").check
    assert [] == list(check(FileConfig(path=Path("good.yaml")), tmp_path))
    faults = list(check(FileConfig(path=Path()), tmp_path))
    assert {str(tmp_path / "bad.yaml")} == {fault.file for fault in faults}


def test_file_opens_a_registry_of_the_source(tmp_path):
    """The kind `file` gives a registry that follows the path of its options."""
    registry = load().kind("file").open(FileConfig(path=tmp_path), context())
    assert isinstance(registry, FileRegistry)


def test_memory_opens_the_registry_of_the_source():
    """What the program writes to is what the source publishes."""
    memories = Memories()
    kind = load(memories=memories).kind("memory")
    opened = kind.open(MemoryConfig(), context(source_id="mine"))
    assert opened is memories.get("mine")


def test_two_pilots_have_memories_of_their_own():
    """Without a word every Pilot gets new memory registries."""
    first, second = (
        load().kind("memory").open(MemoryConfig(), context(source_id="mine")) for _ in range(2)
    )
    assert first is not second


def test_a_node_is_identified_as_the_model_says():
    """The default identification is Proxy.identify."""
    node = Node(id="sidecar~10.0.0.1~web-1~shop.svc", metadata={"NAMESPACE": "other"})
    assert Proxy.identify(node) == load().identify(node)


def test_the_policy_is_that_of_the_settings():
    """What the settings answer for a service is the default for it."""
    answers = {ServiceKey.parse("shop/web"): MergePolicy(labels=Union.UNITE)}
    plugins = load(merge_policy=answers.__getitem__)
    assert MergePolicy(labels=Union.UNITE) == plugins.merge_policy(ServiceKey.parse("shop/web"))
    assert MergePolicy() == load().merge_policy(ServiceKey.parse("shop/web"))


def test_any_plugin_decides_before_the_defaults():
    """Even a plugin that wants to be last comes before the built-in decisions."""
    policy = MergePolicy(endpoints=Union.FIRST)

    class Mine:
        @hookimpl(trylast=True)
        def meshregistry_merge_policy(self):
            return policy

    assert policy == load(Mine()).merge_policy(ServiceKey.parse("shop/web"))


@pytest.mark.parametrize(
    "identities",
    [
        (),
        ("web.shop.example.com",),
        (SPIFFE,),
        ("SPIFFE://Cluster.Local/ns/shop/sa/web",),
        ("web.shop.example.com", SPIFFE),
        ("spiffe://other.domain/ns/shop/sa/db",),
    ],
)
def test_a_proxy_whose_identity_fits_is_admitted(identities):
    """The namespace of the SPIFFE id is what the node claims, or there is no such id."""
    assert load().admit(proxy(), Peer(identities=identities)).is_allowed


@pytest.mark.parametrize(
    ("identities", "reason"),
    [
        (("spiffe://cluster.local/ns/bank/sa/web",), "its certificate is for 'bank'"),
        (("spiffe://cluster.local/ns/Shop/sa/web",), "its certificate is for 'Shop'"),
        ((SPIFFE, "spiffe://cluster.local/ns/bank/sa/web"), "its certificate is for 'bank'"),
        (("spiffe://cluster.local/shop/web",), "names no namespace"),
        (("spiffe://cluster.local/ns/shop/sa/web/extra",), "names no namespace"),
        (("spiffe://cluster.local/NS/shop/sa/web",), "names no namespace"),
        (("spiffe://cluster.local/ns//sa/web",), "names no namespace"),
        (("spiffe://cluster.local",), "names no namespace"),
    ],
)
def test_a_proxy_that_claims_a_foreign_namespace_is_refused(identities, reason):
    """A claim that the verified identity does not bear out is refused (contracts, section 6)."""
    verdict = load().admit(proxy(), Peer(identities=identities))
    assert not verdict.is_allowed
    assert reason in verdict.reason
    assert "'shop'" in verdict.reason


def test_a_proxy_that_claims_no_namespace_is_not_judged():
    """A stock Envoy with any id claims nothing, so its identity contradicts nothing."""
    assert load().admit(proxy(namespace=""), Peer(identities=(SPIFFE,))).is_allowed
