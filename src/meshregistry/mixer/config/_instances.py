"""Builders: an instance document, compiled, makes instances of attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from meshregistry.documents import AnyNode, MappingNode, ScalarNode, SequenceNode
from meshregistry.mixer._nodes import snake
from meshregistry.mixer.config._specs import Name
from meshregistry.mixer.expressions import (
    Attributes,
    Compiled,
    EvaluationError,
    ExpressionError,
    compile_expression,
)
from meshregistry.mixer.spi import (
    Field,
    Form,
    Instance,
    InstanceTypes,
    Template,
    ValueType,
    Variety,
)

if TYPE_CHECKING:
    from meshregistry.errors import ConfigError
    from meshregistry.mixer._manifest import Attribute
    from meshregistry.mixer.config._specs import InstanceSpec

Make = Callable[[Attributes], Any]
Written = tuple[tuple[str, str], ...]
"""A mapping as it is written: names and expressions."""

# The place of a generator's output in bindings is written ``$out.``; a dollar begins no name.
_OUT, _OWN_OUT = "$out.", "_out."
OUTPUTS = (_OWN_OUT, "output.")
"""How bindings name a generator's output; templates that documents describe have the second."""
_SINGLE = frozenset({Form.TYPED, Form.ANY})


@frozen(kw_only=True)
class Builder:
    """Makes the instances of one document.

    Attributes:
        name: of the document.
        template: its template.
        types: of its fields of any type.
        bindings: of a generator: an expression over its output for each attribute.
        make: gives the values of the fields for the attributes of a request.
    """

    name: Name
    template: Template
    types: InstanceTypes
    bindings: Mapping[str, Compiled]
    make: Callable[[Attributes], dict[str, Any]]

    def build(self, attributes: Attributes) -> Instance:
        """The instance for these attributes.

        Raises:
            EvaluationError: if one of its expressions has no value; names the field.
        """
        return self.template.instance(str(self.name), self.make(attributes))


def builder(
    spec: InstanceSpec,
    template: Template,
    manifest: Mapping[str, Attribute],
    outputs: Mapping[str, Attribute],
    *,
    faults: list[ConfigError],
    alike: dict[Written, object],
) -> Builder | None:
    """Compile an instance document.

    Args:
        spec: the document.
        template: its template.
        manifest: the attributes that its fields may use.
        outputs: what its bindings may use: the template's output under `OUTPUTS`.
        faults: filled with what is wrong.
        alike: filled: an object for each mapping that is written, the same one for the
            same mapping. Metrics often have the same dimensions; a request's are found once.

    Returns:
        None if anything is.
    """
    found: list[ConfigError] = []
    types: dict[str, ValueType] = {}
    compiler = _Compiler(manifest, types, found, alike)
    make = compiler.fields(spec.params, template.fields, "")
    bindings = _bindings(spec, template, manifest, outputs, found)
    if found:
        faults += found
        return None
    return Builder(
        name=spec.name,
        template=template,
        types=InstanceTypes(name=str(spec.name), template=template, types=types),
        bindings=bindings,
        make=make,
    )


def expression(
    node: ScalarNode,
    manifest: Mapping[str, Attribute],
    faults: list[ConfigError],
    *,
    expected: ValueType | None = None,
) -> Compiled | None:
    """Compile the expression that a node holds; None, and a fault, if it is wrong."""
    try:
        return compile_expression(node.text, manifest, expected=expected)
    except ExpressionError as error:
        faults.append(node.fault(f"{error.reason}\n{error.caret()}"))
        return None


class _Compiler:
    """Compiles the fields of one document; types of any type are noted by their path."""

    def __init__(
        self,
        manifest: Mapping[str, Attribute],
        types: dict[str, ValueType],
        faults: list[ConfigError],
        alike: dict[Written, object],
    ) -> None:
        self._manifest = manifest
        self._types = types
        self._faults = faults
        self._alike = alike

    def fields(self, node: MappingNode, fields: tuple[Field, ...], path: str) -> Make:
        """A function that gives the values of these fields by name, those that are written."""
        known = {one.name: one for one in fields}
        known |= {one.camel_name: one for one in fields}
        self._faults += node.unknown(known)
        makes = []
        for key, value in node.entries:
            one = known.get(key.text) or known.get(snake(key.text))
            if one is None:
                continue
            if isinstance(value, ScalarNode) and not value.text.strip() and one.form in _SINGLE:
                continue
            if (make := self.field(value, one, f"{path}{one.name}")) is not None:
                makes.append((one.name, make))
        return lambda attributes: {name: make(attributes) for name, make in makes}

    def field(self, node: AnyNode, one: Field, place: str) -> Make | None:
        if one.form is Form.REPEATED:
            return self.repeated(node, one.item or one, place)
        if one.form in _SINGLE:
            if isinstance(node, ScalarNode):
                return self.value(node, place, one.value_type)
            self._faults.append(node.fault(f"must be an expression, not {node.kind}", "write text"))
            return None
        if isinstance(node, MappingNode):
            return self.below(node, one, place)
        self._faults.append(node.fault(f"must be a mapping, not {node.kind}", "write {…}"))
        return None

    def below(self, node: MappingNode, one: Field, place: str) -> Make:
        if one.form is Form.NESTED:
            return self.nested(node, one, place)
        return self.values(node, place) if one.item is None else self.by_name(node, one.item, place)

    def nested(self, node: MappingNode, one: Field, place: str) -> Make:
        make, cls = self.fields(node, one.nested, f"{place}."), one.instance_class
        return make if cls is None else lambda attributes: cls(**make(attributes))

    def repeated(self, node: AnyNode, item: Field, place: str) -> Make | None:
        if not isinstance(node, SequenceNode):
            self._faults.append(node.fault(f"must be a list, not {node.kind}", "write - …"))
            return None
        made = [self.field(one, item, f"{place}[{at}]") for at, one in enumerate(node)]
        makes = [one for one in made if one is not None]
        return lambda attributes: [make(attributes) for make in makes]

    def by_name(self, node: MappingNode, item: Field, place: str) -> Make:
        made = {
            key.text: self.field(value, item, f"{place}[{key.text}]") for key, value in node.entries
        }
        makes = {name: make for name, make in made.items() if make is not None}
        return lambda attributes: {name: make(attributes) for name, make in makes.items()}

    def values(self, node: MappingNode, place: str) -> Make:
        makes = []
        for key, value in node.entries:
            if not isinstance(value, ScalarNode):
                fault = value.fault(f"must be an expression, not {value.kind}", "write text")
                self._faults.append(fault)
            elif (made := self.value(value, f"{place}[{key.text}]", None)) is not None:
                makes.append((key.text, made))
        written = tuple((key.text, getattr(value, "text", "")) for key, value in node.entries)
        known_as = self._alike.setdefault(written, object())

        def values(attributes: Attributes) -> dict[str, Any]:
            made = attributes.memo.get(known_as)
            if made is None:
                made = attributes.memo[known_as] = {name: make(attributes) for name, make in makes}
            # Each handler may do with its own what it likes.
            return dict(made)

        return values

    def value(self, node: ScalarNode, place: str, expected: ValueType | None) -> Make | None:
        if expected is ValueType.DOUBLE and node.as_int() is not None:
            # A number of YAML, which has one kind of them.
            node = evolve(node, text=f"{node.text}.0")
        compiled = expression(node, self._manifest, self._faults, expected=expected)
        if compiled is None:
            return None
        if expected is None:
            self._types[place] = compiled.type
        evaluate = compiled.evaluate

        def make(attributes: Attributes) -> Any:
            try:
                return evaluate(attributes)
            except EvaluationError as error:
                raise EvaluationError(f"{place}: {error}") from error

        return make


def _bindings(
    spec: InstanceSpec,
    template: Template,
    manifest: Mapping[str, Attribute],
    outputs: Mapping[str, Attribute],
    faults: list[ConfigError],
) -> Mapping[str, Compiled]:
    found: dict[str, Compiled] = {}
    if template.variety is not Variety.ATTRIBUTE_GENERATOR:
        for key, _ in spec.bindings.entries:
            faults.append(key.fault(f"{template.name} generates no attributes", "take it out"))
        return found
    for key, value in spec.bindings.entries:
        target = manifest.get(key.text)
        if target is None:
            faults.append(key.fault("unknown attribute", "declare it in an attributemanifest"))
        elif not isinstance(value, ScalarNode):
            faults.append(value.fault("must be an expression", "write $out.name"))
        else:
            # Of equal length, so that the caret stays where it belongs.
            own = ScalarNode(
                file=value.file,
                line=value.line,
                column=value.column,
                path=value.path,
                text=value.text.replace(_OUT, _OWN_OUT),
            )
            compiled = expression(own, outputs, faults, expected=target.type)
            if compiled is not None:
                found[key.text] = compiled
    return found
