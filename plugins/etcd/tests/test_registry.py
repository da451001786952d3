"""The registry against a double of etcd: every way in which a watch can end."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from meshregistry.errors import RegistryUnavailable

A, B, C = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"


def test_it_lists_and_then_watches_from_the_next_revision(
    run_async, make_double, following, document
):
    """What changes after the listing arrives, each change once, removals too."""

    async def main():
        async with make_double() as double:
            double.put("a.lab/1", document(A))
            async with following(double) as source:
                await source.shows(a_lab=[A])
                double.put("b.lab/1", document(B))
                double.put("a.lab/2", document(C))
                await source.shows(a_lab=[A, C], b_lab=[B])
                double.delete("a.lab/1", "b.lab/1")
                await source.shows(a_lab=[C])
                assert ("replace", "upsert", "upsert") == source.sink.methods[:3]
                assert {"upsert", "remove"} == set(source.sink.methods[3:])
                assert 5 == len(source.sink.calls)

    run_async(main())


def test_nothing_between_listing_and_watch_is_missed(run_async, make_double, following, document):
    """A change that comes after the answer of the listing is told by the watch."""

    async def main():
        async with make_double() as double:
            double.put("a.lab/1", document(A))
            loop = asyncio.get_running_loop()
            double.on_page = lambda number: loop.call_soon(double.put, "b.lab/1", document(B))
            async with following(double) as source:
                await source.shows(a_lab=[A], b_lab=[B])
                assert ["a.lab"] == [one.key for one in source.sink.calls[0].value]

    run_async(main())


def test_an_empty_prefix_is_a_statement(run_async, make_double, following):
    """Published as an empty listing."""

    async def main():
        async with make_double() as double, following(double) as source:
            await source.until(lambda: ("replace",) == source.sink.methods)
            await source.shows()

    run_async(main())


def test_pages_are_of_one_revision(run_async, make_double, following, document):
    """A change between two pages is not in the listing, and comes with the watch."""

    async def main():
        async with make_double() as double:
            for number in range(5):
                double.put(f"s{number}.lab/1", document(A))

            def between(number):
                if number == 2:
                    double.delete("s4.lab/1")

            double.on_page = between
            async with following(double, page_size=2) as source:
                await source.until(lambda: "remove" in source.sink.methods)
                assert 5 == len(source.sink.calls[0].value)
                assert 3 == double.calls["Range"]
                assert {f"s{n}.lab" for n in range(4)} == set(source.sink.records())

    run_async(main())


def test_a_compaction_between_pages_begins_the_listing_anew(
    run_async, make_double, following, document
):
    """Nothing of the broken listing is published."""

    async def main():
        async with make_double() as double:
            for number in range(5):
                double.put(f"s{number}.lab/1", document(A))

            def between(number):
                if number == 2:
                    double.delete("s4.lab/1")
                    double.compact()

            double.on_page = between
            async with following(double, page_size=2) as source:
                await source.until(lambda: source.sink.calls)
                assert {f"s{n}.lab" for n in range(4)} == set(source.sink.records())
                assert ("replace",) == source.sink.methods

    run_async(main())


def test_a_compacted_revision_leads_to_a_new_listing(run_async, make_double, following, document):
    """Compacted between listing and watch: what happened meanwhile is found, also removals."""

    async def main():
        async with make_double() as double:
            double.put("a.lab/1", document(A))
            double.put("b.lab/1", document(B))
            loop = asyncio.get_running_loop()

            def gap():
                double.delete("b.lab/1")
                double.put("c.lab/1", document(C))
                double.compact()

            double.on_page = lambda number: number == 1 and loop.call_soon(gap)
            async with following(double) as source:
                await source.shows(a_lab=[A], c_lab=[C])
                assert ("replace", "replace") == source.sink.methods
                assert 1 == source.context.counts["compactions"]

    run_async(main())


def test_a_lease_that_ends_removes(run_async, make_double, following, document):
    """As any other deletion."""

    async def main():
        async with make_double() as double:
            double.leases[7] = 10
            double.put("a.lab/1", document(A), lease=7)
            async with following(double) as source:
                await source.shows(a_lab=[A])
                double.expire(7)
                await source.shows()
                assert ("replace", "remove") == source.sink.methods

    run_async(main())


def test_a_lost_leader_leads_to_the_next_endpoint(run_async, make_double, following, document):
    """The attempt goes on, from a new listing."""

    async def main():
        async with make_double() as one, make_double() as two:
            one.put("a.lab/1", document(A))
            two.put("a.lab/1", document(A))
            two.put("b.lab/1", document(B))
            async with following(one, two) as source:
                await source.shows(a_lab=[A])
                await source.until(lambda: one.watches)
                one.end_watches()
                await source.shows(a_lab=[A], b_lab=[B])
                two.put("c.lab/1", document(C))
                await source.shows(a_lab=[A], b_lab=[B], c_lab=[C])
                assert 1 == source.context.counts["failovers"]
                assert "degrade" not in source.sink.methods

    run_async(main())


def test_a_dead_endpoint_is_passed_over(run_async, make_double, following, document):
    """From the start, and when the one in use dies."""

    async def main():
        async with make_double() as one, make_double() as two:
            two.put("a.lab/1", document(A))
            await one.stop()
            async with following(one, two) as source:
                await source.shows(a_lab=[A])
                await one.start()
                one.put("b.lab/1", document(B))
                await source.until(lambda: two.watches)
                await two.stop()
                await source.shows(b_lab=[B])

    run_async(main())


def test_no_endpoint_is_unavailable(run_async, make_double, following, document):
    """The attempt ends with an error that says where; nothing is published."""

    async def main():
        async with make_double() as double:
            await double.stop()
            async with following(double) as source:
                with pytest.raises(RegistryUnavailable, match=double.endpoint):
                    await source.until(lambda: False)
                assert () == source.sink.methods

    run_async(main())


def test_watches_that_fail_at_once_end_the_attempt(run_async, make_double, following, document):
    """Otherwise listing and watching would go round without a pause."""

    async def main():
        async with make_double() as double:

            async def refuse(_requests, context):
                double.calls["Watch"] += 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")

            double.Watch = refuse
            await double.stop()
            await double.start()
            async with following(double) as source:
                # If the call ends while it is written to, gRPC forgets the server's reason.
                with pytest.raises(RegistryUnavailable, match=r"no leader|Internal error"):
                    await source.until(lambda: False)
                assert 2 == double.calls["Watch"]

    run_async(main())


def test_lost_data_is_believed(run_async, make_double, following, document):
    """After a restart without data, even if the revisions have overtaken what was known."""

    async def main():
        async with make_double() as double:
            double.put("a.lab/1", document(A))
            async with following(double) as source:
                await source.shows(a_lab=[A])
                await source.until(lambda: double.watches)
                double.clear()
                for _ in range(5):
                    double.put("b.lab/1", document(B))
                double.end_watches()
                await source.shows(b_lab=[B])

    run_async(main())


def test_revisions_that_go_back_lead_to_a_new_listing(run_async, make_double, following, document):
    """A store that was restored under a living watch."""

    async def main():
        async with make_double() as double:
            double.put("a.lab/1", document(A))
            async with following(double) as source:
                await source.shows(a_lab=[A])
                await source.until(lambda: double.watches)
                double.clear()
                double.starts = dict.fromkeys(double.starts, 0)
                await source.clock.sleeping()
                await source.clock.advance(10)
                await source.shows()

    run_async(main())


async def is_watched(source, double, value):
    """Wait until the watch has told of a change: before that, its silence would be another one."""
    await source.until(lambda: source.sink.calls and double.watches)
    double.put("watched.lab/1", value)
    await source.until(lambda: "upsert" in source.sink.methods)
    await source.until(
        lambda: [10.0] == [round(at - source.clock.now(), 6) for at in source.clock.deadlines]
    )


class TestSilence:
    def test_a_silent_watch_is_asked_for_a_sign_of_life(
        self, run_async, make_double, following, document
    ):
        """Which confirms what is known."""

        async def main():
            async with make_double() as double, following(double) as source:
                await is_watched(source, double, document(A))
                await source.clock.advance(9.9)
                assert 0 == double.calls["progress"]
                await source.clock.advance(0.1)
                await source.until(lambda: "confirm" == source.sink.methods[-1])
                assert (1, 1) == (double.calls["progress"], double.calls["Range"])

        run_async(main())

    def test_without_one_the_connection_is_made_anew(
        self, run_async, make_double, following, document
    ):
        """A half-open connection costs the interval and the time of a question."""

        async def main():
            async with make_double() as double, following(double) as source:
                await is_watched(source, double, document(A))
                double.is_silent = True
                await source.clock.advance(10)
                await source.until(lambda: double.calls["progress"])
                await source.clock.sleeping()
                await source.clock.advance(5)
                await source.until(lambda: 2 == double.calls["Watch"])
                assert {"replace", "upsert"} == set(source.sink.methods)

        run_async(main())


class TestFaults:
    def test_one_bad_value_harms_only_itself(self, run_async, make_double, following, document):
        """The key keeps what it said, the fault is its record's, other keys go on."""

        async def main():
            async with make_double() as double:
                double.put("a.lab/1", document(A))
                double.put("a.lab/2", document(B))
                async with following(double) as source:
                    await source.shows(a_lab=[A, B])
                    double.put("a.lab/1", "nonsense")
                    await source.until(lambda: "degrade" in source.sink.methods)
                    fault = source.sink.calls[-1].value
                    assert "a.lab" == fault.key
                    assert "a.lab/1: the value is not JSON" in str(fault)
                    double.put("a.lab/2", document(C))
                    await source.shows(a_lab=[A, C])
                    double.put("a.lab/1", document(B))
                    await source.shows(a_lab=[B, C])
                    assert "upsert" == source.sink.methods[-1]

        run_async(main())

    def test_a_listing_names_what_it_cannot_read(self, run_async, make_double, following, document):
        """A record with nothing readable is faulty; one with something is published, and both are reported."""

        async def main():
            async with make_double() as double:
                double.put("a.lab/1", "[]")
                double.put("b.lab/1", document(B))
                double.put("b.lab/2", "{")
                async with following(double) as source:
                    await source.shows(b_lab=[B])
                    await source.until(lambda: 2 == len(source.sink.calls))
                    first, second = source.sink.calls
                    assert ["a.lab"] == [fault.key for fault in first.faulty]
                    assert "b.lab" == second.value.key

        run_async(main())
