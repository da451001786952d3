"""Values of headers as texts."""

from __future__ import annotations

import pytest

from meshregistry.mixer._header_text import header_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        ("é€".encode(), "é€"),
        (b"\xe9", "!"),
        (b"\xff\xfeab\xc3\xa9\xe2\x82", "!!abé!!"),
        # A surrogate, and more bytes than a letter needs.
        (b"\xed\xa0\x80", "!!!"),
        (b"\xc0\xaf", "!!"),
    ],
)
def test_bytes_that_are_no_utf8_are_marked(value, text):
    """Each by itself, as Envoy does, so the text has as many bytes as the value."""
    assert text == header_text(value)
    assert len(value) == len(text.encode())
