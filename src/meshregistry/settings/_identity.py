"""Which names of several registries mean one service, as users declare it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.documents import MappingNode, SequenceNode
from meshregistry.model import (
    Identity,
    IdentityAlias,
    IdentityTemplate,
    NamePattern,
    ServiceKey,
    SourceId,
)
from meshregistry.settings._merge import Mention, mentions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshregistry.documents import AnyNode

_HOW = "write SOURCE/HOST or SOURCE/NAMESPACE/HOST"


def _is_pattern(_settings: object, _attribute: object, value: str) -> None:
    NamePattern(value)


@frozen(kw_only=True)
class SourceTemplate:
    """How names of one form become names of another.

    Attributes:
        pattern: of the host, such as ``{name}.service.consul``.
        host: of the service, with the pattern's placeholders, ``{namespace}`` and ``{source}``.
        namespace: of the service, likewise; null leaves it as it is.
    """

    pattern: str = field(validator=_is_pattern)
    host: str
    namespace: str | None = None

    def __attrs_post_init__(self) -> None:
        self.template((), "")

    def template(self, sources: Iterable[str], place: str) -> IdentityTemplate:
        """The rule for records of these sources.

        Raises:
            ValueError: if a placeholder is not in the pattern.
        """
        target = self.host if self.namespace is None else f"{self.namespace}/{self.host}"
        return IdentityTemplate(
            pattern=NamePattern(self.pattern),
            host=self.host,
            namespace=self.namespace,
            sources=tuple(SourceId(one) for one in sources),
            origin=f"{place}: {self.pattern} is {target}",
        )


@frozen(kw_only=True)
class NameTemplate(SourceTemplate):
    """The same for some sources, or all.

    Attributes:
        sources: whose records it is about; empty: of all.
    """

    sources: tuple[str, ...] = ()


def _are_names(_settings: object, _attribute: object, value: Mapping[str, Iterable[str]]) -> None:
    services: dict[tuple[str, ServiceKey], ServiceKey] = {}
    for alias in _aliases(value):
        known = services.setdefault((alias.source, alias.name), alias.key)
        if known != alias.key:
            msg = f"{alias.source}/{alias.name} is given to {known} and to {alias.key}: keep one"
            raise ValueError(msg)


@frozen(kw_only=True)
class IdentitySettings:
    """Which names of several registries mean one service.

    Attributes:
        templates: the first that fits counts, after those of the source itself.
        aliases: service to names of sources; come before all templates.
        keep_names: whether services may still be called by the names that they had.
    """

    templates: tuple[NameTemplate, ...] = ()
    aliases: dict[str, tuple[str, ...]] = field(factory=dict, validator=_are_names)
    keep_names: bool = True

    def identity(self, sources: Mapping[str, Iterable[SourceTemplate]]) -> Identity:
        """All rules: these, and those of the sources by id."""
        own = (
            one.template([source], f"sources.{source}.identity[{place}]")
            for source, templates in sources.items()
            for place, one in enumerate(templates)
        )
        general = (
            one.template(one.sources, f"identity.templates[{place}]")
            for place, one in enumerate(self.templates)
        )
        return Identity(
            aliases=tuple(_aliases(self.aliases)),
            templates=(*own, *general),
            keeps_names=self.keep_names,
        )


def _aliases(aliases: Mapping[str, Iterable[str]]) -> Iterator[IdentityAlias]:
    """The rules of a mapping.

    Raises:
        ValueError: if a service or a name is malformed.
    """
    for service, names in aliases.items():
        key = ServiceKey.parse(service)
        for text in names:
            source, slash, name = text.partition("/")
            if not slash or not source:
                msg = f"{text!r} names no source: {_HOW}"
                raise ValueError(msg)
            yield IdentityAlias(
                source=SourceId(source),
                name=ServiceKey.parse(name),
                key=key,
                origin=f"identity.aliases: {text} is {key}",
            )


def identity_mentions(node: AnyNode | None) -> Iterator[Mention]:
    """Every source that the section names."""
    if not isinstance(node, MappingNode):
        return
    templates = node.get("templates")
    if isinstance(templates, SequenceNode):
        for one in templates.items:
            yield from mentions(one.get("sources") if isinstance(one, MappingNode) else None)
    aliases = node.get("aliases")
    if isinstance(aliases, MappingNode):
        for _, names in aliases.entries:
            for said in mentions(names):
                yield Mention(said.source.partition("/")[0], said.place)
