"""The built-in plugins: memory and file, who a proxy is, how to merge, whom to admit, Mixer.

They use the same hooks as everybody else's; the decisions come last, so that any plugin
can decide before them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.model import MergePolicy, Proxy, ServiceKey, Verdict
from meshregistry.registries import (
    FileConfig,
    FileRegistry,
    GroupBook,
    Memories,
    MemoryConfig,
    RuleFiles,
    RuleFileWriter,
    document_faults,
)
from meshregistry.spi import RegistryKind, RuleSourceKind, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from meshregistry.errors import ConfigError
    from meshregistry.mixer.spi import MixerAdapter
    from meshregistry.model import Node, Peer

# The form that Istio gives to SPIFFE ids; scheme and trust domain know no case (SPIFFE-ID, sections 2.1 and 2.2).
_SPIFFE = re.compile(r"(?i:spiffe)://([^/]+)/ns/([^/]+)/sa/([^/]+)")


def builtin_plugins(
    *,
    memories: Memories | None = None,
    groups: GroupBook | None = None,
    merge_policy: Callable[[ServiceKey], MergePolicy] | None = None,
) -> tuple[tuple[str, object], ...]:
    """Our own plugins for one Pilot, by name, as `loader.Plugins.load` takes them.

    Args:
        memories: the memory registries of this Pilot; default: new ones.
        groups: is told of the groups that file sources describe.
        merge_policy: answers for the settings; default: the policy of the contract for all.
    """
    return (
        ("memory", MemoryPlugin(memories or Memories())),
        ("file", FilePlugin(groups or GroupBook())),
        ("identify", IdentifyPlugin()),
        ("merge", MergePlugin(merge_policy or _as_contracted)),
        ("admit", AdmitPlugin()),
        ("mixer", MixerPlugin()),
    )


@frozen(eq=False)
class MemoryPlugin:
    """Registers the kind ``memory``."""

    memories: Memories = field(factory=Memories)

    @hookimpl
    def meshregistry_register_registries(self) -> RegistryKind:
        """Offer ``memory``."""
        return RegistryKind(
            name="memory",
            config_class=MemoryConfig,
            open=self.memories.open,
            registrar=self.memories.registrar,
            summary="records set from Python code",
            is_guarded=False,
        )


@frozen(eq=False)
class FilePlugin:
    """Registers the kind ``file``, for services and for routing documents."""

    groups: GroupBook = field(factory=GroupBook)

    @hookimpl
    def meshregistry_register_registries(self) -> RegistryKind:
        """Offer ``file``."""
        return RegistryKind(
            name="file",
            config_class=FileConfig,
            open=partial(FileRegistry, book=self.groups),
            summary="watched YAML or JSON documents",
            check=_file_faults,
            is_guarded=False,
        )

    @hookimpl
    def meshregistry_register_rule_sources(self) -> RuleSourceKind:
        """Offer ``file`` for routing documents, too."""
        return RuleSourceKind(
            name="file",
            config_class=FileConfig,
            open=RuleFiles,
            summary="watched YAML or JSON documents",
            writer=RuleFileWriter,
        )


@frozen(eq=False)
class IdentifyPlugin:
    """Reads node ids and metadata the way Istio's proxies write them."""

    @hookimpl(trylast=True)
    def meshregistry_identify_proxy(self, node: Node) -> Proxy:
        """Answer for every node."""
        return Proxy.identify(node)


@frozen(eq=False)
class MergePlugin:
    """Gives every service the policy of the settings."""

    policy: Callable[[ServiceKey], MergePolicy]

    @hookimpl(trylast=True)
    def meshregistry_merge_policy(self, key: ServiceKey) -> MergePolicy:
        """Answer for every service."""
        return self.policy(key)


@frozen(eq=False)
class AdmitPlugin:
    """Compares the verified SPIFFE identity of a peer with what its node claims."""

    @hookimpl
    def meshregistry_admit_proxy(self, proxy: Proxy, peer: Peer) -> Verdict | None:
        """Refuse a proxy that claims a namespace which its certificate does not give it.

        A peer without a SPIFFE identity is not judged here, nor is a proxy that claims no
        namespace: whether clients need certificates is up to the listener's settings.
        """
        if not proxy.namespace:
            return None
        for identity in peer.identities:
            if not identity.lower().startswith("spiffe://"):
                continue
            match = _SPIFFE.fullmatch(identity)
            if match is None:
                return Verdict.refuse(
                    f"the identity {identity} names no namespace, and the node claims "
                    f"{proxy.namespace!r}; use spiffe://<trust domain>/ns/<namespace>/sa/<account>"
                )
            if match[2] != proxy.namespace:
                return Verdict.refuse(
                    f"the node claims the namespace {proxy.namespace!r}, its certificate is for "
                    f"{match[2]!r} ({identity}); give it a certificate of its namespace"
                )
        return None


@frozen(eq=False)
class MixerPlugin:
    """Registers our adapters of Mixer."""

    @hookimpl
    def meshregistry_register_mixer_adapters(self) -> Iterable[MixerAdapter]:
        """Offer all of them; they are imported only for those who ask."""
        found: tuple[MixerAdapter, ...] = import_module("meshregistry.mixer.adapters").ADAPTERS
        return found


def _as_contracted(_key: ServiceKey) -> MergePolicy:
    return MergePolicy()


def _file_faults(config: FileConfig, base_path: Path) -> Iterable[ConfigError]:
    return document_faults(base_path / config.path)
