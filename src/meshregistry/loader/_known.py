"""Kinds that the project knows of, whether or not their plugin is installed."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from meshregistry.errors import UnknownKindError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from meshregistry.documents import Position

EXTRAS: Mapping[str, str] = {
    "capi": "cloudfoundry",
    "cloudfoundry": "cloudfoundry",
    "consul": "consul",
    "etcd": "etcd",
    "eureka": "eureka",
    "gorouter": "cloudfoundry",
    "kubernetes": "kubernetes",
    "marathon": "mesos",
    "mesos": "mesos",
}
"""Registry kind to the extra that brings its plugin."""


def install_line(kind: str) -> str | None:
    """What to type to get a kind that we know of; None for any other."""
    extra = EXTRAS.get(kind)
    return None if extra is None else f"pip install 'meshregistry[{extra}]'"


def unknown_kind(
    kind: str,
    *,
    present: Collection[str],
    disabled: bool,
    place: Position | None,
    what: str = "registry kind",
) -> UnknownKindError:
    """The error for a kind that no loaded plugin provides, with the best remedy there is."""
    install = install_line(kind)
    if disabled:
        remedy = f"the plugin {kind!r} is disabled: take it out of MESHREGISTRY_DISABLE_PLUGINS"
    elif install is not None:
        remedy = f"type: {install}"
    else:
        remedy = _suggestion(kind, present)
    return UnknownKindError(
        f"no plugin provides the {what} {kind!r}",
        kind=kind,
        install=None if disabled else install,
        file=place.file if place else None,
        line=place.line if place else None,
        column=place.column if place else None,
        field=place.path if place else "",
        remedy=remedy,
    )


def _suggestion(kind: str, present: Collection[str]) -> str:
    close = get_close_matches(kind, sorted({*present, *EXTRAS}), n=1)
    if not close:
        names = ", ".join(sorted(present)) or "none"
        return f"use one of those present ({names}) or install a plugin that provides it"
    install = install_line(close[0])
    if close[0] in present or install is None:
        return f"did you mean {close[0]!r}?"
    return f"did you mean {close[0]!r}? it is not installed either; type: {install}"
