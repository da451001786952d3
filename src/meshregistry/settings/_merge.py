"""How services that several sources know are merged, as users declare it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import asdict, field, frozen
from attrs.converters import optional
from attrs.validators import instance_of
from attrs.validators import optional as is_optional

from meshregistry.documents import MappingNode, Position, ScalarNode, SequenceNode, suggestion
from meshregistry.model import Hostname, MergePolicy, ServiceKey, SourceId, Union

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meshregistry.documents import AnyNode
    from meshregistry.errors import ConfigError


@frozen(kw_only=True)
class MergeOrders:
    """The sources that come first for single fields, each list in order of precedence."""

    addresses: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()
    resolution: tuple[str, ...] = ()


@frozen(kw_only=True)
class MergeOverride:
    """What is merged otherwise for some services; what it does not say is as for all others.

    Attributes:
        host: of the services: a name, ``*.`` and the end of names, or ``*``.
        namespace: of the services.
        order: sources that come first.
        from_: sources that come first for single fields.
        ports: whether those of all sources unite.
        endpoints: whether they unite, are the first source's, or fail over.
        labels: whether those of all sources unite.
    """

    host: str | None = field(
        default=None, converter=optional(Hostname), validator=is_optional(instance_of(Hostname))
    )
    namespace: str | None = None
    order: tuple[str, ...] | None = None
    from_: MergeOrders | None = field(default=None, alias="from_")
    ports: Literal["unite", "first"] | None = None
    endpoints: Literal["unite", "first", "failover"] | None = None
    labels: Literal["unite", "first"] | None = None

    def __attrs_post_init__(self) -> None:
        if self.host is None and self.namespace is None:
            raise ValueError("it fits no service: name a host or a namespace; * is every host")

    def fits(self, key: ServiceKey) -> bool:
        """Whether it is about this service."""
        if self.namespace not in {None, key.namespace}:
            return False
        if self.host is None or not self.host.startswith("*"):
            return self.host in {None, key.host}
        return key.host.endswith(self.host[1:])


@frozen(kw_only=True)
class MergeSettings:
    """How services that several sources know are merged.

    Attributes:
        order: sources that come first, before the order of ``sources``.
        from_: sources that come first for single fields.
        ports: whether those of all sources unite, by number.
        endpoints: whether they unite, are those of the first source that has any, or those
            of each source are used for what the ones before it cannot take.
        labels: whether those of all sources unite, by key.
        overrides: the first that fits a service counts for it.
    """

    order: tuple[str, ...] = ()
    from_: MergeOrders = field(factory=MergeOrders, alias="from_")
    ports: Literal["unite", "first"] = "unite"
    endpoints: Literal["unite", "first", "failover"] = "unite"
    labels: Literal["unite", "first"] = "first"
    overrides: tuple[MergeOverride, ...] = ()

    def policies(self) -> Callable[[ServiceKey], MergePolicy]:
        """Answers for every service how it is merged."""
        general = _policy(self, self)
        special = [(one, _policy(one, self)) for one in self.overrides]

        def answer(key: ServiceKey) -> MergePolicy:
            return next((policy for one, policy in special if one.fits(key)), general)

        return answer


def _policy(own: MergeSettings | MergeOverride, general: MergeSettings) -> MergePolicy:
    order = general.order if own.order is None else own.order
    orders = {
        name: tuple(SourceId(one) for one in sources)
        for name, sources in {**_orders(general.from_), **_orders(own.from_)}.items()
    }
    return MergePolicy(
        order=tuple(SourceId(one) for one in order),
        orders=orders,
        ports=Union(own.ports or general.ports),
        endpoints=Union(own.endpoints or general.endpoints),
        labels=Union(own.labels or general.labels),
    )


def _orders(orders: MergeOrders | None) -> dict[str, tuple[str, ...]]:
    """The fields of which something is said."""
    return {} if orders is None else {name: some for name, some in asdict(orders).items() if some}


@frozen
class Mention:
    """A source that some section of the settings names, and where."""

    source: str
    place: Position

    def fault(self, known: Iterable[str]) -> ConfigError:
        """That there is no such source."""
        return self.place.fault(f"there is no source {self.source}", suggestion(self.source, known))


def merge_mentions(node: AnyNode | None) -> Iterator[Mention]:
    """Every source that the section names."""
    if not isinstance(node, MappingNode):
        return
    yield from mentions(node.get("order"))
    orders = node.get("from")
    if isinstance(orders, MappingNode):
        for _, some in orders.entries:
            yield from mentions(some)
    overrides = node.get("overrides")
    if isinstance(overrides, SequenceNode):
        for one in overrides.items:
            yield from merge_mentions(one)


def mentions(node: AnyNode | None) -> Iterator[Mention]:
    """The sources of a list."""
    if isinstance(node, SequenceNode):
        yield from (Mention(one.text, one) for one in node.items if isinstance(one, ScalarNode))
