"""Server-sent events, in which Marathon streams: lines of fields, ended by an empty line."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.errors import RegistryProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 64 * 1024 * 1024


@frozen
class ServerEvent:
    """One event.

    Attributes:
        name: of the field ``event``; ``message`` without it.
        data: the lines of ``data``, joined by newlines.
    """

    name: str
    data: str


class EventReader:
    """Events out of bytes that come in pieces.

    After the HTML standard, section 9.2.6: lines end in CR, LF or both; comments and fields
    that we do not know are passed over, and so is an event without data.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        """Take some bytes in; every event that they complete, once iterated over.

        Raises:
            RegistryProtocolError: if an event is too long to be one.
        """
        text = self._rest + self._decoder.decode(data)
        # A CR at the end may be the first half of a line's end.
        held = "\r" if text.endswith("\r") else ""
        lines = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop() + held
        self._size += len(data)
        if self._size > _LONGEST:
            msg = f"an event is longer than {_LONGEST} bytes; is this address Marathon's?"
            raise RegistryProtocolError(msg)
        for line in lines:
            event = self._line(line)
            if event is not None:
                yield event

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            event = ServerEvent(self._name or "message", "\n".join(self._data))
            is_whole = bool(self._data)
            self._name, self._data, self._size = "", [], 0
            return event if is_whole else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        return None
