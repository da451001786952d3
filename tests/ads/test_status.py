"""What a session tells about itself."""

from __future__ import annotations

from meshregistry.ads import TypeState, TypeStatus
from meshregistry.model import CLUSTER, ENDPOINT, LISTENER


def test_each_type_has_names_versions_a_state_and_the_last_error(sotw, cluster, assignment):
    """In push order, whatever the order of the requests."""
    sotw.request(LISTENER)
    sotw.request(ENDPOINT, "b", "a")
    sotw.offer(cluster("a"), assignment("a"))
    (message, _) = sotw.request(CLUSTER, "*", "a")
    version = message.version
    sotw.answer(message, "*", "a", error="bad")
    clusters, assignments, listeners = sotw.session.status()
    assert clusters == TypeStatus(
        type_url=CLUSTER,
        names=("*", "a"),
        version_sent=version,
        version_acked="",
        error="bad",
        state=TypeState.REJECTED,
    )
    assert clusters.is_wildcard
    assert ("a", "b") == assignments.names
    assert not assignments.is_wildcard
    assert [TypeState.STALE, TypeState.STALE] == [assignments.state, listeners.state]
    assert "STALE" == str(assignments.state)


def test_a_type_is_synced_when_the_last_offer_was_accepted(sotw, cluster):
    """Versions sent and accepted are then the same."""
    sotw.request(CLUSTER)
    assert TypeState.NOT_SENT is sotw.session.status()[0].state
    (message,) = sotw.offer(cluster("a"))
    assert TypeState.STALE is sotw.session.status()[0].state
    sotw.answer(message)
    (status,) = sotw.session.status()
    assert TypeState.SYNCED is status.state
    assert message.version == status.version_sent == status.version_acked


def test_a_type_that_is_wanted_no_longer_is_synced(sotw, cluster):
    """Nothing is owed."""
    sotw.offer(cluster("a"))
    (message,) = sotw.request(CLUSTER, "a")
    sotw.answer(message)
    (status,) = sotw.session.status()
    assert ((), TypeState.SYNCED) == (status.names, status.state)
