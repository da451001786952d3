"""Examine one plugin by itself, so that a bad one can do no harm to the others."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy
from attrs import frozen

from meshregistry.cancelling import FROM_OUTSIDE
from meshregistry.documents import check_class
from meshregistry.errors import PluginLoadError
from meshregistry.spi import (
    CORE_KEYS,
    PROJECT,
    RULE_KEYS,
    RecordTransform,
    RegistryKind,
    ResourceGenerator,
    ResourcePatch,
    RuleSourceKind,
    hookspecs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

K = TypeVar("K")

REGISTRIES = "meshregistry_register_registries"
RULE_SOURCES = "meshregistry_register_rule_sources"
TRANSFORMS = "meshregistry_register_transforms"
GENERATORS = "meshregistry_register_generators"
PATCHES = "meshregistry_register_patches"
COMMANDS = "meshregistry_register_commands"
ADAPTERS = "meshregistry_register_mixer_adapters"


@frozen(kw_only=True)
class Examined:
    """A plugin that keeps the contract.

    Attributes:
        plugin: the module or object.
        kinds: the registry kinds that it registers.
        rule_kinds: the kinds of rule sources that it registers.
        transforms: of records, that it registers.
        generators: of resources, that it registers.
        patches: of resources, that it registers.
        hooks: names of the hooks that it implements, sorted.
    """

    plugin: object
    kinds: tuple[RegistryKind, ...]
    rule_kinds: tuple[RuleSourceKind, ...]
    transforms: tuple[RecordTransform, ...]
    generators: tuple[ResourceGenerator, ...]
    patches: tuple[ResourcePatch, ...]
    hooks: tuple[str, ...]


def new_manager() -> pluggy.PluginManager:
    """A manager that knows our hooks and no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def examine(name: str, plugin: object, claimed: list[str]) -> Examined:
    """Check hooks, ask for registry kinds, check those.

    Args:
        name: for messages.
        plugin: a module or an object with functions marked `hookimpl`.
        claimed: filled with the names of kinds as soon as they are known, so that they
            can be told from unknown ones even if the plugin turns out to be broken.

    Raises:
        PluginLoadError: if the plugin breaks the contract anywhere; the cause is chained.
    """
    hooks = _checked_hooks(name, plugin)
    kinds = _registered(name, plugin, REGISTRIES, RegistryKind) if REGISTRIES in hooks else ()
    claimed.extend(kind.name for kind in kinds)
    rule_kinds = (
        _registered(name, plugin, RULE_SOURCES, RuleSourceKind) if RULE_SOURCES in hooks else ()
    )
    transforms = (
        _registered(name, plugin, TRANSFORMS, RecordTransform) if TRANSFORMS in hooks else ()
    )
    generators = (
        _registered(name, plugin, GENERATORS, ResourceGenerator) if GENERATORS in hooks else ()
    )
    patches = _registered(name, plugin, PATCHES, ResourcePatch) if PATCHES in hooks else ()
    _check_kinds(name, kinds, "registry kind", CORE_KEYS)
    _check_kinds(name, rule_kinds, "kind of rule source", RULE_KEYS)
    _check_names(name, [one.name for one in transforms], "record transform")
    _check_names(name, [one.name for one in generators], "resource generator")
    _check_names(name, [one.name for one in patches], "resource patch")
    return Examined(
        plugin=plugin,
        kinds=kinds,
        rule_kinds=rule_kinds,
        transforms=transforms,
        generators=generators,
        patches=patches,
        hooks=hooks,
    )


def _check_kinds(
    name: str,
    kinds: Sequence[RegistryKind] | Sequence[RuleSourceKind],
    what: str,
    reserved: Sequence[str],
) -> None:
    for kind in kinds:
        faults = check_class(kind.config_class, reserved=reserved)
        if faults:
            msg = f"the config class of the {what} {kind.name!r} of the plugin {name!r} cannot be used: {'; '.join(faults)}"
            raise PluginLoadError(msg, plugin=name)
    _check_names(name, [kind.name for kind in kinds], what)


def _check_names(name: str, names: Sequence[str], what: str) -> None:
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        msg = f"the plugin {name!r} registers the {what} {twice[0]!r} twice; give each its own name"
        raise PluginLoadError(msg, plugin=name)


def _checked_hooks(name: str, plugin: object) -> tuple[str, ...]:
    if inspect.isclass(plugin):
        msg = (
            f"the plugin {name!r} is the class {plugin.__qualname__}; name a module or an instance"
        )
        raise PluginLoadError(msg, plugin=name)
    trial = new_manager()
    try:
        hash(plugin)
        trial.register(plugin, name)
    except Exception as error:
        # pluggy's text has one line for the plugin, one for the function, and the reason last
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        msg = f"the plugin {name!r} does not fit the hooks: {reason[0]}; compare with docs/reference/hooks.md"
        raise PluginLoadError(msg, plugin=name) from error
    callers = trial.get_hookcallers(plugin) or []
    if not callers:
        msg = f"the plugin {name!r} ({type(plugin).__name__}) has no function marked with spi.hookimpl; name a module or an object that has"
        raise PluginLoadError(msg, plugin=name)
    try:
        trial.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginLoadError(_misspelt(name, callers), plugin=name) from error
    known = [caller for caller in callers if caller.has_spec()]
    for caller in known:
        _check_style(name, caller)
    return tuple(sorted(caller.name for caller in known))


def _misspelt(name: str, callers: Iterable[pluggy.HookCaller]) -> str:
    real = [hook for hook in vars(hookspecs) if hook.startswith(f"{PROJECT}_")]
    wrong = next(
        caller.name
        for caller in callers
        if not caller.has_spec() and not all(one.optionalhook for one in caller.get_hookimpls())
    )
    close = get_close_matches(wrong, real, n=1)
    remedy = (
        f"did you mean {close[0]!r}?"
        if close
        else "mark a hook of a newer version with hookimpl(optionalhook=True)"
    )
    return f"the plugin {name!r} implements the hook {wrong!r}, which does not exist; {remedy}"


def _check_style(name: str, caller: pluggy.HookCaller) -> None:
    for one in caller.get_hookimpls():
        if one.wrapper or one.hookwrapper:
            msg = f"the plugin {name!r} wraps the hook {caller.name!r}; answer it instead, wrappers are not called"
            raise PluginLoadError(msg, plugin=name)
        if inspect.iscoroutinefunction(one.function) or inspect.isgeneratorfunction(one.function):
            msg = f"the hook {caller.name!r} of the plugin {name!r} is not an ordinary function; hooks are synchronous, await in the objects that they return"
            raise PluginLoadError(msg, plugin=name)


def _registered(name: str, plugin: object, hook: str, cls: type[K]) -> tuple[K, ...]:
    items = collected(name, plugin, hook)
    for item in items:
        if not isinstance(item, cls):
            msg = f"the hook {hook!r} of the plugin {name!r} returned {item!r}; return a {cls.__name__}, several of them, or None"
            raise PluginLoadError(msg, plugin=name)
    return tuple(items)


def collected(name: str, plugin: object, hook: str) -> Sequence[Any]:
    """Everything that one plugin registers by one hook: one object, an iterable, or None.

    Raises:
        PluginLoadError: if the plugin raises; chained.
    """
    alone = new_manager()
    alone.register(plugin, name)
    try:
        items: list[Any] = []
        for result in getattr(alone.hook, hook)():
            # a text is iterable too, and never what was meant: it is refused as it stands
            several = isinstance(result, Iterable) and not isinstance(result, str | bytes)
            items.extend(result if several else [result])
    except FROM_OUTSIDE:
        raise
    except BaseException as error:  # foreign code: told of by its name
        msg = f"the hook {hook!r} of the plugin {name!r} failed: {type(error).__name__}: {error}"
        raise PluginLoadError(msg, plugin=name) from error
    return items
