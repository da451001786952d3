"""Values of headers as texts: the same ones, whoever stands before a service."""

from __future__ import annotations

import re

_NOT_UTF8 = re.compile("[\udc80-\udcff]")


def header_text(value: bytes) -> str:
    """A header's value as an attribute: UTF-8, and ``!`` for each byte that is none.

    HTTP does not say what the bytes beyond ASCII are (RFC 9110, section 5.5). This is how Envoy
    tells them, so that a rule finds the same text behind an Envoy and in a program. It has as
    many bytes as the value.
    """
    return _NOT_UTF8.sub("!", value.decode(errors="surrogateescape"))
