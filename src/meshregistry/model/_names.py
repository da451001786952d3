"""Names: host names, service keys, labels. Small types that validate once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NewType, Self

from attrs import field, frozen

SourceId = NewType("SourceId", str)
"""The id of one configured source, such as ``dc1``."""

RecordKey = NewType("RecordKey", str)
"""The backend's own name of a record, unique within a part of a source."""

_LABEL = re.compile(r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?")
_LONGEST_NAME = 253
_LONGEST_LABEL = 63


class Hostname(str):
    """A DNS host name in lower case, without a trailing dot.

    Labels follow RFC 1123, with the underscore allowed because registries use it. The
    first label may be ``*`` (a wildcard host of a ServiceEntry). It is a ``str``, so it
    prints, compares and hashes as one.

    Raises:
        ValueError: if the text is not a host name.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Validate and normalise the text."""
        if type(text) is cls:
            return text
        name = text.lower().removesuffix(".")
        if not name or len(name) > _LONGEST_NAME:
            msg = f"{text!r} is not a host name: it must have 1 to {_LONGEST_NAME} characters"
            raise ValueError(msg)
        labels = name.split(".")
        for label in labels[1:] if labels[0] == "*" else labels:
            if len(label) > _LONGEST_LABEL or not _LABEL.fullmatch(label):
                msg = (
                    f"{text!r} is not a host name: the label {label!r} must be at most "
                    f"{_LONGEST_LABEL} letters, digits or inner hyphens"
                )
                raise ValueError(msg)
        return super().__new__(cls, name)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The same as calling the class; the house's name for reading from text."""
        return cls(text)

    @property
    def is_wildcard(self) -> bool:
        """Whether the first label is ``*``."""
        return self.startswith("*")


@frozen(order=True, cache_hash=True)
class ServiceKey:
    """The merged identity of a service: namespace and host.

    The text form is ``namespace/host``; an empty namespace gives just the host.
    """

    namespace: str
    host: Hostname = field(converter=Hostname)

    @classmethod
    def parse(cls, text: str) -> ServiceKey:
        """Read ``namespace/host`` or ``host``.

        Raises:
            ValueError: if the host is not a host name.
        """
        namespace, _, host = text.rpartition("/")
        return cls(namespace, Hostname(host))

    def __str__(self) -> str:
        return f"{self.namespace}/{self.host}" if self.namespace else str(self.host)


def _pairs(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


@frozen(cache_hash=True, repr=False, order=True)
class Labels(Mapping[str, str]):
    """An immutable, hashable mapping of label keys to values, in canonical order.

    The text form is ``key=value,key=value``, sorted by key.
    """

    _sorted: tuple[tuple[str, str], ...] = field(factory=dict[str, str], converter=_pairs)

    @classmethod
    def parse(cls, text: str) -> Labels:
        """Read ``key=value,key``; a bare key has the value ``""``."""
        pairs = (part.partition("=") for part in text.split(",") if part)
        return cls({key: value for key, _, value in pairs})

    def __getitem__(self, key: str) -> str:
        for own, value in self._sorted:
            if own == key:
                return value
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._sorted)

    def __len__(self) -> int:
        return len(self._sorted)

    def __str__(self) -> str:
        return ",".join(f"{key}={value}" for key, value in self._sorted)

    def __repr__(self) -> str:
        return f"Labels({self})"


def to_labels(labels: Mapping[str, str] | None) -> Labels:
    """Take labels as they are, or make them from any mapping; None gives none."""
    return labels if isinstance(labels, Labels) else Labels(labels or {})


@frozen
class Selector:
    """Chooses by labels: every own pair must be present. Empty chooses everything."""

    labels: Labels = field(factory=Labels, converter=to_labels)

    def is_match(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels hold every pair of the selector."""
        return all(labels.get(key) == value for key, value in self.labels.items())
