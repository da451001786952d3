"""Attributes by the API that a request is for."""

from __future__ import annotations

import pytest

from meshregistry.mixer import Api, ApiKey, ApiPattern

SHOP = Api(
    attributes={"api.service": "shop", "api.version": "v1"},
    patterns=[
        ApiPattern({"api.operation": "order"}, "/orders/{id}"),
        ApiPattern({"api.operation": "cancel"}, "/orders/{id}", method="DELETE"),
        ApiPattern({"api.operation": "last"}, "/orders/last"),
        ApiPattern({"api.operation": "files"}, "/files/**"),
        ApiPattern({"api.operation": "picture"}, "/files/*/picture"),
        ApiPattern({"api.operation": "named"}, "/named/{rest=**}"),
        ApiPattern({"api.protocol": "rest"}, regex="/o.*"),
        ApiPattern({"api.version": "v2"}, regex=".*/last"),
    ],
)


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", "/else", {}),
        ("GET", "/orders/7", {"api.operation": "order", "api.protocol": "rest"}),
        ("DELETE", "/orders/7", {"api.operation": "cancel", "api.protocol": "rest"}),
        (
            "GET",
            "/orders/last",
            {"api.operation": "last", "api.protocol": "rest", "api.version": "v2"},
        ),
        ("GET", "/orders/7/8", {"api.protocol": "rest"}),
        ("GET", "/orders/", {"api.protocol": "rest"}),
        ("GET", "/files", {"api.operation": "files"}),
        ("GET", "/files/a/b/c", {"api.operation": "files"}),
        ("GET", "/files/a/picture", {"api.operation": "picture"}),
        ("GET", "/named/a/b", {"api.operation": "named"}),
    ],
)
def test_the_most_exact_template_and_every_expression_count(method, path, more):
    """A literal segment before a variable one, that before the rest, a method before any."""
    expected = {"api.service": "shop", "api.version": "v1", **more}
    assert expected == SHOP.describe(method, path, {}, {})


@pytest.mark.parametrize(
    ("parameters", "headers", "key"),
    [
        ({}, {}, None),
        ({"key": "1", "api_key": "2"}, {"x-api-key": "3"}, "1"),
        ({"api_key": "2"}, {"x-api-key": "3"}, "2"),
        ({"key": ""}, {"x-api-key": "3"}, "3"),
    ],
)
def test_the_first_key_that_is_there_counts(parameters, headers, key):
    """In the query, then in the header, unless the API says otherwise."""
    assert key == Api().describe("GET", "/", parameters, headers).get("request.api_key")


def test_a_key_may_be_a_cookie():
    """Of several cookies, the one with its name."""
    api = Api(keys=[ApiKey(cookie="k")])
    for cookies, key in (("a=1; k=2", "2"), ("a=1", None), ("", None)):
        said = api.describe("GET", "/", {"key": "no"}, {"cookie": cookies})
        assert key == said.get("request.api_key")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ApiKey(), "in one of query, header and cookie"),  # noqa: PLW0108 - deferred
        (lambda: ApiKey(query="a", header="b"), "in one of query, header and cookie"),
        (lambda: ApiPattern({}), "one of template and regex"),
        (lambda: ApiPattern({}, "/a", "/b"), "one of template and regex"),
        (lambda: ApiPattern({}, "a"), "does not begin with /"),
        (lambda: ApiPattern({}, "/**/a"), "** is not at the end"),
        (lambda: ApiPattern({}, "/a{b}"), "'a{b}' is no segment"),
        (lambda: ApiPattern({}, regex="("), "'(' is not a regular expression"),
    ],
)
def test_what_is_no_pattern_is_told_when_it_is_made(make, words):
    """With the text that is wrong."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared below
        make()
    assert words in str(caught.value)
