"""The client for threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from meshregistry.errors import ConfigError, MixerError
from meshregistry.mixer import AttributeBag, ClientOptions, ThreadedMixerClient

BAG = AttributeBag({"a": "1"})


def test_checks_and_reports_come_from_any_thread(transport, answer):
    """Each is counted once, and what is cached needs no call."""
    transport.answer = answer("a", code=7)
    codes = []

    def work(client):
        for _ in range(50):
            codes.append(client.check(BAG).status.code)
            client.report(BAG)

    with ThreadedMixerClient(transport=transport) as client:
        threads = [threading.Thread(target=work, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.flush()
        counted = client.statistics()
        assert any(metric.name.endswith("_checks") for metric in client.metrics())
    assert [7] * 200 == codes
    assert 200 == sum(len(batch) for batch in transport.reports)
    assert (200, 200, 200) == (
        counted["total_check_calls"],
        counted["total_check_cache_hit_denies"] + counted["total_check_cache_misses"],
        counted["total_reports_sent"],
    )
    assert transport.is_closed


def test_quotas_are_asked_on_the_loop(transport, answer):
    """A cached check does not answer for them."""
    transport.answer = answer("a", quotas={"q": (0, 1, ())})
    with ThreadedMixerClient(
        transport=transport, options=ClientOptions(quota_cache_size=0)
    ) as client:
        assert client.check(BAG).is_allowed
        assert 429 == client.check(BAG, quotas={"q": 1}, timeout=5.0).http_code


def test_leaving_sends_what_waits(transport):
    """The last reports are not lost."""
    with ThreadedMixerClient(transport=transport) as client:
        client.report({"request.path": "/"})
    assert [[AttributeBag({"request.path": "/"})]] == transport.reports
    client.report(BAG)
    assert 1 == client.dropped_reports
    # What became of them can be read afterwards, and only then is it all there.
    assert 1 == client.statistics()["total_reports_sent"]
    waiting = "meshregistry_mixer_client_reports_waiting"
    assert [0] == [one.samples[0][1] for one in client.metrics() if one.name == waiting]


def test_threads_that_report_while_the_client_closes(transport):
    """Each report is sent or counted, and nobody is told of a loop that is closed."""
    given, raised = [], []

    def work(client, stop):
        count = 0
        try:
            while not stop.is_set():
                client.report(BAG)
                count += 1
        except RuntimeError as error:
            raised.append(error)
        given.append(count)

    stop = threading.Event()
    client = ThreadedMixerClient(
        transport=transport, options=ClientOptions(report_queue_size=1_000_000)
    )
    with client:
        threads = [threading.Thread(target=work, args=(client, stop)) for _ in range(3)]
        for thread in threads:
            thread.start()
        inner = client._client
    stop.set()
    for thread in threads:
        thread.join()
    counted = inner.statistics()
    assert [] == raised
    assert sum(given) == client.dropped_reports + counted["total_report_calls"]
    assert counted["total_report_calls"] == sum(
        counted[f"total_reports_{what}"] for what in ("sent", "dropped_full", "dropped_closed")
    )


def test_leaving_ends_calls_of_other_threads(transport):
    """A check that waits for an answer is told so; nobody waits for its time-out in vain."""
    asked, told = threading.Event(), []

    def never(_request):
        asked.set()
        return asyncio.get_running_loop().create_future()

    def work(client):
        try:
            client.check(BAG, timeout=600.0)
        except MixerError as error:
            told.append(str(error))

    transport.answer = never
    with ThreadedMixerClient(transport=transport) as client:
        thread = threading.Thread(target=work, args=(client,), daemon=True)
        thread.start()
        assert asked.wait(5)
    thread.join(5)
    assert not thread.is_alive()
    assert ["the client was left while this call was waiting"] == told


def test_reports_that_the_loop_does_not_fetch_are_bounded(transport):
    """A loop that is late costs reports, not memory."""
    with ThreadedMixerClient(
        transport=transport, options=ClientOptions(report_queue_size=2)
    ) as client:
        held, going = threading.Event(), threading.Event()

        def hold():
            held.set()
            going.wait()

        client._loop.call_soon(hold)
        held.wait()
        for _ in range(5):
            client.report(BAG)
        going.set()
        client.flush()
        counted = client.statistics()
        assert (3, 3, 2, 5) == (
            client.dropped_reports,
            counted["total_reports_dropped_full"],
            counted["total_reports_sent"],
            counted["total_report_calls"],
        )


def test_leaving_leaves_no_thread_of_the_loop(transport, answer):
    """Such as those that look names up for it."""
    transport.answer = answer("a")

    async def look_up():
        await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)

    with ThreadedMixerClient(transport=transport) as client:
        client._run(look_up(), 5)
        assert [] != [one for one in threading.enumerate() if one.name.startswith("asyncio")]
    assert [] == [one for one in threading.enumerate() if one.name.startswith("asyncio")]


def test_the_thread_of_the_client_must_not_wait_for_itself(transport):
    """A check from there is told so at once, and not by its time-out."""
    with ThreadedMixerClient(transport=transport) as client:

        async def check():
            client.check(BAG, timeout=600.0)

        with pytest.raises(RuntimeError, match="would wait for itself"):
            client._run(check(), 5)


def test_a_client_that_is_not_open_says_so():
    """And one that cannot be opened leaves no thread behind."""
    client = ThreadedMixerClient("127.0.0.1:1")
    with pytest.raises(MixerError, match="use it within `with`"):
        client.check(BAG)
    with pytest.raises(MixerError, match="use it within `with`"):
        client.statistics()
    with pytest.raises(ConfigError, match="there is no server"), ThreadedMixerClient([]):
        pass
    assert "mixer client" not in {one.name for one in threading.enumerate()}
