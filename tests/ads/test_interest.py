"""Interest: what a client wants, in both variants."""

from __future__ import annotations

import pytest

from meshregistry.ads._interest import Interest

NOTHING = Interest()


def restated(*lists: tuple[str, ...], is_full_state: bool = True) -> Interest:
    """After these state-of-the-world requests."""
    interest = NOTHING
    for names in lists:
        interest = interest.restated(names, is_full_state=is_full_state)
    return interest


def adjusted(interest: Interest, subscribe: str = "", unsubscribe: str = "") -> Interest:
    """After one incremental request."""
    return interest.adjusted(subscribe.split(), unsubscribe.split(), is_legacy_wildcard=False)


class TestStateOfTheWorld:
    def test_an_empty_list_is_the_legacy_wildcard_of_a_full_state_type(self):
        """Listeners and clusters: nothing named means everything."""
        interest = restated(())
        assert interest.is_wildcard
        assert interest.covers("any")
        assert interest == interest.restated((), is_full_state=True)

    def test_an_empty_list_is_no_interest_in_a_type_by_name(self):
        """EDS, RDS, SDS, VHDS and ECDS have no legacy wildcard."""
        assert restated((), is_full_state=False).is_empty

    @pytest.mark.parametrize("is_full_state", [True, False])
    def test_a_star_is_always_honoured(self, is_full_state):
        """Also for types by name, and beside names."""
        interest = restated(("*", "a"), is_full_state=is_full_state)
        assert interest.is_wildcard
        assert {"a"} == interest.names

    def test_leaving_out_the_star_ends_the_wildcard(self):
        """The list is the whole of the interest."""
        interest = restated(("*", "a"), ("a",))
        assert not interest.covers("b")
        assert interest.covers("a")

    @pytest.mark.parametrize("named", [("a",), ("*",)])
    def test_an_empty_list_after_names_unsubscribes_from_everything(self, named):
        """Once something was named, the legacy wildcard is no longer open."""
        assert restated((), named, ()).is_empty


class TestIncremental:
    def test_the_legacy_wildcard_goes_on_when_names_are_added(self):
        """The protocol's own example: everything, then also A."""
        legacy = NOTHING.adjusted((), (), is_legacy_wildcard=True)
        interest = adjusted(legacy, "A")
        assert interest.is_wildcard
        assert {"A"} == interest.names

    def test_unsubscribing_the_star_leaves_the_names(self):
        """The example goes on: only A remains; then nothing."""
        legacy = NOTHING.adjusted((), (), is_legacy_wildcard=True)
        named = adjusted(adjusted(legacy, "A"), unsubscribe="*")
        assert not named.is_wildcard
        assert {"A"} == named.names
        assert adjusted(named, unsubscribe="A").is_empty

    def test_empty_lists_change_nothing(self):
        """An ACK has both lists empty."""
        interest = adjusted(NOTHING, "* a")
        assert interest == adjusted(interest)

    def test_a_name_in_both_lists_is_subscribed(self):
        """The client says that it wants it."""
        assert adjusted(NOTHING, "a *", "a *").covers("a")
        assert adjusted(NOTHING, "a *", "a *").is_wildcard

    def test_unknown_names_to_unsubscribe_are_ignored(self):
        """They were never subscribed."""
        assert adjusted(NOTHING, "a") == adjusted(adjusted(NOTHING, "a"), unsubscribe="b")


def test_gained_tells_what_is_new():
    """A star stands for everything."""
    assert ("*", "a") == adjusted(NOTHING, "a *").gained(NOTHING)
    assert () == NOTHING.gained(adjusted(NOTHING, "a *"))
