"""How dialects declare their documents: classes whose fields say what becomes of them.

A dialect has a class for each piece of its documents. Its fields are those of the dialect's
own specification; `works`, `idle` and `refused` say what becomes of each. The reader acts on
it and the reference is printed from it, so that neither can say something else.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from attrs import define, field

from meshregistry.documents import (
    Instant,
    MappingNode,
    RuleDocument,
    ScalarNode,
    Scalars,
    SequenceNode,
    attempt,
)
from meshregistry.errors import ConfigError
from meshregistry.model import Hostname
from meshregistry.rules._origin import Origin
from meshregistry.rules._reading import FieldNote, Reading, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meshregistry.documents import AnyNode
    from meshregistry.rules._ruleset import Rule

T = TypeVar("T")

_SCALARS: Scalars = {Hostname: Hostname.parse, Instant: Instant.parse}


def works(note: str, *, form: type | None = None, **options: Any) -> Any:
    """A field that takes effect; `form` is the class of what it holds, if that is read apart."""
    return field(
        metadata={"standing": Standing.SUPPORTED, "note": note, "form": form},
        **{"default": None, **options},
    )


def idle(reason: str, **options: Any) -> Any:
    """A field that is left out with a warning."""
    return field(default=None, metadata={"standing": Standing.IGNORED, "note": reason}, **options)


def refused(reason: str, remedy: str, **options: Any) -> Any:
    """A field that is an error."""
    metadata = {"standing": Standing.REFUSED, "note": reason, "remedy": remedy}
    return field(default=None, metadata=metadata, **options)


def field_notes(form: type[Any], prefix: str = "spec") -> Iterator[FieldNote]:
    """Every field of a form and of the forms in it, with what becomes of it."""
    hints = typing.get_type_hints(form)
    for one in attrs.fields(form):
        standing = one.metadata.get("standing", Standing.SUPPORTED)
        inner = one.metadata.get("form")
        is_list = typing.get_origin(hints[one.name]) is tuple
        path = f"{prefix}.{_key(one)}" + ("[]" if is_list else "")
        yield FieldNote(path, standing, one.metadata.get("note", ""))
        if inner is not None:
            yield from field_notes(inner, path)


def _key(one: attrs.Attribute[Any]) -> str:
    """The key of a field in documents; one that is a word of Python has an alias like `from_`."""
    return (one.alias or one.name).removesuffix("_")


@define
class Reader:
    """Reads one document, and collects what is wrong with it."""

    document: RuleDocument
    domain: str
    errors: list[ConfigError] = field(factory=list)
    warnings: list[ConfigError] = field(factory=list)

    def form(self, node: AnyNode, cls: type[T]) -> T | None:
        """A piece of the document; None if it is wrong, which has been noted."""
        before = len(self.errors)
        self._check(node, cls)
        made = attempt(node, cls, self.errors, scalars=_SCALARS)
        return made if len(self.errors) == before else None

    def _check(self, node: AnyNode, cls: type[Any]) -> None:
        """Note fields without effect, and refused ones, here and in what is read with it."""
        if not isinstance(node, MappingNode):
            return
        hints = typing.get_type_hints(cls)
        for one in attrs.fields(cls):
            place = node.get(_key(one))
            if place is None:
                continue
            standing = one.metadata.get("standing", Standing.SUPPORTED)
            if standing is Standing.IGNORED:
                note = one.metadata["note"]
                self.warn(place, f"has no effect: {note}", "take it out, or do not rely on it")
            elif standing is Standing.REFUSED:
                self.fail(place, one.metadata["note"], one.metadata["remedy"])
            elif Any not in {hints[one.name], *typing.get_args(hints[one.name])}:
                inner = one.metadata.get("form")
                if inner is not None:
                    self._check(place, inner)

    def forms(self, nodes: Iterable[AnyNode], cls: type[T]) -> list[tuple[AnyNode, T]]:
        """Pieces of the document with their places; wrong ones are noted and left out."""
        found = ((node, self.form(node, cls)) for node in nodes)
        return [(node, made) for node, made in found if made is not None]

    def fail(self, place: AnyNode, reason: str, remedy: str) -> None:
        """Note an error."""
        self.errors.append(place.fault(reason, remedy))

    def warn(self, place: AnyNode, reason: str, remedy: str) -> None:
        """Note a warning."""
        self.warnings.append(place.fault(reason, remedy))

    def origin(self, place: AnyNode) -> Origin:
        """Who says what stands at a place."""
        key = self.document.key
        return Origin(
            kind=key.kind,
            namespace=key.namespace,
            name=key.name,
            file=place.file,
            line=place.line,
            path=place.path,
        )

    def host(self, place: AnyNode, name: str) -> Hostname | None:
        """A whole host name: a short one is completed with the document's namespace."""
        namespace = self.document.key.namespace
        if namespace and "." not in name and "*" not in name:
            name = f"{name}.{namespace}.svc.{self.domain}"
        try:
            return Hostname(name)
        except ValueError as error:
            reason, _, remedy = str(error).partition(": ")
            self.fail(place, reason, remedy)
            return None

    def result(self, rules: Callable[[], Iterable[Rule]]) -> Reading:
        """What became of the document; the rules are asked for only if nothing is wrong."""
        return Reading(
            rules=() if self.errors else tuple(rules()),
            errors=tuple(self.errors),
            warnings=tuple(self.warnings),
        )


def texts(node: AnyNode | None) -> list[tuple[AnyNode, str]]:
    """The texts of a list with their places."""
    if not isinstance(node, SequenceNode):
        return []
    return [(item, item.text) for item in node.items if isinstance(item, ScalarNode)]
