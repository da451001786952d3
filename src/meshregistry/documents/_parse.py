"""From the text of a file to the trees of its documents.

The text is split at the document markers first, so that one broken document leaves the
others (contracts, section 11). YAML 1.2 forbids a marker at the start of a line inside any
document's content, so splitting by lines is exact. JSON is read as the YAML that it is.

The tree is built from the parser's events rather than composed by PyYAML: a composer
descends recursively in C without a limit, and resolves scalars before we know what type
they are meant for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from attrs import define, evolve, field

from meshregistry.documents._nodes import (
    AnyNode,
    Document,
    MappingNode,
    ScalarNode,
    SequenceNode,
    child_path,
)
from meshregistry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKER = re.compile(r"(---|\.\.\.)(?=\s|$)")
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB]..)\\u([dD][c-fC-F]..)")
_DEEPEST = 100
_MOST_COPIES = 100_000
_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_OTHER_TAGS = frozenset({"!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"})
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def decode(content: bytes, *, file: str) -> str:
    """The text of a file.

    Raises:
        ConfigError: if it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"the byte 0x{content[error.start]:02x} is not UTF-8",
            file=file,
            line=line,
            remedy="save the file as UTF-8 text",
        ) from error


def parse(text: str, *, file: str) -> tuple[Document | ConfigError, ...]:
    """Every document of a text, or what is wrong with it, in order.

    Documents that say nothing (comments only) are left out. Never raises for what is in
    the text.
    """
    if file.endswith(".json"):
        text = _SURROGATES.sub(_pair, text)
    found: list[Document | ConfigError] = []
    for first_line, chunk in _split(text):
        try:
            root = _Builder(file, first_line, chunk).build()
        except ConfigError as error:
            found.append(error)
        else:
            if root is not None:
                found.append(Document(file=file, index=len(found), root=root))
    return tuple(found)


def _pair(match: re.Match[str]) -> str:
    # JSON writes characters above U+FFFF as two escapes, which YAML does not know.
    both = f"\\u{match[2]}\\u{match[3]}".encode().decode("unicode_escape")
    return match[1] + both.encode("utf-16", "surrogatepass").decode("utf-16")


def _split(text: str) -> Iterator[tuple[int, str]]:
    """The documents' texts, each with the line (from 0) of its first line."""
    start, lines = 0, list[str]()
    for number, line in enumerate(text.splitlines(keepends=True)):
        marker = _MARKER.match(line)
        if marker and marker[1] == "...":
            yield start, "".join(lines)
            start, lines = number + 1, []
        elif marker and not all(_is_prologue(before) for before in lines):
            yield start, "".join(lines)
            start, lines = number, [line]
        else:
            lines.append(line)
    yield start, "".join(lines)


def _is_prologue(line: str) -> bool:
    # Directives, comments and blank lines belong to the marker that follows them.
    return not line.strip() or line.startswith(("%", "#"))


@define
class _Builder:
    file: str
    first_line: int
    text: str
    events: Any = field(init=False)
    anchors: dict[str, AnyNode] = field(init=False, factory=dict)
    sizes: dict[str, int] = field(init=False, factory=dict)
    made: int = field(init=False, default=0)
    copied: int = field(init=False, default=0)

    def build(self) -> AnyNode | None:
        """The tree, or None for a document that says nothing.

        Raises:
            ConfigError: if the text is not YAML, or more than we take.
        """
        try:
            self.events = _Loader(self.text)
            return self._document()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            reason = error.problem or "cannot be read"
            if error.context and error.context_mark is not None:
                reason += f" {error.context} that began in line {self._line(error.context_mark)}"
            raise ConfigError(
                f"not YAML: {reason}",
                file=self.file,
                line=self._line(mark) if mark else None,
                column=mark.column + 1 if mark else None,
                remedy=_remedy(reason, self._text_of(mark) if mark else ""),
            ) from error
        except (yaml.reader.ReaderError, UnicodeEncodeError) as error:
            position = getattr(error, "position", getattr(error, "start", 0))
            line = self.first_line + self.text.count("\n", 0, position) + 1
            raise ConfigError(
                "not YAML: there is a character that must not be in a text",
                file=self.file,
                line=line,
                remedy="remove it, or write it as an escape in double quotes",
            ) from error

    def _text_of(self, mark: Any) -> str:
        lines = self.text.splitlines()
        return lines[mark.line] if mark.line < len(lines) else ""

    def _document(self) -> AnyNode | None:
        self.events.get_event()  # the start of the stream
        if self.events.check_event(yaml.StreamEndEvent):
            return None
        self.events.get_event()  # the start of the document
        root = self._node("", 0)
        self.events.get_event()  # its end
        self.events.get_event()  # the end of the stream, or an objection to what comes instead
        return None if isinstance(root, ScalarNode) and root.is_plain and not root.text else root

    def _node(self, path: str, depth: int) -> AnyNode:
        event = self.events.get_event()
        if depth > _DEEPEST:
            raise self._fault(event, "", f"nested more than {_DEEPEST} deep", "make it flatter")
        self.made += 1
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        before = self.made
        node: AnyNode
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, path, depth)
        else:
            node = self._mapping(event, path, depth)
        if event.anchor:
            self.anchors[event.anchor] = node
            self.sizes[event.anchor] = self.made - before + 1
        return node

    def _place(self, event: Any, path: str) -> dict[str, Any]:
        mark = event.start_mark
        return {
            "file": self.file,
            "line": self._line(mark),
            "column": mark.column + 1,
            "path": path,
        }

    def _line(self, mark: Any) -> int:
        return int(self.first_line + mark.line + 1)

    def _fault(self, event: Any, path: str, reason: str, remedy: str) -> ConfigError:
        place = self._place(event, path)
        place["field"] = place.pop("path")
        return ConfigError(reason, remedy=remedy, **place)

    def _alias(self, event: Any, path: str) -> AnyNode:
        node = self.anchors.get(event.anchor)
        if node is None:
            raise self._fault(
                event, path, f"*{event.anchor} names nothing that was written before", "define it"
            )
        # Copies of copies grow exponentially; the limit is far above any honest use.
        self.copied += self.sizes[event.anchor]
        self.made += self.sizes[event.anchor]
        if self.copied > _MOST_COPIES:
            raise self._fault(event, path, "too many copies by *aliases", "write them out")
        return _moved(node, path)

    def _scalar(self, event: Any, path: str) -> ScalarNode:
        self._check_tag(event, path, _TEXT_TAGS)
        is_plain = event.tag is None and event.style in {None, ""}
        return ScalarNode(**self._place(event, path), text=event.value, is_plain=is_plain)

    def _sequence(self, event: Any, path: str, depth: int) -> SequenceNode:
        self._check_tag(event, path, _OTHER_TAGS)
        items: list[AnyNode] = []
        while not self.events.check_event(yaml.SequenceEndEvent):
            items.append(self._node(f"{path}[{len(items)}]", depth + 1))
        self.events.get_event()
        return SequenceNode(**self._place(event, path), items=tuple(items))

    def _mapping(self, event: Any, path: str, depth: int) -> MappingNode:
        self._check_tag(event, path, _OTHER_TAGS)
        own: dict[str, tuple[ScalarNode, AnyNode]] = {}
        merged: dict[str, tuple[ScalarNode, AnyNode]] = {}
        while not self.events.check_event(yaml.MappingEndEvent):
            key_event = self.events.peek_event()
            if not isinstance(key_event, yaml.ScalarEvent):
                raise self._fault(key_event, path, "a key must be a text", "write key: value")
            key_event = self.events.get_event()
            below = child_path(path, key_event.value)
            key = self._scalar(key_event, below)
            if key.is_plain and not key.text:
                raise self._fault(key_event, path, "a key is empty", "write key: value")
            value = self._node(below, depth + 1)
            if key.is_plain and key.text == "<<":
                merged = {**self._merge(value, path), **merged}
            elif key.text in own:
                first = own[key.text][0]
                raise key.fault(
                    f"the key {key.text} is given twice, first in line {first.line}",
                    "take one of them out",
                )
            else:
                own[key.text] = (key, value)
        self.events.get_event()
        entries = tuple({**merged, **own}.values())
        return MappingNode(**self._place(event, path), entries=entries)

    def _merge(self, value: AnyNode, path: str) -> dict[str, tuple[ScalarNode, AnyNode]]:
        sources = value.items if isinstance(value, SequenceNode) else (value,)
        merged: dict[str, tuple[ScalarNode, AnyNode]] = {}
        for source in reversed(sources):
            if not isinstance(source, MappingNode):
                raise source.fault("<< needs a mapping or a list of mappings", "name an &anchor")
            for key, below in source.entries:
                new = child_path(path, key.text)
                merged[key.text] = (evolve(key, path=new), _moved(below, new))
        return merged

    def _check_tag(self, event: Any, path: str, known: frozenset[str]) -> None:
        if event.tag is not None and event.tag not in known:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._fault(event, path, f"the tag {tag} is not supported", "take it out")


def _moved(node: AnyNode, path: str) -> AnyNode:
    """A copy whose paths say where it is used; its lines still say where it is written."""
    if isinstance(node, SequenceNode):
        items = tuple(_moved(item, f"{path}[{i}]") for i, item in enumerate(node.items))
        return evolve(node, path=path, items=items)
    if isinstance(node, MappingNode):
        entries = tuple(
            (
                evolve(key, path=child_path(path, key.text)),
                _moved(value, child_path(path, key.text)),
            )
            for key, value in node.entries
        )
        return evolve(node, path=path, entries=entries)
    return evolve(node, path=path)


def _remedy(reason: str, line: str) -> str:
    """What to do about the parser's most frequent complaints."""
    if "${" in line and "flow" in reason:
        return "a ${VAR} inside {…} or […] needs quotes, or a line of its own"
    for sign, remedy in (
        ("tab", "indent with spaces, not tabs"),
        ("cannot start any token", "quote the text, and indent with spaces, not tabs"),
        ("mapping values are not allowed", "check the indentation, and quote texts with ': '"),
        ("',' or ']'", "close the list with ]"),
        ("',' or '}'", "close the mapping with }"),
        ("unexpected end of stream", "close the quotes"),
        ("could not find expected ':'", "write key: value"),
        ("did not find expected key", "check the indentation"),
        ("'-' indicator", "check the indentation"),
    ):
        if sign in reason:
            return remedy
    return "check the syntax near this place"
