"""Facts of pages, pauses, refusals and tokens, without a server."""

from __future__ import annotations

import pytest

from meshregistry.errors import RegistryAuthError, RegistryProtocolError, RegistryUnavailable
from meshregistry_cloudfoundry._capi_http import Listing, Page, is_moving, pause_of, refusal
from meshregistry_cloudfoundry._uaa import Token, grant, token_of

UAA = "https://uaa.example"


def page(*guids, total=None, following=None):
    """As the API gives it."""
    return {
        "pagination": {"total_results": len(guids) if total is None else total, "next": following},
        "resources": [{"guid": one} for one in guids],
    }


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"resources": []},
        {**page(), "pagination": {"next": None}},
        {**page(), "resources": [{}]},
        {
            **page(),
            "resources": [{"guid": "a"}],
            "pagination": {"total_results": "x", "next": None},
        },
        {**page(), "included": 7},
    ],
)
def test_what_is_no_page_is_refused(body):
    """A listing is never taken for empty because it is not understood."""
    with pytest.raises(RegistryProtocolError, match="no page"):
        Page.of(body, "/v3/routes")


def test_pages_are_put_together():
    """What was included, too; the address of the next is followed as it is."""
    listing = Listing()
    first = Page.of(
        {**page("a", total=2, following={"href": "x"}), "included": {"spaces": [{"guid": "s"}]}},
        "/",
    )
    listing.add(first)
    listing.add(Page.of({**page("b", total=2), "included": {"spaces": [{"guid": "t"}]}}, "/"))
    assert ("x", {"a", "b"}, {"s", "t"}) == (
        first.following,
        set(listing.resources),
        set(listing.included["spaces"]),
    )
    assert not is_moving(listing)


@pytest.mark.parametrize(
    "pages", [[page("a", total=2), page("b", total=3)], [page("a", total=2), page("a", total=2)]]
)
def test_a_listing_that_lacks_something_is_known_as_one(pages):
    """By another total, or by fewer things than there are."""
    listing = Listing()
    for one in pages:
        listing.add(Page.of(one, "/"))
    assert is_moving(listing)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "-1"}, 0.0),
        ({"Retry-After": "soon"}, 5.0),
        (
            {"Date": "Thu, 01 Jan 1970 00:01:00 GMT", "X-RateLimit-Reset": "90"},
            30.0,
        ),
        ({"Date": "Thu, 01 Jan 1970 00:02:00 GMT", "X-RateLimit-Reset": "90"}, 0.0),
        ({"Date": "today", "X-RateLimit-Reset": "90"}, 5.0),
        ({"X-RateLimit-Reset": "90"}, 5.0),
        ({}, 5.0),
    ],
)
def test_the_server_says_how_long_to_pause(said, expected):
    """By its own clock, so that ours may be wrong."""
    assert expected == pause_of(said)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, RegistryAuthError),
        (403, RegistryAuthError),
        (404, RegistryProtocolError),
        (422, RegistryProtocolError),
        (500, RegistryUnavailable),
        (503, RegistryUnavailable),
    ],
)
def test_a_refusal_says_how_to_retry(status, kind):
    """With the title of the error and without the query."""
    body = {"errors": [{"code": 1, "title": "CF-Title", "detail": "x"}]}
    error = refusal(status, body, "https://api.example/v3/routes?page=2")
    assert type(error) is kind
    assert f"{status} CF-Title" in str(error)
    assert "page=2" not in str(error)
    for other in ("<html>", {"errors": "not now"}, {"errors": {"a": "b"}}, {"errors": ["c", None]}):
        assert type(refusal(status, other, "https://api.example/")) is kind


def test_a_grant_follows_from_the_credentials():
    """A user's password, a refresh token, or the client alone."""
    assert {"grant_type": "password", "username": "u"} == grant("u", has_refresh_token=False)
    assert {"grant_type": "refresh_token"} == grant("", has_refresh_token=True)
    assert {"grant_type": "client_credentials"} == grant("", has_refresh_token=False)


class TestToken:
    def test_it_is_renewed_before_it_ends(self):
        """A tenth of its time before."""
        token = token_of(
            200, {"access_token": "a", "refresh_token": "r", "expires_in": 100}, UAA, 50
        )
        assert ("a", "r") == (token.access, token.refresh)
        assert [True, False] == [token.is_valid(now) for now in (139, 141)]
        assert not Token().is_valid(0)

    def test_it_is_never_printed(self):
        """Nor is the one that renews it."""
        assert "planted" not in repr(Token("planted", "planted", 1.0))

    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (401, {"error": "unauthorized"}, RegistryAuthError),
            (400, {"error": "invalid_grant"}, RegistryAuthError),
            (403, "<html>", RegistryAuthError),
            (429, {}, RegistryUnavailable),
            (502, "<html>", RegistryUnavailable),
            (200, "text", RegistryUnavailable),
            (200, {"access_token": 7}, RegistryUnavailable),
            (200, {"access_token": "a", "expires_in": "x"}, RegistryUnavailable),
        ],
    )
    def test_an_answer_without_one_says_how_to_retry(self, status, body, kind):
        """Refused credentials slowly, all else soon."""
        with pytest.raises(kind, match=r"uaa\.example"):
            token_of(status, body, UAA, 0)

    def test_what_uaa_says_beside_the_code_is_not_shown(self):
        """It may repeat what it was sent."""
        body = {"error": "planted secret", "error_description": "planted"}
        with pytest.raises(RegistryAuthError) as caught:
            token_of(401, body, UAA, 0)
        assert "planted" not in str(caught.value)
