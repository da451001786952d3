"""Attribute bags to compressed attributes; `_decompress` reads them.

Every name, text, key and value of a map is an index into the global list or into the list of
the message (`_dictionary`). The reports of a batch share one list, and may be differences:
each entry then says only what is not as in the entry before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING

from meshregistry.mixer._attributes import AttributeBag, StringMap, Value
from meshregistry.mixer._dictionary import Dictionary, known_words
from meshregistry.mixer._times import write_duration, write_time
from meshregistry.mixer._words import GLOBAL_WORDS
from meshregistry.mixer.proto.mixer_v1_pb2 import CompressedAttributes, ReportRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


class Repeated(Enum):
    """How the entries of a batch of reports relate to each other; the values are the wire's."""

    DELTA = 0
    """Each entry overlays the entries before; the only one that servers before 1.1 know."""
    INDEPENDENT = 1
    """Each entry stands for itself."""


class Compressor:
    """Encodes bags for a receiver that knows so many global words.

    Args:
        word_count: how many words of the global list to use.

    Raises:
        ValueError: if the list does not have so many.
    """

    def __init__(self, word_count: int = len(GLOBAL_WORDS)) -> None:
        self._known = known_words(word_count)
        self.word_count = word_count

    def attributes(self, bag: AttributeBag) -> CompressedAttributes:
        """One bag with its own list of words, as a check carries it."""
        dictionary = Dictionary(self._known)
        message = CompressedAttributes()
        _fill(message, bag.entries, dictionary)
        message.words.extend(dictionary.words)
        return message

    def report(
        self, bags: Sequence[AttributeBag], repeated: Repeated | None = None
    ) -> ReportRequest:
        """A batch of reports with one list of words.

        Args:
            bags: one for each report, in order.
            repeated: how to encode them; None chooses differences where they can say all.

        Raises:
            ValueError: if an entry lacks an attribute of the entry before, which a
                difference cannot say: see `delta_runs`.
        """
        if repeated is None:
            repeated = Repeated.DELTA if _is_one_run(bags) else Repeated.INDEPENDENT
        elif repeated is Repeated.DELTA and not _is_one_run(bags):
            raise ValueError("an attribute is gone: a difference cannot say that; use delta_runs()")
        dictionary = Dictionary(self._known)
        message = ReportRequest(
            global_word_count=self.word_count,
            repeated_attributes_semantics=f"{repeated.name}_ENCODING",
        )
        last: Mapping[str, Value] = {}
        for bag in bags:
            said = bag.entries
            if repeated is Repeated.DELTA:
                said = _difference(last, bag.entries)
                last = bag.entries
            _fill(message.attributes.add(), said, dictionary)
        message.default_words.extend(dictionary.words)
        return message


def delta_runs(bags: Iterable[AttributeBag]) -> Iterator[list[AttributeBag]]:
    """Cut a batch where an attribute is gone, so that differences can say each piece."""
    run: list[AttributeBag] = []
    for bag in bags:
        if run and not run[-1].entries.keys() <= bag.entries.keys():
            yield run
            run = []
        run.append(bag)
    if run:
        yield run


def _is_one_run(bags: Sequence[AttributeBag]) -> bool:
    return all(one.entries.keys() <= next_.entries.keys() for one, next_ in pairwise(bags))


def _difference(last: Mapping[str, Value], new: Mapping[str, Value]) -> dict[str, Value]:
    missing = object()
    said = {}
    for name, value in new.items():
        old = last.get(name, missing)
        if old is not value and (old != value or type(old) is not type(value)):
            said[name] = value
    return said


def _fill(
    message: CompressedAttributes, values: Mapping[str, Value], dictionary: Dictionary
) -> None:
    """Write values into a message that is empty."""
    index = dictionary.index
    strings: dict[int, int] = {}
    for name, value in values.items():
        kind = type(value)
        key = index(name)
        if kind is str:
            strings[key] = index(value)  # type: ignore[arg-type] # the line above says that it is text
        else:
            _WRITERS[kind](message, key, value, index)
    if strings:
        message.strings.update(strings)


def _write_map(
    message: CompressedAttributes, key: int, value: StringMap, index: Callable[[str], int]
) -> None:
    entries = message.string_maps[key].entries
    entries.update({index(own): index(text) for own, text in value.entries.items()})


def _write_time(message: CompressedAttributes, key: int, value: datetime, _: object) -> None:
    write_time(message.timestamps[key], value)


def _write_duration(message: CompressedAttributes, key: int, value: timedelta, _: object) -> None:
    write_duration(message.durations[key], value)


def _write_int64(message: CompressedAttributes, key: int, value: int, _: object) -> None:
    message.int64s[key] = value


def _write_double(message: CompressedAttributes, key: int, value: float, _: object) -> None:
    message.doubles[key] = value


def _write_bool(message: CompressedAttributes, key: int, value: bool, _: object) -> None:
    message.bools[key] = value


def _write_bytes(message: CompressedAttributes, key: int, value: bytes, _: object) -> None:
    message.bytes[key] = value


_WRITERS: Mapping[type, Callable[..., None]] = {
    int: _write_int64,
    float: _write_double,
    bool: _write_bool,
    bytes: _write_bytes,
    datetime: _write_time,
    timedelta: _write_duration,
    StringMap: _write_map,
}
