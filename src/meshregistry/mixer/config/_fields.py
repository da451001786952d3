"""Fields of instances: expressions at their places become functions of a request's attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from meshregistry.documents import AnyNode, MappingNode, ScalarNode, SequenceNode
from meshregistry.mixer._nodes import snake
from meshregistry.mixer.expressions import (
    Attributes,
    Compiled,
    EvaluationError,
    ExpressionError,
    compile_expression,
)
from meshregistry.mixer.spi import Field, Fit, Form, ValueType

if TYPE_CHECKING:
    from meshregistry.errors import ConfigError
    from meshregistry.mixer._manifest import Attribute

Make = Callable[[Attributes], Any]
Written = tuple[tuple[str, str], ...]
"""A mapping as it is written: names and expressions."""

_HALF = 1 << 63
_SINGLE = frozenset({Form.TYPED, Form.ANY})


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


class FieldCompiler:
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
                return self.value(node, place, one)
            self._faults.append(node.fault(f"must be an expression, not {node.kind}", "write text"))
            return None
        if isinstance(node, MappingNode):
            return self.below(node, one, place)
        self._faults.append(node.fault(f"must be a mapping, not {node.kind}", "write {…}"))
        return None

    def below(self, node: MappingNode, one: Field, place: str) -> Make:
        if one.form is Form.NESTED:
            return self.nested(node, one, place)
        if one.item is None:
            return self.values(node, place)
        return self.by_name(node, one.item, one.key, place)

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

    def by_name(self, node: MappingNode, item: Field, fit: Fit | None, place: str) -> Make:
        makes: dict[str | int, Make] = {}
        for key, value in node.entries:
            name = key.text if fit is None else self.number(key, fit)
            made = self.field(value, item, f"{place}[{key.text}]")
            if name is not None and made is not None:
                makes[name] = made
        return lambda attributes: {name: make(attributes) for name, make in makes.items()}

    def number(self, key: ScalarNode, fit: Fit) -> int | None:
        """A key that is a whole number; None, and a fault, if it is none."""
        # JSON has keys in quotes.
        found = ScalarNode(file=key.file, text=key.text).as_int()
        try:
            return fit(key.text if found is None else found)  # type: ignore[no-any-return] # of whole numbers
        except ValueError as error:
            self._faults.append(key.fault(str(error)))
            return None

    def values(self, node: MappingNode, place: str) -> Make:
        makes = []
        for key, value in node.entries:
            if not isinstance(value, ScalarNode):
                fault = value.fault(f"must be an expression, not {value.kind}", "write text")
                self._faults.append(fault)
            elif (made := self.value(value, f"{place}[{key.text}]")) is not None:
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

    def value(self, node: ScalarNode, place: str, one: Field | None = None) -> Make | None:
        expected, fit = (None, None) if one is None else (one.value_type, one.fit)
        compiled = _number(node, expected) or expression(
            node, self._manifest, self._faults, expected=None if fit is not None else expected
        )
        if compiled is None:
            return None
        if expected is None:
            self._types[place] = compiled.type
        evaluate = compiled.evaluate
        if fit is not None:
            return self.fitted(node, compiled, fit, place)

        def make(attributes: Attributes) -> Any:
            try:
                return evaluate(attributes)
            except EvaluationError as error:
                raise EvaluationError(f"{place}: {error}") from error

        return make

    def fitted(self, node: ScalarNode, compiled: Compiled, fit: Fit, place: str) -> Make | None:
        """The value of a field that does not take every value; a literal is looked at now."""
        if compiled.type not in fit.types:
            wanted = " or ".join(sorted(one.name for one in fit.types))
            reason = f"expected type {wanted}, got {compiled.type.name}"
            caret = ExpressionError(reason, text=node.text, column=0).caret()
            self._faults.append(node.fault(f"{reason}\n{caret}"))
            return None
        if compiled.constant is not None:
            try:
                value = fit(compiled.constant)
            except ValueError as error:
                self._faults.append(node.fault(str(error)))
                return None
            return lambda _: value
        evaluate = compiled.evaluate

        def make(attributes: Attributes) -> Any:
            try:
                return fit(evaluate(attributes))
            except (EvaluationError, ValueError) as error:
                raise EvaluationError(f"{place}: {error}") from error

        return make


def _number(node: ScalarNode, kind: ValueType | None) -> Compiled | None:
    """A number of YAML, which has one kind of them, and negative ones; None if it is none."""
    number: float | None = None
    if kind is ValueType.DOUBLE:
        number = node.as_float()
    elif kind is ValueType.INT64:
        number = node.as_int()
    if number is None or kind is None or not -_HALF <= number < _HALF:
        # What does not fit is said by who reads expressions.
        return None
    return Compiled(node.text, kind, lambda _: number, number)
