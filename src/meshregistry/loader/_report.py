"""What `meshregistry plugins` shows of each plugin."""

from __future__ import annotations

import enum

from attrs import frozen


class PluginStatus(enum.Enum):
    """How far a plugin has come.

    FOUND: listed, not imported yet. LOADED: its hooks are in use. DISABLED: named in
    ``MESHREGISTRY_DISABLE_PLUGINS``, never imported. BROKEN: could not be imported or
    does not keep the contract; none of its hooks is in use.
    """

    FOUND = "found"
    LOADED = "loaded"
    DISABLED = "disabled"
    BROKEN = "broken"

    def __str__(self) -> str:
        return self.value


@frozen(kw_only=True)
class PluginReport:
    """One plugin, and what became of it.

    Attributes:
        name: of the entry point, or of the object that was given.
        status: how far it has come.
        distribution: what brings it, such as ``meshregistry-consul``, or ``meshregistry``
            itself; empty if it was given by the program.
        version: of that distribution.
        value: what the entry point names, such as ``meshregistry_consul:plugin``.
        requires: what the distribution asks of meshregistry, such as ``>=0.1,<0.2``.
        present: the version of meshregistry that is running.
        kinds: the registry kinds that it offers, sorted.
        hooks: the hooks that it implements, sorted.
        error: why it is broken, or which of its names another plugin claims; else empty.
        traceback: of the cause; empty if nothing was raised.
    """

    name: str
    status: PluginStatus
    distribution: str = ""
    version: str = ""
    value: str = ""
    requires: str = ""
    present: str = ""
    kinds: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    error: str = ""
    traceback: str = ""

    @property
    def loaded(self) -> bool:
        """Whether its hooks are in use."""
        return self.status is PluginStatus.LOADED
