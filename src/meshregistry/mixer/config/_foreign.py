"""Documents that describe templates and adapters of other people, and references to them."""

from __future__ import annotations

from base64 import b64encode
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from attrs import define, evolve, field, frozen

from meshregistry.documents import MappingNode, ScalarNode
from meshregistry.errors import MissingExtraError
from meshregistry.mixer._nodes import Reader, as_truth, spec_reader
from meshregistry.mixer.config._specs import Name
from meshregistry.mixer.spi import Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.documents import AnyNode, RuleDocument
    from meshregistry.errors import ConfigError
    from meshregistry.mixer.spi import MixerAdapter

_PACKAGE: Final = "meshregistry.mixer.foreign"
ADAPTER, TEMPLATE = "adapter", "template"
_NAME_AND_NAMESPACE, _FULL = 2, 3


@frozen(kw_only=True)
class ForeignAdapter:
    """An adapter in another process that a document describes.

    Attributes:
        templates: those whose instances it takes.
        is_session_based: whether it is told its configuration once.
        descriptors: of its configuration; None: it has none.
    """

    templates: tuple[Template, ...]
    is_session_based: bool
    descriptors: Any


@define
class Foreign:
    """What documents describe, by full name; None: the document is wrong."""

    templates: dict[Name, Template | None] = field(factory=dict)
    adapters: dict[Name, ForeignAdapter | None] = field(factory=dict)

    def template(self, reference: str, namespace: str) -> tuple[bool, Template | None]:
        """Whether a reference is one to a described template, and the template."""
        return _found(self.templates, reference, TEMPLATE, namespace)

    def adapter(self, reference: str, namespace: str) -> tuple[bool, ForeignAdapter | None]:
        """Whether a reference is one to a described adapter, and the adapter."""
        return _found(self.adapters, reference, ADAPTER, namespace)


def _found(
    among: Mapping[Name, Any], reference: str, kind: str, namespace: str
) -> tuple[bool, Any]:
    parts = reference.split(".")
    wanted = [Name(parts[0], kind, namespace)]
    if len(parts) == _NAME_AND_NAMESPACE:
        own = [Name(parts[0], kind, namespace)] if parts[1] == kind else []
        wanted = [*own, Name(parts[0], kind, parts[1])]
    elif len(parts) >= _FULL:
        wanted = [Name(parts[0], parts[1], ".".join(parts[2:]))]
    for name in wanted:
        if name in among:
            return True, among[name]
    return False, None


def foreign(
    documents: Iterable[RuleDocument],
    templates: Mapping[str, Template],
    remote: MixerAdapter | None,
    faults: list[ConfigError],
) -> Foreign:
    """What documents describe of other people's.

    Args:
        documents: those of adapters and templates that are not built in.
        templates: the built-in ones; adapters of other people may take their instances.
        remote: the adapter that speaks to other processes; None: there is none.
        faults: filled with what is wrong, at its place.
    """
    found, given = Foreign(), list(documents)
    for document in given:
        if document.key.kind == TEMPLATE:
            name = _name(document)
            found.templates[name] = _template(name, document, faults)
    for document in given:
        if document.key.kind == ADAPTER:
            own: list[ConfigError] = []
            made = _adapter(document, found, templates, remote, own)
            found.adapters[_name(document)] = None if own else made
            faults += own
    return found


def _name(document: RuleDocument) -> Name:
    return Name(document.key.name, document.key.kind, document.key.namespace)


def _template(name: Name, document: RuleDocument, faults: list[ConfigError]) -> Template | None:
    own: list[ConfigError] = []
    made: Template | None = None
    reader = spec_reader(document, own)
    if reader is not None:
        reader.only("descriptor")
        if reader.required("descriptor", "base64 of a FileDescriptorSet"):
            descriptors = _descriptors(reader, "descriptor", own)
            if descriptors is not None:
                try:
                    made = _package().template_of(str(name), descriptors)
                except ValueError as error:
                    own.append(_place(reader, "descriptor").fault(str(error)))
    faults += own
    return None if own else made


def _adapter(
    document: RuleDocument,
    found: Foreign,
    built_in: Mapping[str, Template],
    remote: MixerAdapter | None,
    faults: list[ConfigError],
) -> ForeignAdapter | None:
    reader = spec_reader(document, faults)
    if reader is None:
        return None
    reader.only("name", "description", "session_based", "templates", "config")
    if remote is None:
        faults.append(
            reader.node.fault("nothing here speaks to adapters in other processes", "add bypass")
        )
        return None
    descriptors = None
    if reader.text("config"):
        descriptors = _descriptors(reader, "config", faults)
        if descriptors is not None:
            try:
                descriptors.file_with("Params")
            except ValueError as error:
                faults.append(_place(reader, "config").fault(str(error)))
    return ForeignAdapter(
        templates=tuple(_taken(reader, document.key.namespace, found, built_in, remote)),
        is_session_based=_truth(reader, "session_based", faults),
        descriptors=descriptors,
    )


def _taken(
    reader: Reader,
    namespace: str,
    found: Foreign,
    built_in: Mapping[str, Template],
    remote: MixerAdapter,
) -> Iterable[Template]:
    """The templates whose instances an adapter takes."""
    if not reader.items("templates"):
        fault = reader.node.fault("the adapter takes no templates", "add templates: [name]")
        reader.faults.append(fault)
    for node in reader.texts("templates"):
        is_described, template = found.template(node.text, namespace)
        if not is_described:
            template = built_in.get(node.text)
        if template is None:
            what = "is not right" if is_described else "is not there"
            remedy = "see to its document" if is_described else "add a document of kind template"
            reader.faults.append(node.fault(f"the template {node.text} {what}", remedy))
        elif not is_described and not remote.takes_template(template):
            fault = node.fault(f"{node.text} is not for adapters in other processes")
            reader.faults.append(fault)
        else:
            yield template


def _truth(reader: Reader, name: str, faults: list[ConfigError]) -> bool:
    node = reader.node.get(name)
    if node is None or (isinstance(node, ScalarNode) and node.is_null):
        return False
    said = as_truth(node)
    if said is None:
        faults.append(node.fault("must be true or false"))
    return bool(said)


def _descriptors(reader: Reader, name: str, faults: list[ConfigError]) -> Any:
    try:
        return _package().Descriptors(reader.text(name))
    except ValueError as error:
        faults.append(_place(reader, name).fault(str(error)))
        return None


def _place(reader: Reader, name: str) -> AnyNode:
    return reader.node.get(name) or reader.node


def _package() -> Any:
    # Only who has such documents needs the package of protocol buffers.
    try:
        return import_module(_PACKAGE)
    except ModuleNotFoundError as error:
        raise MissingExtraError("mixer-server", error.name or _PACKAGE) from error


def remote_params(adapter: ForeignAdapter, reader: Reader, connection: MappingNode) -> MappingNode:
    """What the adapter that speaks to other processes is told of this one.

    Args:
        adapter: as its document describes it.
        reader: of the handler's document; its faults are filled.
        connection: where the other process is.
    """
    given = reader.mapping("params")
    kind, value = "", b""
    if adapter.descriptors is not None:
        kind, value = _package().encoded(given, adapter.descriptors, reader.faults)
    elif given.entries:
        reader.faults.append(
            given.fault("the adapter has no parameters", "describe them in config: of its document")
        )

    def text(said: str, at: str, *, is_plain: bool = False) -> ScalarNode:
        return ScalarNode(file=given.file, line=given.line, path=at, text=said, is_plain=is_plain)

    params = MappingNode(
        file=given.file,
        line=given.line,
        path=given.path,
        entries=(
            (text("@type", given.path), text(kind, given.path)),
            (text("value", given.path), text(b64encode(value).decode(), given.path)),
        ),
    )
    is_session_based = text(str(adapter.is_session_based).lower(), given.path, is_plain=True)
    return evolve(
        connection,
        entries=(
            *connection.entries,
            (text("params", given.path), params),
            (text("session_based", given.path), is_session_based),
        ),
    )
