"""Attribute bags to compressed attributes and back.

Every name, text, key and value of a map is an index into the global list or into the list of
the message (`_dictionary`). The reports of a batch share one list, and may be differences:
each entry then says only what is not as in the entry before.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from meshregistry.errors import MixerError
from meshregistry.mixer._attributes import AttributeBag, StringMap, Value
from meshregistry.mixer._dictionary import Dictionary, known_words, words_by_index
from meshregistry.mixer._words import GLOBAL_WORDS
from meshregistry.mixer.proto.mixer_v1_pb2 import CompressedAttributes, ReportRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

_global = dict(enumerate(GLOBAL_WORDS)).get
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
_NANOS_PER_MICRO = 1_000
_LAST_NANO = 999_999_999
_LONGEST_SECONDS = 315_576_000_000


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


@frozen
class Decoded:
    """A decoded bag.

    Attributes:
        bag: what could be read.
        faults: what could not, and reads as absent: indices of no word, times out of range.
    """

    bag: AttributeBag
    faults: tuple[str, ...] = ()


def decode_attributes(message: CompressedAttributes, words: Sequence[str] | None = None) -> Decoded:
    """Read compressed attributes.

    Args:
        message: what was received.
        words: the list for messages without one of their own, as the entries of a report.

    Raises:
        MixerError: if two attributes have one name.
    """
    values: dict[str, Value] = {}
    faults: list[str] = []
    _read(message, words or (), values, faults, set())
    return Decoded(AttributeBag.of_checked(values), tuple(faults))


def decode_report(request: ReportRequest) -> Iterator[Decoded | MixerError]:
    """Read a batch of reports, entry by entry; an entry that cannot be read gives the error.

    Entries after it are read all the same. In differences a fault concerns what follows: there
    an entry with faults is an error, too, and what could not be read is absent, and not as
    it was before, until an entry says it again.
    """
    is_delta = request.repeated_attributes_semantics == Repeated.DELTA.value
    words = list(request.default_words)
    seen: dict[str, Value] = {}
    for number, entry in enumerate(request.attributes):
        values: dict[str, Value] = {}
        faults: list[str] = []
        lost: set[str] = set()
        error = None
        try:
            _read(entry, words, values, faults, lost)
        except MixerError as caught:
            error = str(caught)
        if is_delta:
            seen.update(values)
            for name in lost:
                seen.pop(name, None)
            values = dict(seen)
            error = error or "; ".join(faults)
        if error:
            yield MixerError(f"report {number}: {error}")
            continue
        yield Decoded(AttributeBag.of_checked(values), tuple(faults))


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


def write_time(target: Timestamp, value: datetime) -> None:
    """Fill a timestamp of a message."""
    target.seconds, rest = divmod(value - _EPOCH, _SECOND)
    target.nanos = rest // _MICROSECOND * _NANOS_PER_MICRO


def _write_duration(message: CompressedAttributes, key: int, value: timedelta, _: object) -> None:
    write_duration(message.durations[key], value)


def write_duration(target: Duration, value: timedelta) -> None:
    """Fill a duration of a message; seconds and nanoseconds have one sign."""
    seconds, rest = divmod(abs(value), _SECOND)
    sign = -1 if value < timedelta(0) else 1
    target.seconds = sign * seconds
    target.nanos = sign * (rest // _MICROSECOND) * _NANOS_PER_MICRO


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


def read_time(source: Timestamp) -> datetime | None:
    """The time of a message, cut to microseconds; None if it is out of range."""
    if not 0 <= source.nanos <= _LAST_NANO:
        return None
    try:
        return _EPOCH + timedelta(
            seconds=source.seconds, microseconds=source.nanos // _NANOS_PER_MICRO
        )
    except OverflowError:
        return None


def read_duration(source: Duration) -> timedelta | None:
    """The duration of a message, cut to microseconds; None if it is out of range."""
    seconds, nanos = source.seconds, source.nanos
    is_mixed = (seconds < 0 < nanos) or (nanos < 0 < seconds)
    if is_mixed or abs(nanos) > _LAST_NANO or abs(seconds) > _LONGEST_SECONDS:
        return None
    micros = abs(nanos) // _NANOS_PER_MICRO
    return timedelta(seconds=seconds, microseconds=-micros if nanos < 0 else micros)


def _read(
    message: CompressedAttributes,
    default: Sequence[str],
    values: dict[str, Value],
    faults: list[str],
    lost: set[str],
) -> None:
    """Read values and faults, and the names of what is said and cannot be known.

    Raises:
        MixerError: if two attributes have one name; after everything has been read.
    """
    # One slice is far quicker than a message's list, word by word.
    words = message.words[:] or default
    found = _read_sound(message, words)
    if found is not None:
        values.update(found)
        return
    own = words_by_index(words).get
    twice = None
    for key, value in _read_values(message, own):
        name = _global(key) or own(key)
        if name is None:
            faults.append(f"no word has the index {key}")
        elif value is None:
            faults.append(f"the value of {name!r} cannot be read")
            lost.add(name)
        elif name in values:
            twice = name
            lost.add(name)
        else:
            values[name] = value
    if twice is not None:
        raise MixerError(f"the attribute {twice!r} is there twice")


def _read_sound(message: CompressedAttributes, words: Sequence[str]) -> dict[str, Value] | None:
    """All values at once; None if something is wrong, so that it has to be found out what.

    By key, since the messages' own `items()` is a loop in Python, and with `word_at` written out:
    a call for each word would double the time of a message.
    """
    named = GLOBAL_WORDS
    strings, maps = message.strings, message.string_maps
    times, durations = message.timestamps, message.durations
    try:
        values: dict[str, Any] = {
            (named[key] if key >= 0 else words[~key]): (
                named[index] if index >= 0 else words[~index]
            )
            for key in strings
            for index in (strings[key],)
        }
        count = len(strings) + len(maps) + len(times) + len(durations)
        for plain in (message.int64s, message.doubles, message.bools, message.bytes):
            count += len(plain)
            for key in plain:
                values[named[key] if key >= 0 else words[~key]] = plain[key]
        for key in times:
            time = values[named[key] if key >= 0 else words[~key]] = read_time(times[key])
            if time is None:
                return None
        for key in durations:
            duration = read_duration(durations[key])
            values[named[key] if key >= 0 else words[~key]] = duration
            if duration is None:
                return None
        for key in maps:
            entries = maps[key].entries
            values[named[key] if key >= 0 else words[~key]] = StringMap.of_checked(
                {
                    (named[one] if one >= 0 else words[~one]): (
                        named[index] if index >= 0 else words[~index]
                    )
                    for one in entries
                    for index in (entries[one],)
                }
            )
    except IndexError:
        return None
    return values if len(values) == count else None


def _read_values(
    message: CompressedAttributes, own: Callable[[int], str | None]
) -> Iterator[tuple[int, Value | None]]:
    """Index and value of each attribute; None for a value that cannot be read.

    By key, since the messages' own `items()` is a loop in Python. No global word is empty.
    """
    strings = message.strings
    for key in strings:
        index = strings[key]
        yield key, _global(index) or own(index)
    for plain in (message.int64s, message.doubles, message.bools, message.bytes):
        for key in plain:
            yield key, plain[key]
    times = message.timestamps
    for key in times:
        yield key, read_time(times[key])
    durations = message.durations
    for key in durations:
        yield key, read_duration(durations[key])
    maps = message.string_maps
    for key in maps:
        yield key, _read_map(maps[key].entries, own)


def _read_map(entries: Mapping[int, int], own: Callable[[int], str | None]) -> StringMap | None:
    found: dict[str | None, str | None] = {}
    for key in entries:
        index = entries[key]
        found[_global(key) or own(key)] = _global(index) or own(index)
    if None in found or None in found.values():
        return None
    return StringMap.of_checked(cast("dict[str, str]", found))
