"""What is right and hardly meant is told."""

from __future__ import annotations

import pytest

from meshregistry.mixer.expressions import doubts


@pytest.mark.parametrize(
    "text",
    [
        'request.path.matches("^/admin")',
        'request.method == "GET" && request.headers["x"].matches("y")',
        'toLower(request.path).matches("^/a") || true',
    ],
)
def test_the_pattern_after_the_text(text):
    """As in most languages; here the text would be the pattern, which never matches."""
    (doubt,) = doubts(text)
    assert 'write "pattern".matches(attribute)' in doubt.reason
    assert doubt.column == text.index("matches")


@pytest.mark.parametrize(
    "text",
    [
        '"^/admin".matches(request.path)',
        '"a".matches("b")',
        'source.name.matches(request.path) && request.path.startsWith("/")',
    ],
)
def test_what_may_be_meant(text):
    """A pattern may come with a request."""
    assert doubts(text) == ()
