"""What becomes of a routing document: rules, errors, warnings. And what a kind promises."""

from __future__ import annotations

import enum
from collections.abc import Callable

from attrs import field, frozen

from meshregistry.documents import RuleDocument
from meshregistry.errors import ConfigError
from meshregistry.rules._ruleset import Rule


@frozen(kw_only=True)
class Reading:
    """A document, understood.

    Attributes:
        rules: what it says; empty if there is any error.
        errors: why it cannot be used; the last good version stays in force.
        warnings: what it says to no effect, or what is likely a mistake.
    """

    rules: tuple[Rule, ...] = ()
    errors: tuple[ConfigError, ...] = ()
    warnings: tuple[ConfigError, ...] = ()


class Standing(enum.Enum):
    """What becomes of a field: it works, it is left out with a warning, or it is an error."""

    SUPPORTED = "supported"
    IGNORED = "ignored with a warning"
    REFUSED = "refused"


@frozen
class FieldNote:
    """One field of a kind of document, for the reference and for the reader itself.

    Attributes:
        path: in the document, such as ``spec.http[].retries.attempts``.
        standing: what becomes of it.
        note: in a few words, what it does, or why it does not.
    """

    path: str
    standing: Standing
    note: str = ""


@frozen(kw_only=True, eq=False)
class RuleKind:
    """A kind of routing document that is understood.

    Attributes:
        group: API group.
        kind: such as ``VirtualService``.
        versions: that are read, newest first.
        read: understands a document; the text is the mesh's domain, with which short host
            names are completed. Never raises for what is in the document.
        fields: every field that the kind has in its own specification.
    """

    group: str
    kind: str
    versions: tuple[str, ...]
    read: Callable[[RuleDocument, str], Reading]
    fields: tuple[FieldNote, ...] = field(default=())
