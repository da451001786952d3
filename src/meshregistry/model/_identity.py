"""Which names of several registries mean one service. Plain values; see `Identity`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from attrs import field, frozen

from meshregistry.model._names import ServiceKey, SourceId

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_WORD = re.compile(r"[a-z][a-z0-9_]*")
_LITERAL = re.compile(r"[-a-z0-9_.]*")
KNOWN_WORDS: Final = ("namespace", "source")
"""Placeholders that every template knows: of the record, unless its pattern has them, too."""


def _lower(text: str) -> str:
    return text.lower()


def placeholders(text: str) -> tuple[str, ...]:
    """The names between braces, in order.

    Raises:
        ValueError: if one is no name, or a brace stands alone.
    """
    found = tuple(_PLACEHOLDER.findall(text))
    for name in found:
        if not _WORD.fullmatch(name):
            msg = f"{{{name}}} is not a placeholder: write a name such as {{name}}"
            raise ValueError(msg)
    if re.search(r"[{}]", _PLACEHOLDER.sub("", text)):
        msg = f"{text!r} has a brace that stands alone: write placeholders as {{name}}"
        raise ValueError(msg)
    return found


@frozen
class NamePattern:
    """A host name with placeholders, such as ``{name}.service.consul``.

    A placeholder stands for one label of the name or a piece of one, and never for a
    wildcard; where it comes twice it stands for the same text.

    Raises:
        ValueError: if the text is not such a name.
    """

    text: str = field(converter=_lower)
    _expression: re.Pattern[str] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        seen: set[str] = set()
        pieces = []
        names = placeholders(self.text)
        literals = _PLACEHOLDER.split(self.text)[::2]
        for literal, name in zip(literals, (*names, ""), strict=True):
            if not _LITERAL.fullmatch(literal):
                msg = (
                    f"{self.text!r} is not the pattern of a host name: {literal!r} cannot be in one"
                )
                raise ValueError(msg)
            again = f"(?P={name})" if name in seen else rf"(?P<{name}>[^.*]+)"
            pieces += [re.escape(literal), again if name else ""]
            seen.add(name)
        object.__setattr__(self, "_expression", re.compile("".join(pieces)))

    @property
    def names(self) -> frozenset[str]:
        """Of its placeholders."""
        return frozenset(self._expression.groupindex)

    def match(self, host: str) -> Mapping[str, str] | None:
        """What the placeholders stand for; None if the host is no such name."""
        found = self._expression.fullmatch(host)
        return None if found is None else found.groupdict()


@frozen(kw_only=True)
class IdentityTemplate:
    """How names of one form become names of another.

    Attributes:
        pattern: of the host.
        host: of the service, with the pattern's placeholders.
        namespace: of the service, likewise; None leaves it as it is.
        sources: whose records it is about; empty: of all.
        origin: where it is written, for people.

    Raises:
        ValueError: if the host or namespace has a placeholder that the pattern does not.
    """

    pattern: NamePattern
    host: str = field(converter=_lower)
    namespace: str | None = None
    sources: tuple[SourceId, ...] = ()
    origin: str = field(default="", eq=False)

    def __attrs_post_init__(self) -> None:
        for text in filter(None, (self.host, self.namespace)):
            for name in placeholders(text):
                if name not in {*self.pattern.names, *KNOWN_WORDS}:
                    known = ", ".join(sorted({*self.pattern.names, *KNOWN_WORDS}))
                    msg = (
                        f"{{{name}}} is not in the pattern {self.pattern.text}: use one of {known}"
                    )
                    raise ValueError(msg)

    def key(self, given: ServiceKey, source: SourceId) -> ServiceKey | None:
        """What a service of this name is called; None if the template is not about it.

        Raises:
            ValueError: if what comes out is not a host name, or a namespace is missing.
        """
        if self.sources and source not in self.sources:
            return None
        found = self.pattern.match(given.host)
        if found is None:
            return None
        words = {"namespace": given.namespace, "source": source, **found}
        namespace = given.namespace if self.namespace is None else _filled(self.namespace, words)
        return ServiceKey(namespace, _filled(self.host, words))


def _filled(text: str, words: Mapping[str, str]) -> str:
    if "{namespace}" in text and not words["namespace"]:
        msg = f"the record has no namespace to fill in {text!r}: give its source one"
        raise ValueError(msg)
    return _PLACEHOLDER.sub(lambda one: words[one[1]], text)


@frozen(kw_only=True)
class IdentityAlias:
    """A name of one source that means a service.

    Attributes:
        source: which calls it so.
        name: what it calls it; an empty namespace fits any.
        key: of the service.
        origin: where it is written, for people.
    """

    source: SourceId
    name: ServiceKey
    key: ServiceKey
    origin: str = field(default="", eq=False)


class Identified(NamedTuple):
    """What a record's service is called, and by which rule."""

    key: ServiceKey
    origin: str


@frozen(kw_only=True)
class Identity:
    """Which names of several registries mean one service.

    Attributes:
        aliases: come before the templates; one with a namespace before one without.
        templates: the first that fits counts.
        keeps_names: whether services may still be called by the names that they had.
    """

    aliases: tuple[IdentityAlias, ...] = ()
    templates: tuple[IdentityTemplate, ...] = ()
    keeps_names: bool = True
    _by_name: Mapping[tuple[SourceId, ServiceKey], IdentityAlias] = field(
        init=False, eq=False, repr=False
    )

    @_by_name.default
    def _index(self) -> Mapping[tuple[SourceId, ServiceKey], IdentityAlias]:
        return {(one.source, one.name): one for one in self.aliases}

    def identify(self, given: ServiceKey, source: SourceId) -> Identified | None:
        """What a service is called that a source calls so; None if no rule is about it.

        Raises:
            ValueError: if what comes out is not a host name.
        """
        for name in (given, ServiceKey("", given.host)):
            alias = self._by_name.get((source, name))
            if alias is not None:
                return Identified(alias.key, alias.origin)
        for template in self.templates:
            key = template.key(given, source)
            if key is not None:
                return Identified(key, template.origin)
        return None
