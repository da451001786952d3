"""Reading trees of documents: fields in both spellings, texts, lists."""

from __future__ import annotations

import re
import typing
from typing import TYPE_CHECKING, Any

import attrs
from attrs import evolve

from meshregistry.documents import AnyNode, MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.documents import RuleDocument
    from meshregistry.errors import ConfigError

GROUP = "config.istio.io"
"""The API group of Mixer's documents."""

VERSION = "v1alpha2"
"""The only version of it that there ever was."""

_TRUTH = dict.fromkeys(("y", "yes", "on"), "true") | dict.fromkeys(("n", "no", "off"), "false")
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


def snake(name: str) -> str:
    """``camelCase`` as ``snake_case``; what is so already stays."""
    return _HUMP.sub(lambda found: f"_{found[1].lower()}", name)


def renamed(node: MappingNode) -> MappingNode:
    """The same mapping with its own keys, not those below, in ``snake_case``."""
    entries = tuple((evolve(key, text=snake(key.text)), value) for key, value in node.entries)
    return evolve(node, entries=entries)


def renamed_for(node: AnyNode, hint: Any) -> AnyNode:
    """A tree whose keys that name fields of a class are spelled as the class does.

    Keys of mappings that are no classes are names of the user's and stay as they are. So does all
    that is said, but for two ways of writing that documents for the original have: a choice by
    its number, as JSON of protobuf has it, and the truth values of YAML 1.1.

    Args:
        node: what is to become a value of the type.
        hint: the type.
    """
    if isinstance(node, ScalarNode) and (hint is bool or typing.get_origin(hint) is typing.Literal):
        return _spelled(node, hint) if node.is_plain else node
    options = [one for one in typing.get_args(hint) if one is not type(None)]
    if isinstance(node, MappingNode):
        if attrs.has(hint):
            known = typing.get_type_hints(hint)
            own = renamed(node)
            entries = tuple(
                (key, renamed_for(value, known.get(key.text, Any))) for key, value in own.entries
            )
            return evolve(own, entries=entries)
        if typing.get_origin(hint) is dict:
            entries = tuple((key, renamed_for(value, options[1])) for key, value in node.entries)
            return evolve(node, entries=entries)
    if isinstance(node, SequenceNode) and typing.get_origin(hint) in {list, tuple}:
        return evolve(node, items=tuple(renamed_for(item, options[0]) for item in node.items))
    if len(options) == 1 and typing.get_origin(hint) not in {list, tuple, dict}:
        return renamed_for(node, options[0])
    return node


def as_truth(node: AnyNode) -> bool | None:
    """True or False if it is written as one, as YAML 1.1 has them, too; else None."""
    if not isinstance(node, ScalarNode) or not node.is_plain:
        return None
    return _spelled(node, bool).as_bool()


def _spelled(node: ScalarNode, hint: Any) -> ScalarNode:
    if hint is bool:
        return evolve(node, text=_TRUTH.get(node.text.lower(), node.text))
    choices, number = typing.get_args(hint), node.as_int()
    if number is None or number in choices or not 0 <= number < len(choices):
        return node
    return evolve(node, text=str(choices[number]))


class Reader:
    """Reads the fields of one mapping, and notes what is wrong.

    Args:
        node: the mapping, in either spelling.
        faults: filled.
    """

    def __init__(self, node: MappingNode, faults: list[ConfigError]) -> None:
        self.node = renamed(node)
        self.faults = faults

    def only(self, *names: str) -> None:
        """Note every other field."""
        self.faults += self.node.unknown(names)

    def text(self, name: str, default: str = "") -> str:
        """A text; the default if it is not there."""
        found = self.node.get(name)
        if found is None:
            return default
        if not isinstance(found, ScalarNode):
            self.faults.append(found.fault(f"must be a text, not {found.kind}", "write one value"))
            return default
        return found.text

    def required(self, name: str, example: str) -> str:
        """A text that must be there."""
        if name not in self.node:
            fault = self.node.fault(f"{name} is missing", f"add {name}: such as {example}")
            self.faults.append(fault)
        return self.text(name)

    def mapping(self, name: str) -> MappingNode:
        """A mapping; an empty one if it is not there."""
        found = self.node.get(name)
        if isinstance(found, MappingNode):
            return found
        if found is not None and not (isinstance(found, ScalarNode) and found.is_null):
            self.faults.append(
                found.fault(f"must be a mapping, not {found.kind}", "write key: value")
            )
        return MappingNode(file=self.node.file, line=self.node.line, path=self.node.path)

    def items(self, name: str) -> tuple[AnyNode, ...]:
        """The items of a list; none if it is not there."""
        found = self.node.get(name)
        if found is None or (isinstance(found, ScalarNode) and found.is_null):
            return ()
        if isinstance(found, SequenceNode):
            return found.items
        self.faults.append(found.fault(f"must be a list, not {found.kind}", "write - before each"))
        return ()

    def mappings(self, name: str) -> Iterable[MappingNode]:
        """The items of a list that are mappings; the others are noted."""
        for item in self.items(name):
            if isinstance(item, MappingNode):
                yield item
            else:
                self.faults.append(item.fault(f"must be a mapping, not {item.kind}", "write {…}"))

    def texts(self, name: str) -> Iterable[ScalarNode]:
        """The items of a list that are texts; the others are noted."""
        for item in self.items(name):
            if isinstance(item, ScalarNode):
                yield item
            else:
                self.faults.append(
                    item.fault(f"must be a text, not {item.kind}", "write one value")
                )


def spec_reader(document: RuleDocument, faults: list[ConfigError]) -> Reader | None:
    """The reader of a document's ``spec``; None, and a fault, if that is none."""
    if not document.key.namespace:
        faults.append(
            document.root.fault("the document has no namespace", "add metadata: {namespace: …}")
        )
    spec = document.root.get("spec")
    faults += document.root.unknown(("apiVersion", "kind", "metadata", "spec", "status"))
    if spec is None or (isinstance(spec, ScalarNode) and spec.is_null):
        root = document.root
        return Reader(MappingNode(file=root.file, line=root.line, path="spec"), faults)
    if not isinstance(spec, MappingNode):
        faults.append(spec.fault(f"must be a mapping, not {spec.kind}", "write spec: {…}"))
        return None
    return Reader(spec, faults)
