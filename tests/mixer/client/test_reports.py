"""Reports: batches, what is sent again, and what is dropped and counted."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.mixer import AttributeBag, CallFailed, ClientOptions, MixerClient, Repeated
from meshregistry.mixer.client._reports import ReportQueue
from meshregistry.testing import ManualClock

DOWN = CallFailed(14, "nobody there", is_sent=False)
DOUBTFUL = CallFailed(14, "connection reset")


def bag(number, **more):
    """A report that can be told from others."""
    return AttributeBag({"n": number, **more})


@pytest.fixture
def clock():
    """Time that stands still."""
    return ManualClock()


@pytest.fixture
def with_client(transport, clock, run_async):
    """Runs ``main(client)`` with an open client; its result and the statistics at the end."""

    def run(main, **options):
        async def opened():
            client = MixerClient(
                transport=transport,
                clock=clock,
                random=Random(1),
                options=ClientOptions(**options),
            )
            async with client:
                result = await main(client)
            return result, client.statistics()

        return run_async(opened())

    return run


def test_a_batch_is_sent_when_it_is_full(with_client, transport, until):
    """Time need not pass."""

    async def main(client):
        for number in range(7):
            client.report(bag(number))
        await until(lambda: len(transport.report_requests) == 2)

    with_client(main, report_batch_entries=3)
    assert [[0, 1, 2], [3, 4, 5], [6]] == [
        [each["n"] for each in batch] for batch in transport.reports
    ]


def test_a_batch_is_sent_when_it_is_old(with_client, transport, clock, until):
    """A second after its first report."""

    async def main(client):
        client.report(bag(0))
        await until(lambda: clock.deadlines)
        await clock.advance(0.5)
        client.report(bag(1))
        await clock.advance(0.25)
        assert [] == transport.reports
        await clock.advance(0.25)
        await until(lambda: transport.reports)

    _, counted = with_client(main)
    assert [[bag(0), bag(1)]] == transport.reports
    assert (2, 1, 1, 2) == tuple(
        counted[f"total_{name}"]
        for name in (
            "report_calls",
            "remote_report_calls",
            "remote_report_successes",
            "reports_sent",
        )
    )


def test_closing_sends_what_waits(with_client, transport):
    """Nobody waits for a batch to be full or old."""

    async def main(client):
        client.report(bag(0))

    _, counted = with_client(main)
    assert ([[bag(0)]], 1) == (transport.reports, counted["total_reports_sent"])


def test_flushing_waits_for_the_confirmation(with_client, transport):
    """With nothing to send it returns at once."""

    async def main(client):
        await client.flush()
        client.report(bag(0))
        await client.flush()
        return len(transport.reports)

    assert 1 == with_client(main)[0]


def test_what_did_not_go_out_is_sent_when_a_server_is_there(with_client, transport, clock, until):
    """In order, after a pause that grows, and together with what was reported since."""
    transport.report_script.extend([DOWN, DOWN])

    async def main(client):
        client.report(bag(0))
        client.report(bag(1))
        await until(lambda: len(transport.report_requests) == 1)
        client.report(bag(2))
        await until(lambda: clock.deadlines)
        await clock.advance(0.08)
        await until(lambda: len(transport.report_requests) == 2)
        await until(lambda: clock.deadlines)
        assert 0 < min(clock.deadlines) - clock.now() <= 0.16
        await clock.advance(0.16)
        await until(lambda: len(transport.report_requests) == 3)
        await until(lambda: len(client._reporter) == 0 or clock.deadlines)

    _, counted = with_client(main, report_batch_entries=2)
    sent = transport.reports
    assert [[bag(0), bag(1)]] * 3 == sent[:3]
    assert [[bag(2)]] == sent[3:]
    assert (3, 2, 0) == (
        counted["total_reports_sent"],
        counted["total_remote_report_send_errors"],
        counted["total_reports_dropped_doubtful"],
    )


def test_a_doubtful_batch_is_dropped_and_counted(with_client, transport, caplog):
    """The server may have it; a report has no id by which it could be told."""
    transport.report_script.extend([DOUBTFUL, CallFailed(4, "no answer")])

    async def main(client):
        for number in range(3):
            client.report(bag(number))
            await client.flush()

    _, counted = with_client(main)
    assert [False] * 3 == transport.again
    assert (3, 1, 2, 1, 1) == (
        len(transport.report_requests),
        counted["total_reports_sent"],
        counted["total_reports_dropped_doubtful"],
        counted["total_remote_report_timeouts"],
        counted["total_remote_report_send_errors"],
    )
    # One line for a hundred failures.
    assert 1 == len(caplog.records)
    assert "1 report may have been lost: connection reset" in caplog.text


def test_at_least_once_sends_a_doubtful_batch_again(with_client, transport, clock, until):
    """For those who can bear to count a report twice."""
    transport.report_script.append(DOUBTFUL)

    async def main(client):
        client.report(bag(0))
        await until(lambda: clock.deadlines)
        await clock.advance(1.0)
        await until(lambda: len(transport.report_requests) == 2 or clock.deadlines)
        await clock.advance(1.0)
        await until(lambda: len(transport.report_requests) == 2)

    _, counted = with_client(main, at_least_once=True)
    assert ([[bag(0)]] * 2, [True, True]) == (transport.reports, transport.again)
    assert (1, 0) == (counted["total_reports_sent"], counted["total_reports_dropped_doubtful"])


def test_what_a_server_refuses_is_dropped(with_client, transport):
    """Sending it again would be refused again."""
    transport.report_script.append(CallFailed(2, "adapter"))

    async def main(client):
        client.report(bag(0))
        await client.flush()

    _, counted = with_client(main, at_least_once=True)
    assert (1, 1) == (
        counted["total_reports_dropped_refused"],
        counted["total_remote_report_other_errors"],
    )


def test_a_refused_dictionary_loses_nothing(with_client, transport, clock, until):
    """The batch is sent again with the words that every server knows."""
    transport.report_script.append(CallFailed(13, "inconsistent global dictionary versions"))

    async def main(client):
        client.report(bag(0))
        await until(lambda: clock.deadlines)
        await clock.advance(1.0)
        await until(lambda: transport.report_requests)
        await until(lambda: clock.deadlines)
        await clock.advance(1.0)
        await until(lambda: len(transport.report_requests) == 2)

    _, counted = with_client(main)
    assert [222, 111] == [request.global_word_count for request in transport.report_requests]
    assert 1 == counted["total_reports_sent"]


def test_the_queue_is_bounded(with_client, transport, until):
    """Through an outage: the first reports are kept, the rest is dropped and counted."""

    async def main(client):
        future = asyncio.get_running_loop().create_future()
        transport.report_script.append(future)
        for number in range(10):
            client.report(bag(number))
        await until(lambda: transport.report_requests)
        # The batch that is under way has its places still.
        client.report(bag(10))
        future.set_result(DOWN)
        await until(lambda: transport.report_script or not client._reporter._queue._taken)
        client.report(bag(11))
        return client.statistics()["total_report_calls"]

    total, counted = with_client(main, report_queue_size=5, report_batch_entries=5, drain_timeout=0)
    ends = sum(value for name, value in counted.items() if name.startswith("total_reports_"))
    assert 12 == total == ends
    assert (7, 5) == (
        counted["total_reports_dropped_full"],
        counted["total_reports_dropped_closed"],
    )


def test_closing_waits_for_so_long_only(with_client, transport):
    """What a silent server holds is dropped and counted."""

    async def main(client):
        transport.report_script.append(asyncio.get_running_loop().create_future())
        client.report(bag(0))

    _, counted = with_client(main, drain_timeout=0.01)
    assert 1 == counted["total_reports_dropped_closed"]


def test_flushing_ends_with_the_client(run_async, transport):
    """Whether it began before that or after; what waited is dropped."""

    async def main():
        transport.report_script.append(asyncio.get_running_loop().create_future())
        options = ClientOptions(drain_timeout=0)
        client = await MixerClient(transport=transport, options=options).__aenter__()
        client.report(bag(0))
        flushing = asyncio.create_task(client.flush())
        await asyncio.sleep(0)
        assert not flushing.done()
        await client.close()
        async with asyncio.timeout(5):
            await flushing
            await client.flush()

    run_async(main())


def test_a_large_batch_goes_in_pieces(with_client, transport, caplog):
    """And a report that is too large by itself is dropped."""

    async def main(client):
        for number in range(4):
            client.report(bag(number, text="x" * 100 + str(number)))
        client.report(bag(4, text="y" * 500))
        await client.flush()

    _, counted = with_client(main, report_bytes=300)
    assert [0, 1, 2, 3] == [each["n"] for batch in transport.reports for each in batch]
    assert all(request.ByteSize() <= 300 for request in transport.report_requests)
    assert (4, 1) == (counted["total_reports_sent"], counted["total_reports_dropped_refused"])
    assert "too large to be sent" in caplog.text


def test_pieces_that_were_sent_before_the_end_are_not_dropped_as_well(
    with_client, transport, until
):
    """Each report is counted once, however it ended."""

    async def main(client):
        client.report(bag(9, text="y" * 500))
        for number in range(3):
            client.report(bag(number, text="x" * 100 + str(number)))
        transport.report_script.extend([bag(0), asyncio.get_running_loop().create_future()])
        await until(lambda: len(transport.report_requests) == 2)

    _, counted = with_client(main, report_bytes=200, report_batch_entries=4, drain_timeout=0)
    assert (4, 1, 1, 2) == tuple(
        counted[f"total_{name}"]
        for name in (
            "report_calls",
            "reports_sent",
            "reports_dropped_refused",
            "reports_dropped_closed",
        )
    )


def test_old_servers_get_differences(with_client, transport):
    """Cut where an attribute is gone, which differences cannot say."""

    async def main(client):
        for values in ({"a": 1}, {"a": 1, "b": 2}, {"b": 2}):
            client.report(AttributeBag(values))

    with_client(main, report_encoding=Repeated.DELTA)
    assert [[{"a": 1}, {"a": 1, "b": 2}], [{"b": 2}]] == [
        [dict(each) for each in batch] for batch in transport.reports
    ]


@given(
    st.lists(st.tuples(st.sampled_from(["add", "take", "back"]), st.floats(0, 1)), max_size=60),
    st.integers(1, 6),
    st.integers(1, 4),
)
def test_the_queue_keeps_order_and_bound(steps, size, batch):
    """Whatever is added, taken and given back: never too many, never out of order."""
    queue = ReportQueue(size, batch, 1.0)
    now, number, taken = 0.0, 0, []
    for what, passed in steps:
        now += passed
        if what == "add":
            queue.add(bag(number), now)
            number += 1
        elif what == "take":
            queue.settle(len(taken))
            taken = queue.take()
            assert len(taken) <= batch
        elif taken:
            queue.give_back(taken, now, 0.5)
            taken = []
            assert queue.next_deadline() >= now + 0.5
        assert len(queue) <= size
        waiting = [each["n"] for _, each in queue._waiting]
        assert sorted(waiting) == waiting
        assert (queue.next_deadline() is None) == (not waiting)
        assert len(queue) == len(waiting) + len(taken)


def test_closing_that_is_cancelled_leaves_nothing_behind(run_async, transport, until):
    """Neither the task that sends nor a connection, and what waited is counted."""

    async def main():
        transport.report_script.append(asyncio.get_running_loop().create_future())
        client = await MixerClient(transport=transport).__aenter__()
        client.report(bag(0))
        closing = asyncio.create_task(client.close())
        await until(lambda: transport.report_requests)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        left = [task.get_name() for task in asyncio.all_tasks()]
        return left, client.statistics()["total_reports_dropped_closed"]

    left, dropped = run_async(main())
    assert "mixer reports" not in left
    assert (1, True) == (dropped, transport.is_closed)
