"""Who said a rule: the document and the place in it. Every rule carries one."""

from __future__ import annotations

from attrs import field, frozen


@frozen(kw_only=True)
class Origin:
    """The document that a rule comes from, for messages and for `explain`.

    Origins never take part in comparing rules: a document that moved by a line says the
    same, and what was generated from it stays valid.

    Attributes:
        kind: of the document, such as ``VirtualService``.
        namespace: in which the document stands; empty if it names none.
        name: of the document.
        source: id of the rule source that it was read by.
        file: that it stands in, or a word in angle brackets.
        line: of the rule, counted from 1; None if it was not read from a text.
        path: of the rule in its document, such as ``spec.http[2]``.
    """

    kind: str = ""
    namespace: str = ""
    name: str = ""
    source: str = ""
    file: str = field(default="", eq=False)
    line: int | None = field(default=None, eq=False)
    path: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line is not None else self.file
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        document = f"{self.kind} {name}".strip()
        return f"{document} ({where})" if where else document
