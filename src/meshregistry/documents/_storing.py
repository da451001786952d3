"""Routing documents as plain values of JSON and back, with the positions of all that they say.

Unlike plain values of the document itself, these keep what was quoted and where it stood:
what is restored reads, and complains, as what was stored.
"""

from __future__ import annotations

from typing import Any

from meshregistry.documents._nodes import (
    AnyNode,
    MappingNode,
    ScalarNode,
    SequenceNode,
    child_path,
)
from meshregistry.documents._rule_documents import RuleDocument, rule_document
from meshregistry.errors import ConfigError


def stored(document: RuleDocument) -> dict[str, Any]:
    """A document as plain values."""
    return {"file": document.root.file, "root": _stored(document.root)}


def restored(value: Any) -> RuleDocument:
    """The document again.

    Raises:
        ValueError: if it is none.
    """
    try:
        return rule_document(_restored(value["root"], str(value["file"]), ""))
    except (TypeError, KeyError, ValueError, ConfigError) as error:
        msg = f"{value!r:.80} is not a stored document: {error}"
        raise ValueError(msg) from error


def _stored(node: AnyNode) -> list[Any]:
    where = [node.line, node.column]
    if isinstance(node, ScalarNode):
        return [*where, node.text, node.is_plain]
    if isinstance(node, SequenceNode):
        return [*where, [_stored(item) for item in node.items]]
    pairs = [[*_stored(key), _stored(value)] for key, value in node.entries]
    return [*where, {"entries": pairs}]


def _restored(value: Any, file: str, path: str) -> AnyNode:
    line, column, content, *rest = value
    if isinstance(content, list):
        items = (_restored(one, file, f"{path}[{place}]") for place, one in enumerate(content))
        return SequenceNode(file=file, line=line, column=column, path=path, items=tuple(items))
    if isinstance(content, dict):
        entries = tuple(_entry(pair, file, path) for pair in content["entries"])
        return MappingNode(file=file, line=line, column=column, path=path, entries=entries)
    (is_plain,) = rest
    return _scalar(line, column, content, is_plain, file=file, path=path)


def _scalar(
    line: int | None, column: int | None, text: Any, is_plain: Any, *, file: str, path: str
) -> ScalarNode:
    if not isinstance(text, str) or not isinstance(is_plain, bool):
        msg = f"{text!r} is not a text"
        raise TypeError(msg)
    return ScalarNode(file=file, line=line, column=column, path=path, text=text, is_plain=is_plain)


def _entry(pair: Any, file: str, path: str) -> tuple[ScalarNode, AnyNode]:
    line, column, name, is_plain, value = pair
    below = child_path(path, str(name))
    key = _scalar(line, column, name, is_plain, file=file, path=below)
    return key, _restored(value, file, below)
