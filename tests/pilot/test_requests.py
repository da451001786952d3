"""Requests in a few words."""

from __future__ import annotations

import pytest

from meshregistry.pilot._requests import request_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a?b=c", ("GET", "/a?b=c", {})),
        ("post /a", ("POST", "/a", {})),
        ("GET / -H 'X-User: anna b' -H y:1", ("GET", "/", {"x-user": "anna b", "y": "1"})),
        ("/ --header a:1 -H a:2", ("GET", "/", {"a": "1,2"})),
    ],
)
def test_words(text, expected):
    """Method, target and headers."""
    words = request_words(text)
    assert (words["method"], words["target"], words["headers"]) == expected


@pytest.mark.parametrize("text", ["", "GET", "/a /b", "/a -H", "/a -H x", "/a 'b", "/a -X POST"])
def test_other_words_are_an_error_with_an_example(text):
    """What to write instead."""
    with pytest.raises(ValueError, match="write"):
        request_words(text)
