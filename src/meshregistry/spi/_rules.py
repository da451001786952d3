"""What a rule source implements: routing documents instead of services, by the same contract.

A rule source hands over whatever a place of its backend holds (a file, a key, an object) as
a `RuleUnit`; the core understands the documents, keeps the last good version of each, and
tells what is wrong. The life of an attempt is that of a registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen
from attrs.validators import instance_of, is_callable, matches_re, optional

from meshregistry.errors import ConfigError
from meshregistry.spi._registry import RegistryContext
from meshregistry.spi._writing import RuleWriter

if TYPE_CHECKING:
    from meshregistry.documents import RuleUnit
    from meshregistry.errors import RegistryError


class RuleSink(Protocol):
    """Where a rule source publishes. Every method may be called from any thread.

    A sink belongs to one call of `RuleSource.run`; once that has ended, every method does
    nothing. The first data call of a run is `replace`; earlier `put` and `remove` are held
    and applied on top of it.
    """

    def replace(self, units: Iterable[RuleUnit]) -> None:
        """Publish all places; what is not among them is gone. An iterable that raises changes
        nothing.
        """

    def put(self, unit: RuleUnit) -> None:
        """Publish one whole place."""

    def remove(self, name: str) -> None:
        """Publish that a place is really gone; an unknown name is no error."""

    def confirm(self) -> None:
        """Say that the backend was asked and nothing has changed."""

    def degrade(self, error: RegistryError) -> None:
        """Report a fault and keep the documents; they are STALE until `replace` or `confirm`."""


class RuleSource(Protocol):
    """One attempt to follow a backend."""

    async def run(self, sink: RuleSink) -> None:
        """Publish until cancelled. Returning is a fault; raising leads to a restart.

        Raises:
            RegistryError: of the kind that says how to retry.
        """


@frozen
class RuleName:
    """A kind of document that the core understands.

    Attributes:
        group: API group.
        kind: such as ``VirtualService``.
        versions: that are read, the preferred one first.
    """

    group: str
    kind: str
    versions: tuple[str, ...]


class RuleContext(RegistryContext, Protocol):
    """What the core gives a rule source: all that a registry is given, and what it reads."""

    @property
    def rule_names(self) -> tuple[RuleName, ...]:
        """Every kind of document that is understood."""

    @property
    def registry_config(self) -> Any:
        """The configuration of the source that it shares; None if its kind shares none."""


@frozen(kw_only=True)
class RuleSourceKind:
    """A named type of rule source: what a plugin registers.

    Attributes:
        name: what users write as ``kind:``; lower case.
        config_class: a frozen attrs class; users' options are structured into it strictly.
        open: ``open(config, context) -> RuleSource``; no I/O.
        summary: one line for ``meshregistry plugins``.
        registry: the registry kind whose configuration it shares. Users name a source of
            that kind (``source: dc1``), or write that kind's options beside its own; the
            context's client is then made by that kind's `connect`, if it has one.
        check: ``check(config, base_path)`` gives every fault of what the configuration
            points to on this machine, without any backend.
        writer: ``writer(config, context) -> RuleWriter`` for backends that operators'
            decisions can be written to; None: it is only read. No I/O.
    """

    name: str = field(validator=matches_re(r"[a-z][a-z0-9-]*"))
    config_class: type[Any] = field(validator=instance_of(type))
    open: Callable[[Any, RuleContext], RuleSource] = field(validator=is_callable())
    summary: str = ""
    registry: str = ""
    check: Callable[[Any, Path], Iterable[ConfigError]] | None = field(
        default=None, validator=optional(is_callable())
    )
    writer: Callable[[Any, RuleContext], RuleWriter] | None = field(
        default=None, validator=optional(is_callable())
    )


RULE_KEYS: Sequence[str] = ("kind", "id", "source", "enabled", "required", "writable")
"""Keys of a rule source that belong to the core; a config class must not have such a field."""
