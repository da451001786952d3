"""Every hook of meshregistry: this file is the manual.

A plugin is a distribution with an entry point in the group ``meshregistry`` that names a
module (or object) with functions marked `hookimpl`. All hooks are synchronous, are called
with keyword arguments, and may take fewer arguments than declared. They do no I/O: work
starts in the objects that they return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from meshregistry.errors import RegistryError
    from meshregistry.mixer.spi import MixerAdapter
    from meshregistry.model import (
        MergePolicy,
        Node,
        Peer,
        Proxy,
        RecordTransform,
        ResourceGenerator,
        ResourcePatch,
        ServiceKey,
        SourceId,
        Verdict,
    )
    from meshregistry.spi._registry import Condition, RegistryKind
    from meshregistry.spi._rules import RuleSourceKind

PROJECT = "meshregistry"
"""The name of the entry-point group and of pluggy's project."""

VERSION = (1, 0)
"""Version of the contract between core and plugins: (breaking, additive)."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


# --- Registration: once, while a Pilot is built. All results are collected. -----------


@hookspec
def meshregistry_register_registries() -> RegistryKind | Iterable[RegistryKind] | None:
    """Offer registry kinds.

    Called once for each Pilot. Two plugins that claim one name are a conflict, which is
    fatal only if the settings use that name.
    """


@hookspec
def meshregistry_register_rule_sources() -> RuleSourceKind | Iterable[RuleSourceKind] | None:
    """Offer kinds of rule sources, which bring routing documents.

    Called once for each Pilot. Names are told apart from those of registry kinds; two
    plugins that claim one name are a conflict, which is fatal only if the settings use it.
    """


@hookspec
def meshregistry_register_transforms() -> RecordTransform | Iterable[RecordTransform] | None:
    """Offer changes to the records of sources, before they are merged.

    Called once for each Pilot. They run on the event loop, for each record that has changed;
    one that raises leaves the last good version of the record in force, and is reported.
    """


@hookspec
def meshregistry_register_generators() -> ResourceGenerator | Iterable[ResourceGenerator] | None:
    """Offer generators of further resources for proxies.

    Called once for each Pilot. They run after ours, on the event loop; one that raises
    gives nothing, and is reported.
    """


@hookspec
def meshregistry_register_patches() -> ResourcePatch | Iterable[ResourcePatch] | None:
    """Offer last changes to the resources that proxies are sent.

    Called once for each Pilot. They run on the event loop, once for all proxies that do not
    differ in what they read; one that raises leaves the resource as it was, or takes it away
    if it says that it is required, and is reported.
    """


@hookspec
def meshregistry_register_commands() -> click.Command | Iterable[click.Command] | None:
    """Add commands to the command line.

    Called when the command line starts. A name of ours cannot be taken.
    """


@hookspec
def meshregistry_register_mixer_adapters() -> MixerAdapter | Iterable[MixerAdapter] | None:
    """Offer adapters of Mixer: what its handlers can be.

    Called when a Mixer server starts, and by commands that look at its configuration. The
    value is `meshregistry.mixer.spi.MixerAdapter`. Two plugins that claim one name or alias
    are a conflict: neither of the two can be used.
    """


# --- Decision: the first answer that is not None wins; ours comes last. ---------------


@hookspec(firstresult=True)
def meshregistry_identify_proxy(node: Node) -> Proxy | None:
    """Say who an xDS client is.

    Called with the node of a stream's first request. The default reads the node id
    ``role~address~id~domain``, else the metadata. Pure and quick.
    """


@hookspec(firstresult=True)
def meshregistry_merge_policy(key: ServiceKey) -> MergePolicy | None:
    """Say how the records of one service are merged.

    Called when a service is merged. The default is the policy of the settings, which a
    reload may change. Pure and quick: a plugin's own answer for one key must not change
    while a Pilot runs.
    """


# --- Guard: everybody is asked; any refusal wins; an exception is a refusal. ----------


@hookspec
def meshregistry_admit_proxy(proxy: Proxy, peer: Peer) -> Verdict | None:
    """Let a proxy in, or not.

    Called after identification, before the first answer. A refusal closes the stream with
    PermissionDenied. The built-in check compares a verified SPIFFE identity with what the
    node claims.
    """


# --- Observation: results are ignored; must not block; exceptions are logged. ---------


@hookspec
def meshregistry_source_changed(
    source: SourceId, condition: Condition, error: RegistryError | None
) -> None:
    """Learn that a source's condition has changed."""


@hookspec
def meshregistry_resources_rejected(proxy: Proxy, type_url: str, version: str, error: str) -> None:
    """Learn that a proxy has refused resources (a NACK), and what it says of them."""
