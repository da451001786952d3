"""A configuration that is in force: immutable, with every reference resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from meshregistry.errors import ConfigError
from meshregistry.mixer._directive import Operation
from meshregistry.mixer._manifest import Manifest
from meshregistry.mixer.config._instances import Builder
from meshregistry.mixer.expressions import Compiled
from meshregistry.mixer.services import ServiceSpecs
from meshregistry.mixer.spi import InstanceTypes, MixerAdapter, Template, Variety


@frozen(kw_only=True)
class HandlerPlan:
    """A handler that some rule uses. Equal plans are served by one handler.

    Attributes:
        title: how messages call it.
        adapter: its adapter.
        config: its parameters, an instance of the adapter's class.
        instances: what rules send to it, by name.
    """

    title: str
    adapter: MixerAdapter = field(eq=lambda adapter: adapter.name)
    config: Any
    instances: Mapping[str, InstanceTypes]


@frozen(kw_only=True)
class Sent:
    """Instances that go to a handler when a rule matches.

    Attributes:
        match: the rule's condition; None: always.
        builders: in the order of the document.
        rule: the rule's name, for messages.
        action: by which header operations refer to the answer; empty: none does.
    """

    match: Compiled | None
    builders: tuple[Builder, ...]
    rule: str
    action: str = ""


@frozen(kw_only=True)
class Destination:
    """A handler for the instances of one template.

    Attributes:
        plan: the handler.
        template: of the instances.
        sent: what goes there, in the order of the documents.
    """

    plan: HandlerPlan
    template: Template
    sent: tuple[Sent, ...]


@frozen(kw_only=True)
class HeaderPlan:
    """One header operation of a rule.

    Attributes:
        match: the rule's condition; None: always.
        rule: the rule's name, by which it finds what the rule's actions gave.
        name: gives the name of the header.
        values: give the values; one operation each.
        operation: what is done.
        is_request: whether it is done to the request, and not to the response.
    """

    match: Compiled | None
    rule: str
    name: Compiled
    values: tuple[Compiled, ...]
    operation: Operation
    is_request: bool


@frozen(kw_only=True)
class Rules:
    """What one namespace's documents, and those for all, want done.

    Attributes:
        destinations: by variety; checks with output are filed as checks.
        headers: in the order of the documents.
    """

    destinations: Mapping[Variety, tuple[Destination, ...]] = field(factory=dict)
    headers: tuple[HeaderPlan, ...] = ()


@frozen(kw_only=True)
class Snapshot:
    """A whole configuration.

    Attributes:
        manifest: the declared attributes.
        default: the rules of the default namespace, for every request.
        by_namespace: these together with those of one namespace, which has its own.
        handlers: every handler that is used, in the order of the documents.
        services: APIs and charges, which a server applies for Envoys.
        hints: documents that are right, and of no use as they are.
    """

    manifest: Manifest
    default: Rules = field(factory=Rules)
    by_namespace: Mapping[str, Rules] = field(factory=dict)
    handlers: tuple[HandlerPlan, ...] = ()
    services: ServiceSpecs = field(factory=ServiceSpecs)
    hints: tuple[ConfigError, ...] = ()
    has_generators: bool = field(init=False)
    """Whether anything finds out attributes."""

    @has_generators.default
    def _has_generators(self) -> bool:
        rules = (self.default, *self.by_namespace.values())
        return any(Variety.ATTRIBUTE_GENERATOR in one.destinations for one in rules)

    def rules(self, namespace: str) -> Rules:
        """The rules for requests of this namespace."""
        return self.by_namespace.get(namespace, self.default)
