"""RecordIO, in which Mesos streams events: a decimal length, a newline, so many bytes, and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.errors import RegistryProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIGITS = 12
"""The most digits of a length: no state of a cluster has a terabyte."""


class RecordReader:
    """Records out of bytes that come in pieces; where they are cut has no meaning.

    The format is in Mesos' documentation of its HTTP APIs, under "RecordIO response format".
    """

    def __init__(self) -> None:
        self._pieces = bytearray()
        self._size: int | None = None

    @property
    def is_between(self) -> bool:
        """Whether all that was fed has been given out: a stream may end well only here."""
        return not self._pieces and self._size is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take some bytes in; every record that they complete, once iterated over.

        Raises:
            RegistryProtocolError: if they are not RecordIO.
        """
        self._pieces += data
        while True:
            if self._size is None:
                self._size = self._length()
            if self._size is None or len(self._pieces) < self._size:
                return
            record = bytes(self._pieces[: self._size])
            del self._pieces[: self._size]
            self._size = None
            yield record

    def _length(self) -> int | None:
        """The length that comes next, taken out; None if it is not all there."""
        end = self._pieces.find(b"\n")
        digits = self._pieces[: _DIGITS + 1] if end < 0 else self._pieces[:end]
        is_number = digits.isdigit() and len(digits) <= _DIGITS
        if not is_number and (digits or end >= 0):
            msg = f"the stream is not RecordIO: a length cannot begin with {bytes(digits[:20])!r}; is this address a Mesos master's?"
            raise RegistryProtocolError(msg)
        if end < 0:
            return None
        del self._pieces[: end + 1]
        return int(digits)
