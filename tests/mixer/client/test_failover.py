"""Which server is asked first, and how long to wait before asking again."""

from __future__ import annotations

from random import Random

from meshregistry.mixer.client._failover import FIRST_PAUSE, LONGEST_PAUSE, Failover
from meshregistry.mixer.client._transport import CallFailed, Failure, retry_wait


def test_a_failed_server_is_asked_last_for_a_while():
    """The pause doubles with each failure, up to half a minute, and ends with an answer."""
    servers = Failover(3)
    assert [0, 1, 2] == servers.order(0.0)
    servers.failed(0, 0.0)
    assert [1, 2, 0] == servers.order(0.5)
    assert [0, 1, 2] == servers.order(FIRST_PAUSE)
    for _ in range(20):
        servers.failed(0, 10.0)
    assert [1, 2, 0] == servers.order(10.0 + LONGEST_PAUSE - 0.1)
    assert [0, 1, 2] == servers.order(10.0 + LONGEST_PAUSE)
    servers.failed(1, 10.0)
    assert [2, 0, 1] == servers.order(10.5)
    servers.answered(0)
    assert [0, 2, 1] == servers.order(10.5)


def test_the_wait_before_a_retry_is_drawn_from_a_growing_range():
    """From the base to twice it for each attempt, and never beyond the longest."""
    random = Random(3)
    for attempt, most in ((0, 0.08), (1, 0.16), (3, 0.64), (9, 1.0)):
        drawn = [retry_wait(attempt, 0.08, 1.0, random) for _ in range(100)]
        assert 0.08 <= min(drawn) <= max(drawn) <= most
    assert 5.0 == retry_wait(0, 5.0, 1.0, random)


def test_failures_have_classes():
    """As the original counts them, by code and text."""
    assert Failure.TIMEOUT is CallFailed(4, "Deadline Exceeded").kind
    assert Failure.TIMEOUT is CallFailed(14, "upstream request timeout").kind
    assert (
        Failure.SEND
        is CallFailed(14, "upstream connect error or disconnect/reset before headers").kind
    )
    assert Failure.OTHER is CallFailed(13, "broken").kind
    assert "a:1: gone (UNAVAILABLE)" == str(CallFailed(14, "gone", server="a:1"))
