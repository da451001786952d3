"""What an adapter implements, and what it is given: handler, context, adapter.

A handler lives as long as its configuration stays the same. It is opened once for all rules
that use it, and closed after its last call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from attrs import field, frozen
from attrs.validators import instance_of, is_callable, matches_re

from meshregistry.mixer._attributes import Value, ValueType
from meshregistry.mixer.spi._template import Instance, Template

if TYPE_CHECKING:
    import logging
    from datetime import datetime
    from pathlib import Path
    from random import Random

    from meshregistry.mixer.spi._results import CheckAnswer, QuotaAnswer, QuotaRequest

P = ParamSpec("P")
T = TypeVar("T")


@frozen(kw_only=True)
class InstanceTypes:
    """An instance that rules send to a handler, and what its fields of any type hold.

    Attributes:
        name: of the instance, ``name.instance.namespace``.
        template: its template.
        types: of each field of any type; of values by name ``field[name]``.
    """

    name: str
    template: Template
    types: Mapping[str, ValueType] = field(factory=dict)

    def dimensions(self, of: str = "dimensions") -> Mapping[str, ValueType]:
        """The types of the values by name in one field."""
        start = f"{of}["
        return {
            key[len(start) : -1]: kind for key, kind in self.types.items() if key.startswith(start)
        }


class HandlerContext(Protocol):
    """What the server gives a handler; only the server makes one."""

    @property
    def name(self) -> str:
        """The name of the handler, ``name.namespace``; for messages."""

    @property
    def instances(self) -> Mapping[str, InstanceTypes]:
        """The instances that rules send here, by name."""

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger bound to the handler."""

    @property
    def random(self) -> Random:
        """The randomness to use."""

    @property
    def base_path(self) -> Path:
        """The folder that relative paths of the configuration start from."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def wall_time(self) -> datetime:
        """The time of day, in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""

    def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Run a blocking call in a thread."""

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter of the handler, shown with its metrics."""

    def service(self, name: str) -> Any:
        """Something that the program which runs the server offers to handlers; None without it.

        The pilot offers its catalog under ``catalog``, as a callable. A program that serves
        Prometheus metrics itself offers its registry under ``prometheus_registry``.
        """

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """Something that several handlers of a server use together: a listener, a pool.

        The first that asks makes it; it lives as long as the server, so whoever puts
        something into it takes that out when it is closed.

        Args:
            name: begins with the adapter's name.
            make: makes it; no I/O.
        """


class Handler:
    """Does what one handler document configures; the base of all handlers.

    A handler has the methods of its adapter's templates beside these: see `CheckHandler`,
    `QuotaHandler`, `ReportHandler` and `GeneratorHandler`. The class of an instance tells
    which template it is of. A call that raises is a failure of this call alone: a `MixerError`
    gives its reason, anything else is logged as a fault of the adapter, too: also `SystemExit`.
    Only in a task of the handler's own does it end the program.
    """

    async def start(self) -> None:
        """Called once, before anything else; what must run beside the calls begins here.

        One that fails, or is cancelled since it takes more than 10 seconds, leaves nothing
        behind: `close` is not called then. After a while another handler is opened and
        started in its place, until one starts or the configuration is over.
        """

    async def close(self) -> None:
        """Called once, after the last call: send what is kept, leave nothing behind.

        It is cancelled after 10 seconds.
        """


class CheckHandler(Protocol):
    """For templates of the varieties CHECK and CHECK_WITH_OUTPUT."""

    async def check(self, instance: Any) -> CheckAnswer:
        """Say whether a request may go on."""


class QuotaHandler(Protocol):
    """For templates of the variety QUOTA."""

    async def quota(self, instance: Any, request: QuotaRequest) -> QuotaAnswer:
        """Hand out a share."""


class ReportHandler(Protocol):
    """For templates of the variety REPORT."""

    async def report(self, instances: Sequence[Any]) -> None:
        """Take note of what happened: at least one instance, all of one template."""


class GeneratorHandler(Protocol):
    """For templates of the variety ATTRIBUTE_GENERATOR."""

    async def generate(self, instance: Any) -> Mapping[str, Value]:
        """Find out attributes; their names are those of the template's output."""


OpenHandler = Callable[[Any, HandlerContext], Handler]
CheckConfig = Callable[[Any, Mapping[str, InstanceTypes]], Iterable[str]]


def _templates(given: Iterable[Template]) -> tuple[Template, ...]:
    return tuple(given)


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


def _nothing_wrong(_config: Any, _instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    return ()


@frozen(kw_only=True)
class MixerAdapter:
    """A named kind of handler: what a plugin registers.

    Attributes:
        name: as documents write it: ``compiledAdapter: denier`` or ``kind: denier``.
        config_class: a frozen attrs class; ``params`` are structured into it strictly.
        templates: those whose instances it takes.
        open: ``open(config, context) -> Handler``; no I/O.
        check: ``check(config, instances)`` gives every fault of a configuration together
            with the instances that are sent to it, as clauses ``field: reason``; before
            anything is opened.
        aliases: further names for documents, such as ``listchecker``.
        summary: one line for the documentation.
    """

    name: str = field(validator=matches_re(r"[a-z][a-z0-9-]*"))
    config_class: type[Any] = field(validator=instance_of(type))
    templates: tuple[Template, ...] = field(converter=_templates)
    open: OpenHandler = field(validator=is_callable())
    check: CheckConfig = field(default=_nothing_wrong, validator=is_callable())
    aliases: tuple[str, ...] = field(default=(), converter=_names)
    summary: str = ""

    def takes(self, instance: type[Instance]) -> bool:
        """Whether it takes instances of this class."""
        return any(one.instance_class is instance for one in self.templates)

    def takes_template(self, template: Template) -> bool:
        """Whether it takes instances of this template."""
        # Those that documents describe have one class of instances together.
        return any(
            one.name == template.name and one.instance_class is template.instance_class
            for one in self.templates
        )
