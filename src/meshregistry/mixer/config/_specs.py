"""What the documents of Mixer say, each by itself: values without references resolved."""

from __future__ import annotations

from attrs import frozen

from meshregistry.documents import MappingNode, Position, ScalarNode
from meshregistry.mixer._directive import Operation
from meshregistry.mixer._manifest import Attribute
from meshregistry.mixer.services import ServicePiece
from meshregistry.mixer.spi import Template


@frozen(order=True)
class Name:
    """The full name of a document, ``name.kind.namespace``."""

    name: str
    kind: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.name}.{self.kind}.{self.namespace}"


@frozen(kw_only=True)
class HandlerSpec:
    """A configured adapter.

    Attributes:
        name: of the document.
        adapter: the adapter, by its name.
        params: its parameters.
        place: where the document stands.
        templates: of an adapter that a document describes: those whose instances it takes.
    """

    name: Name
    adapter: str
    params: MappingNode
    place: Position
    templates: tuple[Template, ...] | None = None

    @property
    def title(self) -> str:
        """How messages call it: as the original does, which has two ways for ``handler``."""
        own = self.name
        is_short = own.kind == "handler" and self.templates is None
        return f"{own.name}.{own.namespace}" if is_short else str(own)


@frozen(kw_only=True)
class InstanceSpec:
    """A configured instance.

    Attributes:
        name: of the document.
        template: the template.
        params: an expression for each field.
        bindings: of a generator: an expression over its output for each attribute.
        place: where the document stands.
    """

    name: Name
    template: Template
    params: MappingNode
    bindings: MappingNode
    place: Position


@frozen(kw_only=True)
class ActionSpec:
    """Instances that go to a handler.

    Attributes:
        handler: as the document refers to it.
        instances: likewise.
        name: by which header operations refer to what a check gives.
    """

    handler: ScalarNode
    instances: tuple[ScalarNode, ...]
    name: str = ""


@frozen(kw_only=True)
class HeaderSpec:
    """One header operation of a rule.

    Attributes:
        name: of the header: an expression or a plain name.
        values: expressions.
        operation: what is done.
    """

    name: ScalarNode
    values: tuple[ScalarNode, ...]
    operation: Operation


@frozen(kw_only=True)
class RuleSpec:
    """When which instances go where.

    Attributes:
        name: of the document.
        match: an expression; None: always.
        actions: what is done.
        request_headers: operations on the request.
        response_headers: operations on the response.
        place: where the document stands.
    """

    name: Name
    match: ScalarNode | None
    actions: tuple[ActionSpec, ...]
    request_headers: tuple[HeaderSpec, ...]
    response_headers: tuple[HeaderSpec, ...]
    place: Position


@frozen(kw_only=True)
class Specs:
    """All documents of a configuration, in their order."""

    attributes: tuple[tuple[Attribute, Position], ...] = ()
    handlers: tuple[HandlerSpec, ...] = ()
    instances: tuple[InstanceSpec, ...] = ()
    rules: tuple[RuleSpec, ...] = ()
    services: tuple[ServicePiece, ...] = ()
