"""From documents to specs: each is read by itself, so that a broken one harms no other.

The format is that of ``config.istio.io/v1alpha2``. Beside ``kind: handler`` and
``kind: instance`` the name of an adapter or of a template is a kind, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from meshregistry.documents import MappingNode, Position, ScalarNode, suggestion
from meshregistry.mixer._attributes import ValueType
from meshregistry.mixer._directive import Operation
from meshregistry.mixer._manifest import Attribute
from meshregistry.mixer._nodes import GROUP, VERSION, Reader, spec_reader
from meshregistry.mixer.config._foreign import Foreign, foreign, remote_params
from meshregistry.mixer.config._specs import (
    ActionSpec,
    HandlerSpec,
    HeaderSpec,
    InstanceSpec,
    Name,
    RuleSpec,
    Specs,
)
from meshregistry.mixer.services import KINDS, ServicePiece, read_piece
from meshregistry.mixer.spi import MixerAdapter, Template

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from meshregistry.documents import RuleDocument
    from meshregistry.errors import ConfigError
    from meshregistry.mixer.config._foreign import ForeignAdapter

_REMOTE = "bypass"
_SAAS = frozenset(
    {"circonus", "cloudwatch", "servicecontrol", "signalfx", "solarwinds", "stackdriver"}
)
_SAAS_TEMPLATE = "servicecontrolreport"
"""For the adapter ``servicecontrol`` alone."""
_DESCRIPTIONS = frozenset({"adapter", "template"})
"""An installation of the original has one for everything that is compiled into it."""
_OWN_KINDS = ("adapter", "attributemanifest", "handler", "instance", "rule", "template", *KINDS)


@frozen
class Known:
    """Adapters and templates by every name that documents may use for them."""

    adapters: Mapping[str, MixerAdapter]
    templates: Mapping[str, Template]

    @classmethod
    def of(cls, adapters: Iterable[MixerAdapter], templates: Iterable[Template]) -> Known:
        """By their names, and adapters by their aliases, too."""
        named = {name: one for one in adapters for name in (one.name, *one.aliases)}
        return cls(named, {one.name: one for one in templates})


def read(documents: Iterable[RuleDocument], known: Known, faults: list[ConfigError]) -> Specs:
    """Read the documents of a configuration.

    Args:
        documents: in their order; those of other API groups are passed over.
        known: adapters and templates.
        faults: filled with what is wrong, at its place.
    """
    sorted_out: dict[type, list[Any]] = {
        kind: [] for kind in (tuple, HandlerSpec, InstanceSpec, RuleSpec, ServicePiece)
    }
    own = [one for one in documents if one.key.group == GROUP]
    descriptions = [one for one in own if one.key.kind in _DESCRIPTIONS]
    others = foreign(
        [one for one in descriptions if one.key.name not in _described(one.key.kind, known)],
        known.templates,
        known.adapters.get(_REMOTE),
        faults,
    )
    for document in own:
        if document.key.kind in _DESCRIPTIONS:
            continue
        found: list[ConfigError] = []
        pieces = list(_document(document, known, others, found))
        faults += found
        if not found:
            for piece in pieces:
                sorted_out[type(piece)].append(piece)
    return Specs(
        attributes=tuple(sorted_out[tuple]),
        handlers=tuple(sorted_out[HandlerSpec]),
        instances=tuple(sorted_out[InstanceSpec]),
        rules=tuple(sorted_out[RuleSpec]),
        services=tuple(sorted_out[ServicePiece]),
    )


def versions(documents: Iterable[RuleDocument]) -> Iterable[ConfigError]:
    """Hints at documents in versions of the API group that there never were.

    They are read all the same: the original did not look at versions of documents in files.
    """
    for document in documents:
        if document.key.group == GROUP and document.version != VERSION:
            place = document.root.get("apiVersion") or document.root
            yield place.fault(
                f"{GROUP}/{document.version} is read as {GROUP}/{VERSION}, the only version",
                f"write apiVersion: {GROUP}/{VERSION}",
            )


Piece = tuple[Attribute, Position] | HandlerSpec | InstanceSpec | RuleSpec | ServicePiece


def _document(
    document: RuleDocument, known: Known, others: Foreign, faults: list[ConfigError]
) -> Iterable[Piece]:
    """What one document says; what is read is of use only if nothing is wrong with it."""
    key, root = document.key, document.root
    reader = spec_reader(document, faults)
    name = Name(key.name, key.kind, key.namespace)
    if reader is None:
        return
    match key.kind:
        case "attributemanifest":
            yield from _manifest(reader)
        case "handler":
            yield from _handler(name, reader, known, others)
        case "instance":
            yield from _instance(name, reader, known, others)
        case "rule":
            yield from _rule(name, reader)
        case kind if kind in KINDS:
            yield read_piece(key, root, reader)
        case kind if kind in known.adapters:
            yield HandlerSpec(name=name, adapter=kind, params=reader.node, place=root)
        case kind if kind in known.templates:
            yield _bare_instance(name, known.templates[kind], reader)
        case _:
            faults.append(_unknown_kind(document, known))


def _described(kind: str, known: Known) -> Collection[str]:
    return {*known.adapters, *_SAAS} if kind == "adapter" else {*known.templates, _SAAS_TEMPLATE}


def _unknown_kind(document: RuleDocument, known: Known) -> ConfigError:
    kind = document.key.kind
    place = document.root.get("kind") or document.root
    if kind in _SAAS:
        return place.fault(*_no_saas(kind))
    if kind == _SAAS_TEMPLATE:
        return place.fault(*_no_saas_template())
    names = (*_OWN_KINDS, *known.adapters, *known.templates)
    return place.fault(f"there is no kind {kind!r}", suggestion(kind, names))


def _no_saas(name: str) -> tuple[str, str]:
    return (
        f"the adapter {name} sends to a service that others run, and is not part of meshregistry",
        "use opentelemetry, whose collectors pass on to such services, or write a plugin",
    )


def _no_saas_template() -> tuple[str, str]:
    return (
        f"the template {_SAAS_TEMPLATE} is for an adapter that is not part of meshregistry",
        "use logentry or metric",
    )


def _manifest(reader: Reader) -> Iterable[tuple[Attribute, MappingNode]]:
    reader.only("revision", "name", "attributes")
    for key, value in reader.mapping("attributes").entries:
        if not isinstance(value, MappingNode):
            reader.faults.append(value.fault("must be a mapping", "write {valueType: STRING}"))
            continue
        own = Reader(value, reader.faults)
        own.only("description", "value_type")
        word = own.required("value_type", "STRING").removeprefix("VALUE_TYPE_")
        if word in ValueType.__members__:
            attribute = Attribute(key.text, ValueType[word], meaning=own.text("description"))
            yield attribute, value
        elif word:
            place = own.node.get("value_type") or own.node
            remedy = suggestion(word, ValueType.__members__)
            reader.faults.append(place.fault(f"{word!r} is no type of values", remedy))


def _handler(name: Name, reader: Reader, known: Known, others: Foreign) -> Iterable[HandlerSpec]:
    reader.only("name", "adapter", "compiled_adapter", "params", "connection")
    field = "adapter" if "adapter" in reader.node else "compiled_adapter"
    adapter = reader.required(field, "denier")
    connection = Reader(reader.mapping("connection"), reader.faults)
    place = reader.node.get(field) or reader.node
    is_described, other = (
        others.adapter(adapter, name.namespace) if field == "adapter" else (False, None)
    )
    if is_described:
        yield from _other_handler(name, reader, connection, other)
    elif adapter in _SAAS and adapter not in known.adapters:
        reader.faults.append(place.fault(*_no_saas(adapter)))
    elif connection.node.entries:
        params = _connection(connection)
        params = evolve(params, entries=(*params.entries, *reader.node.only(["params"]).entries))
        yield HandlerSpec(name=name, adapter=_REMOTE, params=params, place=reader.node)
    elif adapter in known.adapters:
        yield HandlerSpec(
            name=name, adapter=adapter, params=reader.mapping("params"), place=reader.node
        )
    elif adapter:
        reader.faults.append(
            place.fault(f"there is no adapter {adapter!r}", suggestion(adapter, known.adapters))
        )


def _other_handler(
    name: Name, reader: Reader, connection: Reader, adapter: ForeignAdapter | None
) -> Iterable[HandlerSpec]:
    """A handler of an adapter that a document describes."""
    if adapter is None:
        place = reader.node.get("adapter") or reader.node
        reader.faults.append(place.fault("its adapter is not right", "see to its document"))
        return
    if "connection" not in reader.node:
        fault = "the adapter is in another process, and connection is missing"
        reader.faults.append(reader.node.fault(fault, "add connection: {address: 127.0.0.1:9070}"))
        return
    params = remote_params(adapter, reader, _connection(connection))
    yield HandlerSpec(
        name=name, adapter=_REMOTE, params=params, place=reader.node, templates=adapter.templates
    )


def _connection(connection: Reader) -> MappingNode:
    """What the adapter `bypass` is to know of where an adapter in another process is."""
    connection.only("address", "timeout", "authentication")
    connection.required("address", "127.0.0.1:9070")
    entries = tuple(
        (evolve(key, text="backend_address") if key.text == "address" else key, value)
        for key, value in connection.node.entries
    )
    return evolve(connection.node, entries=entries)


def _instance(name: Name, reader: Reader, known: Known, others: Foreign) -> Iterable[InstanceSpec]:
    reader.only("name", "template", "compiled_template", "params", "attribute_bindings")
    field = "template" if "template" in reader.node else "compiled_template"
    template = reader.required(field, "metric")
    is_described, other = (
        others.template(template, name.namespace) if field == "template" else (False, None)
    )
    made = other if is_described else known.templates.get(template)
    if made is not None:
        yield InstanceSpec(
            name=name,
            template=made,
            params=reader.mapping("params"),
            bindings=reader.mapping("attribute_bindings"),
            place=reader.node,
        )
    elif is_described:
        place = reader.node.get(field) or reader.node
        reader.faults.append(place.fault("its template is not right", "see to its document"))
    elif template == _SAAS_TEMPLATE:
        place = reader.node.get(field) or reader.node
        reader.faults.append(place.fault(*_no_saas_template()))
    elif template:
        place = reader.node.get(field) or reader.node
        reader.faults.append(
            place.fault(f"there is no template {template!r}", suggestion(template, known.templates))
        )


def _bare_instance(name: Name, template: Template, reader: Reader) -> InstanceSpec:
    return InstanceSpec(
        name=name,
        template=template,
        params=reader.node.without(["attribute_bindings"]),
        bindings=reader.mapping("attribute_bindings"),
        place=reader.node,
    )


def _rule(name: Name, reader: Reader) -> Iterable[RuleSpec]:
    reader.only(
        "match", "actions", "request_header_operations", "response_header_operations", "sampling"
    )
    if "sampling" in reader.node:
        place = reader.node.get("sampling") or reader.node
        reader.faults.append(
            place.fault("sampling has no effect in Mixer", "take it out, and sample in the adapter")
        )
    match = reader.node.get("match")
    if match is not None and not isinstance(match, ScalarNode):
        reader.faults.append(match.fault("must be an expression", "write one text"))
        return
    actions = tuple(_actions(reader))
    request = tuple(_headers(reader, "request_header_operations"))
    response = tuple(_headers(reader, "response_header_operations"))
    if not (actions or request or response):
        reader.faults.append(
            reader.node.fault("the rule does nothing", "add actions: or remove it")
        )
        return
    yield RuleSpec(
        name=name,
        match=None if match is None or not match.text.strip() else match,
        actions=actions,
        request_headers=request,
        response_headers=response,
        place=reader.node,
    )


def _actions(reader: Reader) -> Iterable[ActionSpec]:
    for node in reader.mappings("actions"):
        own = Reader(node, reader.faults)
        own.only("handler", "instances", "name")
        own.required("handler", "mylist")
        handler = own.node.get("handler")
        if isinstance(handler, ScalarNode) and handler.text:
            instances = tuple(own.texts("instances"))
            _once(instances, reader.faults)
            yield ActionSpec(handler=handler, instances=instances, name=own.text("name"))


def _once(instances: Collection[ScalarNode], faults: list[ConfigError]) -> None:
    seen: set[str] = set()
    for one in instances:
        if one.text in seen:
            faults.append(one.fault(f"{one.text} is listed twice", "keep one of them"))
        seen.add(one.text)


def _headers(reader: Reader, field: str) -> Iterable[HeaderSpec]:
    for node in reader.mappings(field):
        own = Reader(node, reader.faults)
        own.only("name", "values", "operation")
        own.required("name", "x-user-group")
        name = own.node.get("name")
        operation = _operation(own)
        if isinstance(name, ScalarNode) and operation is not None:
            values = tuple(own.texts("values"))
            if not values and operation is not Operation.REMOVE:
                reader.faults.append(
                    own.node.fault("the operation has no values", "add values: ['\"text\"']")
                )
                continue
            yield HeaderSpec(name=name, values=values, operation=operation)


def _operation(reader: Reader) -> Operation | None:
    word = reader.text("operation", "REPLACE")
    by_word: Mapping[str, Operation] = {
        **Operation.__members__,
        **{str(one.value): one for one in Operation},
    }
    if word not in by_word:
        place = reader.node.get("operation") or reader.node
        remedy = suggestion(word, Operation.__members__)
        reader.faults.append(place.fault(f"{word!r} is no operation on headers", remedy))
    return by_word.get(word)
