"""What plugins offer to those who ask for it: commands, and adapters of Mixer.

Both are asked for only by programs that use them, and a plugin that fails there keeps the rest
of what it registers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from attrs import field, frozen

from meshregistry.documents import check_class
from meshregistry.errors import PluginConflictError, PluginError, PluginLoadError
from meshregistry.loader._examination import ADAPTERS, COMMANDS, collected

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import click


class Adapter(Protocol):
    """What of an adapter matters here; its class lives above us (architecture, section 2)."""

    @property
    def name(self) -> str: ...

    @property
    def aliases(self) -> tuple[str, ...]: ...

    @property
    def config_class(self) -> type[Any]: ...


# Parameters that an adapter only hands on, as to another process, may be anything at all.
_PASSED_ON: Mapping[Any, Callable[[str], Any]] = {Any: str}

A = TypeVar("A", bound=Adapter)
T = TypeVar("T")


@frozen
class Owner:
    """A plugin that is asked.

    Attributes:
        title: its name, with the distribution where there is one.
        name: its name.
        plugin: the module or object.
    """

    title: str
    name: str
    plugin: object


@frozen
class Offers:
    """What was collected, and what was wrong with the rest, by the titles of plugins."""

    found: tuple[Any, ...]
    faults: dict[str, PluginError] = field(factory=dict)


def commands(owners: Sequence[Owner], *, taken: Collection[str]) -> Offers:
    """Commands by name, without those whose names are taken or claimed twice."""

    def checked(owner: Owner, items: Sequence[Any]) -> Sequence[Any]:
        # click is an extra, so its commands are known by what they can do
        good = [item for item in items if callable(item) and isinstance(_name_of(item), str)]
        if len(good) < len(items):
            msg = f"the hook {COMMANDS!r} of the plugin {owner.title} returned what is no command; return click commands with names"
            faults[owner.title] = PluginLoadError(msg, plugin=owner.name)
        return good

    def names(command: click.Command) -> tuple[str, ...]:
        return (command.name or "",)

    faults: dict[str, PluginError] = {}
    offered = _offered(owners, COMMANDS, checked, faults)
    for owner, command in offered:
        if command.name in taken:
            msg = f"the plugin {owner.title} adds the command {command.name!r}, which is ours; rename it"
            faults[owner.title] = PluginConflictError(msg, plugin=owner.title)
    free = [(owner, command) for owner, command in offered if command.name not in taken]
    return Offers(_uncontested("command", free, names, faults), faults)


def adapters(owners: Sequence[Owner], cls: type[A]) -> Offers:
    """Adapters by name, without those of a name or an alias that is claimed twice."""

    def checked(owner: Owner, items: Sequence[Any]) -> Sequence[A]:
        good = []
        for item in items:
            if not isinstance(item, cls):
                msg = f"the hook {ADAPTERS!r} of the plugin {owner.title} returned {item!r}; return a {cls.__name__}, several of them, or None"
            elif wrong := check_class(item.config_class, scalars=_PASSED_ON):
                msg = f"the config class of the Mixer adapter {item.name!r} of the plugin {owner.title} cannot be used: {'; '.join(wrong)}"
            else:
                good.append(item)
                continue
            faults[owner.title] = PluginLoadError(msg, plugin=owner.name)
        return good

    def names(adapter: A) -> tuple[str, ...]:
        return (adapter.name, *adapter.aliases)

    faults: dict[str, PluginError] = {}
    offered = _offered(owners, ADAPTERS, checked, faults)
    return Offers(_uncontested("Mixer adapter", offered, names, faults), faults)


def conflict(what: str, name: str, owners: Sequence[Owner]) -> PluginConflictError:
    """The error for a name that several plugins claim."""
    titles = " and ".join(one.title for one in owners)
    msg = (
        f"the {what} {name!r} is claimed by several plugins: {titles}; uninstall one, "
        "or name it in MESHREGISTRY_DISABLE_PLUGINS"
    )
    return PluginConflictError(msg, plugin=owners[0].name)


def _offered(
    owners: Iterable[Owner],
    hook: str,
    checked: Callable[[Owner, Sequence[Any]], Sequence[T]],
    faults: dict[str, PluginError],
) -> list[tuple[Owner, T]]:
    offered: list[tuple[Owner, T]] = []
    for owner in owners:
        try:
            items = collected(owner.name, owner.plugin, hook)
        except PluginLoadError as error:
            faults[owner.title] = error
            continue
        offered += [(owner, item) for item in checked(owner, items)]
    return offered


def _uncontested(
    what: str,
    offered: Iterable[tuple[Owner, T]],
    names: Callable[[T], tuple[str, ...]],
    faults: dict[str, PluginError],
) -> tuple[T, ...]:
    """By their first names; whatever has a name that is claimed twice is left out."""
    claims: dict[str, list[tuple[Owner, T]]] = {}
    for owner, item in offered:
        for name in names(item):
            claims.setdefault(name, []).append((owner, item))
    contested: set[int] = set()
    for name, listed in claims.items():
        if len(listed) > 1:
            error = conflict(what, name, [owner for owner, _ in listed])
            faults.update((owner.title, error) for owner, _ in listed)
            contested.update(id(item) for _, item in listed)
    found = {names(item)[0]: item for listed in claims.values() for _, item in listed[:1]}
    return tuple(item for _, item in sorted(found.items()) if id(item) not in contested)


def _name_of(command: object) -> object:
    return getattr(command, "name", None)
