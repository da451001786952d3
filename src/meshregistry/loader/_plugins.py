"""All plugins of one Pilot: what they register, what became of them, calls to their hooks."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Self, TypeVar

from attrs import evolve, frozen

from meshregistry.cancelling import FROM_OUTSIDE
from meshregistry.errors import PluginError, PluginLoadError
from meshregistry.loader._calls import HookCalls
from meshregistry.loader._discovery import (
    Candidate,
    disabled_names,
    find_candidates,
    running_version,
)
from meshregistry.loader._examination import ADAPTERS, COMMANDS, Examined, examine, new_manager
from meshregistry.loader._known import unknown_kind
from meshregistry.loader._offers import Adapter, Owner, adapters, commands, conflict
from meshregistry.loader._report import PluginReport, PluginStatus
from meshregistry.spi import (
    PROJECT,
    RecordTransform,
    RegistryKind,
    ResourceGenerator,
    ResourcePatch,
    RuleSourceKind,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import click

    from meshregistry.documents import Position
    from meshregistry.errors import RegistryError
    from meshregistry.model import MergePolicy, Node, Peer, Proxy, ServiceKey, SourceId, Verdict
    from meshregistry.spi import Condition

K = TypeVar("K")
A = TypeVar("A", bound=Adapter)


@frozen(kw_only=True)
class _Loaded:
    """A plugin with its fate.

    Attributes:
        report: what is shown of it.
        plugin: the module or object; None unless it is loaded.
        kinds: the registry kinds that it registers.
        rule_kinds: the kinds of rule sources that it registers.
        transforms: of records, that it registers.
        generators: of resources, that it registers.
        patches: of resources, that it registers.
        fault: why it is broken, if it is.
        claimed: names of the kinds that it offered before the fault was found.
    """

    report: PluginReport
    plugin: object = None
    kinds: tuple[RegistryKind, ...] = ()
    rule_kinds: tuple[RuleSourceKind, ...] = ()
    transforms: tuple[RecordTransform, ...] = ()
    generators: tuple[ResourceGenerator, ...] = ()
    patches: tuple[ResourcePatch, ...] = ()
    fault: PluginLoadError | None = None
    claimed: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name, with the distribution where there is one."""
        brought = self.report.distribution
        return f"{self.report.name} ({brought})" if brought else self.report.name


class Plugins:
    """The plugins of one Pilot; make it with `load`.

    Where the first answer counts, the order is: `plugins` as given, entry points by name,
    built-ins; pluggy's ``tryfirst`` and ``trylast`` count before that.
    """

    def __init__(self, loaded: Sequence[_Loaded], logger: logging.Logger) -> None:
        self._loaded = tuple(loaded)
        self._faults: dict[str, Mapping[str, PluginError]] = {}
        good: dict[int, _Loaded] = {}
        for one in self._loaded:
            if one.report.loaded:
                # two entry points may name one object: it is one plugin
                good.setdefault(id(one.plugin), one)
        self._good = tuple(good.values())
        self._claims: dict[str, list[tuple[_Loaded, RegistryKind]]] = {}
        self._rule_claims: dict[str, list[tuple[_Loaded, RuleSourceKind]]] = {}
        for one in self._good:
            for kind in one.kinds:
                self._claims.setdefault(kind.name, []).append((one, kind))
            for rule_kind in one.rule_kinds:
                self._rule_claims.setdefault(rule_kind.name, []).append((one, rule_kind))
        manager = new_manager()
        for place, one in enumerate(self._good):
            manager.register(one.plugin, str(place))
        names = [one.report.name for one in self._good]
        self._calls = HookCalls(manager, names, logger)

    @classmethod
    def load(
        cls,
        *,
        builtins: Sequence[tuple[str, object]],
        plugins: Sequence[object] = (),
        entry_points: bool = True,
        environ: Mapping[str, str],
        logger: logging.Logger | None = None,
    ) -> Self:
        """Load everything, each plugin in isolation.

        A broken entry point is kept for the report, and is fatal only when something asks
        for a kind of its name. What the program passes itself must be right.

        Args:
            builtins: our own plugins, by name.
            plugins: modules or objects of an embedding program.
            entry_points: whether to look for installed plugins.
            environ: read for ``MESHREGISTRY_DISABLE_PLUGINS``, which blocks installed
                plugins by their names or their distributions' names.
            logger: for faults of plugins; default: ``meshregistry.loader``.

        Raises:
            PluginLoadError: if one of `builtins` or `plugins` is broken.
        """
        logger = logger or logging.getLogger("meshregistry.loader")
        loaded = [_given(_name_of(plugin), plugin) for plugin in plugins]
        if entry_points:
            candidates = find_candidates(environ)
            present = {
                name for one in candidates for name in (one.report.name, one.report.distribution)
            }
            for name in sorted(disabled_names(environ) - present):
                logger.warning("no installed plugin has the name %r, which is disabled", name)
            loaded += [_isolated(candidate) for candidate in candidates]
        loaded += [_given(name, plugin, distribution=PROJECT) for name, plugin in builtins]
        return cls(loaded, logger)

    def kind(self, name: str, *, place: Position | None = None) -> RegistryKind:
        """The registry kind of this name.

        Args:
            name: what the user wrote after ``kind:``.
            place: where the user wrote it, for the error.

        Raises:
            UnknownKindError: if no plugin provides it; with what to type, if we know.
            PluginLoadError: if the plugin that would provide it is broken; chained.
            PluginConflictError: if several plugins claim it.
        """
        return self._claimed("registry kind", name, self._claims, place)

    def rule_kind(self, name: str, *, place: Position | None = None) -> RuleSourceKind:
        """The kind of rule source of this name; arguments and errors as for `kind`."""
        return self._claimed("kind of rule source", name, self._rule_claims, place)

    def _claimed(
        self,
        what: str,
        name: str,
        claimed: Mapping[str, list[tuple[_Loaded, K]]],
        place: Position | None,
    ) -> K:
        claims = claimed.get(name, [])
        if len(claims) > 1:
            raise conflict(what, name, [_owner(one) for one, _ in claims])
        if claims:
            return claims[0][1]
        for broken in self._loaded:
            if broken.fault is not None and name in (broken.report.name, *broken.claimed):
                cause = broken.fault.__cause__
                raise PluginLoadError(str(broken.fault), plugin=broken.report.name) from cause
        raise unknown_kind(
            name,
            present=claimed.keys(),
            disabled=any(
                one.report.status is PluginStatus.DISABLED and one.report.name == name
                for one in self._loaded
            ),
            place=place,
            what=what,
        )

    def kinds(self) -> tuple[RegistryKind, ...]:
        """Every registry kind that can be used, by name; contested ones are left out."""
        return tuple(claims[0][1] for _, claims in sorted(self._claims.items()) if len(claims) == 1)

    def transforms(self) -> tuple[RecordTransform, ...]:
        """The transforms of all plugins, named ``plugin/transform``."""
        return tuple(
            evolve(transform, name=f"{one.report.name}/{transform.name}")
            for one in self._good
            for transform in one.transforms
        )

    def generators(self) -> tuple[ResourceGenerator, ...]:
        """The generators of all plugins, named ``plugin/generator``."""
        return tuple(
            evolve(generator, name=f"{one.report.name}/{generator.name}")
            for one in self._good
            for generator in one.generators
        )

    def patches(self) -> tuple[ResourcePatch, ...]:
        """The patches of all plugins, named ``plugin/patch``."""
        return tuple(
            evolve(patch, name=f"{one.report.name}/{patch.name}")
            for one in self._good
            for patch in one.patches
        )

    def commands(self, *, taken: Collection[str] = ()) -> tuple[click.Command, ...]:
        """Commands that plugins add, by name.

        A plugin that fails here, a name that is taken and a name that two plugins claim
        are left out and reported.

        Args:
            taken: names of our own commands.
        """
        offers = commands(self._owners(COMMANDS), taken=taken)
        self._faults["commands"] = offers.faults
        return offers.found

    def mixer_adapters(self, cls: type[A]) -> tuple[A, ...]:
        """What handlers of Mixer can be, by name.

        A plugin that fails here, and a name that two plugins claim, are left out and reported.

        Args:
            cls: `meshregistry.mixer.spi.MixerAdapter`, which is above the loader.
        """
        offers = adapters(self._owners(ADAPTERS), cls)
        self._faults["adapters"] = offers.faults
        return offers.found

    def _owners(self, hook: str) -> list[Owner]:
        return [_owner(one) for one in self._good if hook in one.report.hooks]

    def reports(self) -> tuple[PluginReport, ...]:
        """What became of each plugin, in order of precedence."""
        return tuple(self._report(one) for one in self._loaded)

    def _report(self, one: _Loaded) -> PluginReport:
        faults: list[PluginError] = []
        for name in one.report.kinds:
            claims = self._claims[name]
            if len(claims) > 1:
                faults.append(
                    conflict("registry kind", name, [_owner(owner) for owner, _ in claims])
                )
        faults += [found[one.title] for found in self._faults.values() if one.title in found]
        if not faults:
            return one.report
        return evolve(
            one.report,
            error="\n".join(str(fault) for fault in faults),
            traceback="".join(_traceback(fault) for fault in faults if fault.__cause__),
        )

    def fault_counts(self) -> Mapping[tuple[str, str], int]:
        """How often each (plugin, hook) has failed while being called."""
        return dict(self._calls.faults)

    def identify(self, node: Node) -> Proxy:
        """Who a client is: the first answer wins.

        Raises:
            RemoteAdsError: if the node's claims are malformed.
            PluginError: if a plugin fails, answers nonsense, or nobody answers.
        """
        return self._calls.identify(node)

    def merge_policy(self, key: ServiceKey) -> MergePolicy:
        """How to merge one service: the first answer wins; one that fails is passed over."""
        return self._calls.merge_policy(key)

    def admit(self, proxy: Proxy, peer: Peer) -> Verdict:
        """Whether a proxy may come in: everybody is asked, any refusal or failure refuses."""
        return self._calls.admit(proxy, peer)

    def source_changed(
        self, source: SourceId, condition: Condition, error: RegistryError | None
    ) -> None:
        """Tell every plugin that a source's condition has changed; never raises."""
        self._calls.source_changed(source, condition, error)

    def resources_rejected(self, proxy: Proxy, type_url: str, version: str, error: str) -> None:
        """Tell every plugin that a proxy has refused resources; never raises."""
        self._calls.resources_rejected(proxy, type_url, version, error)


def _given(name: str, plugin: object, *, distribution: str = "") -> _Loaded:
    present = running_version()
    report = PluginReport(
        name=name,
        status=PluginStatus.FOUND,
        distribution=distribution,
        version=present if distribution else "",
        present=present,
    )
    return _good(report, examine(name, plugin, []))


def _isolated(candidate: Candidate) -> _Loaded:
    report = candidate.report
    if report.status is PluginStatus.DISABLED:
        return _Loaded(report=report)
    claimed: list[str] = []
    try:
        return _good(report, examine(report.name, _imported(candidate), claimed))
    except PluginLoadError as fault:
        broken = evolve(
            report, status=PluginStatus.BROKEN, error=str(fault), traceback=_traceback(fault)
        )
        return _Loaded(report=broken, fault=fault, claimed=tuple(claimed))


def _imported(candidate: Candidate) -> object:
    report = candidate.report
    try:
        return candidate.load()
    except FROM_OUTSIDE:
        raise
    except BaseException as error:  # foreign code: told of by its name
        wants = f" (it wants meshregistry {report.requires}, this is {report.present})"
        msg = (
            f"the plugin {report.name!r} cannot be imported from {report.value}: "
            f"{type(error).__name__}: {error}{wants if report.requires else ''}; "
            f"update, uninstall or disable it"
        )
        raise PluginLoadError(msg, plugin=report.name) from error


def _good(report: PluginReport, examined: Examined) -> _Loaded:
    kinds = tuple(sorted(kind.name for kind in examined.kinds))
    loaded = evolve(report, status=PluginStatus.LOADED, kinds=kinds, hooks=examined.hooks)
    return _Loaded(
        report=loaded,
        plugin=examined.plugin,
        kinds=examined.kinds,
        rule_kinds=examined.rule_kinds,
        transforms=examined.transforms,
        generators=examined.generators,
        patches=examined.patches,
    )


def _owner(one: _Loaded) -> Owner:
    return Owner(one.title, one.report.name, one.plugin)


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _name_of(plugin: object) -> str:
    name = getattr(plugin, "__name__", None)
    return name if isinstance(name, str) else type(plugin).__name__
