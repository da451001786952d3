"""The list-watch as a state machine: no loop, no server, no time but what it is told."""

from __future__ import annotations

from random import Random

import pytest

from meshregistry.errors import RegistryProtocolError
from meshregistry_kubernetes._progress import ListPage, Probe, Progress, Watch
from meshregistry_kubernetes._status import Status

EXPIRED = Status(code=410, reason="Expired")
AHEAD = Status(code=504, reason="Timeout", is_version_ahead=True)


def progress(**options):
    """Fixed randomness."""
    return Progress(random=Random(7), **{"page_size": 2, **options})


def listed(version="10", **options):
    """One that has its first listing."""
    one = progress(**options)
    assert one.page(version, "")
    return one


class TestListing:
    def test_it_begins_with_the_newest_state(self):
        """A listing without version is consistent, not whatever a cache has."""
        assert {"limit": "2"} == progress().request().query

    def test_pages_are_followed_to_the_last(self):
        """A continued listing names no version; the watch begins at that of the first page."""
        one = progress()
        assert not one.page("10", "t1")
        assert {"limit": "2", "continue": "t1"} == one.request().query
        assert not one.page("12", "t2")
        assert one.page("13", "")
        assert "10" == one.request().version

    def test_a_continuation_that_expired_begins_anew(self):
        """The server's offer of an inconsistent rest is no mirror."""
        one = progress()
        one.page("10", "t1")
        assert 0.0 == one.refused(EXPIRED)
        assert ListPage(2) == one.request()

    def test_a_break_between_pages_begins_anew(self):
        """Whether the same server would go on cannot be known."""
        one = progress()
        one.page("10", "t1")
        one.broken()
        assert ListPage(2) == one.request()

    def test_a_listing_without_version_is_nonsense(self):
        """Nothing could be watched from it."""
        with pytest.raises(RegistryProtocolError, match="without resourceVersion"):
            progress().page("", "")


class TestWatching:
    def test_a_watch_goes_on_from_the_newest_version_seen(self):
        """Bookmarks count, too, so a quiet collection does not lose its place."""
        one = listed()
        one.saw("11")
        assert one.bookmarked("15")
        assert 0.0 == one.ended(300.0, is_idle=False)
        request = one.request()
        assert ("15", "true") == (
            request.query["resourceVersion"],
            request.query["allowWatchBookmarks"],
        )

    def test_watches_of_replicas_do_not_end_together(self):
        """Each lasts between the time and twice the time."""
        one = listed(watch_timeout=300.0)
        seconds = {one.request().seconds for _ in range(50)}
        assert len(seconds) > 10
        assert all(300 <= one <= 600 for one in seconds)

    def test_an_expired_version_is_listed_from(self):
        """First from what was seen, which a cache may have; then the newest state."""
        one = listed()
        assert 0.0 == one.refused(EXPIRED)
        assert {
            "limit": "2",
            "resourceVersion": "10",
            "resourceVersionMatch": "NotOlderThan",
        } == one.request().query
        one.refused(EXPIRED)
        assert ListPage(2) == one.request()

    def test_expiry_after_expiry_is_no_storm(self):
        """Only the first is answered at once."""
        one = listed()
        pauses = [one.refused(EXPIRED) for _ in range(8)]
        assert 0.0 == pauses[0]
        assert sum(pauses[2:]) > 1.0

    def test_busy_servers_keep_the_place(self):
        """429 and 500 are waited out, at least as long as the server asks; nothing is listed."""
        one = listed()
        assert 7.0 == one.refused(Status(code=429, retry_after=7.0))
        one.refused(Status(code=500))
        assert isinstance(one.request(), Watch)

    def test_a_server_that_does_not_catch_up_is_listed_anew(self):
        """It has lost what was seen; waiting would never end."""
        one = listed()
        for _ in range(2):
            one.refused(AHEAD)
            assert isinstance(one.request(), Watch)
        one.refused(AHEAD)
        assert ListPage(2) == one.request()

    def test_a_watch_that_ends_at_once_is_a_fault(self):
        """To ask again and again would be a storm; one that lasted resets that."""
        one = listed()
        pauses = [one.ended(0.1, is_idle=True) for _ in range(6)]
        assert sum(pauses) > 0.5
        assert 0.0 == one.ended(60.0, is_idle=True)
        assert 0 == one.failures


class TestOutages:
    def test_after_a_break_the_server_is_probed(self):
        """If its first object is held and its version did not go back, the watch goes on."""
        one = listed()
        one.broken()
        assert Probe() == one.request()
        one.probed("12", is_known=True)
        assert "10" == one.request().version

    @pytest.mark.parametrize(("version", "is_known"), [("9", True), ("12", False)])
    def test_another_history_is_listed(self, version, is_known):
        """A restored or wiped server would keep a watch from the old place silent."""
        one = listed()
        one.broken()
        one.probed(version, is_known=is_known)
        assert ListPage(2) == one.request()

    def test_a_bookmark_from_the_past_tells_of_another_history(self):
        """The watch is given up."""
        one = listed()
        assert not one.bookmarked("9")
        assert ListPage(2) == one.request()

    def test_attempts_are_spaced(self):
        """At once, then at random within a step that doubles up to its limit."""
        one = listed(retry_max=5.0)
        pauses = [one.broken() for _ in range(200)]
        assert 0.0 == pauses[0]
        assert pauses[1] <= 0.8
        assert 4.0 < max(pauses) <= 5.0
        assert 1.5 < sum(pauses[10:]) / 190 < 3.5

    def test_events_reset_the_pauses(self):
        """The connection works."""
        one = listed()
        for _ in range(9):
            one.broken()
        one.saw("11")
        assert 0.0 == one.broken()
