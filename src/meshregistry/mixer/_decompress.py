"""Compressed attributes to attribute bags; `_compress` says how they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from meshregistry.errors import MixerError
from meshregistry.mixer._attributes import AttributeBag, StringMap
from meshregistry.mixer._compress import Repeated
from meshregistry.mixer._dictionary import words_by_index
from meshregistry.mixer._times import read_duration, read_time
from meshregistry.mixer._words import GLOBAL_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from meshregistry.mixer._attributes import Value
    from meshregistry.mixer.proto.mixer_v1_pb2 import CompressedAttributes, ReportRequest

_global = dict(enumerate(GLOBAL_WORDS)).get


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
