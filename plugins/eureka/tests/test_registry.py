"""Facts of following one Eureka server, on a double that lives in the test."""

from __future__ import annotations

import pytest
from eureka_attempts import following, started
from fake_eureka import FakeEureka, instance, published

from meshregistry.errors import RegistryAuthError, RegistryProtocolError, RegistryUnavailable


class TestFollowing:
    def test_everything_first_and_then_deltas(self, run_async):
        """One replace; what changes comes by deltas, and nothing by nothing."""

        async def main():
            async with FakeEureka() as eureka:
                eureka.set("web", instance("web"))
                async with following(eureka) as seen:
                    assert ("replace",) == tuple(seen.sink.methods)
                    await seen.poll()
                    assert ("replace", "confirm") == tuple(seen.sink.methods)
                    eureka.set("web", instance("web"), instance("web", "10.0.0.2"))
                    eureka.set("pay", instance("pay", "10.0.0.3"))
                    await seen.poll()
                    assert published("web", "10.0.0.1", "10.0.0.2") == seen.records["web"]
                    eureka.set("web", instance("web", "10.0.0.2"))
                    eureka.set("pay")
                    await seen.poll()
                    assert {"web": published("web", "10.0.0.2")} == seen.records
                    assert 1 == eureka.requests["/apps"]

        run_async(main())

    def test_a_delta_that_says_too_little_is_noticed(self, run_async):
        """The hash code differs, and everything is asked for at once."""

        async def main():
            async with FakeEureka() as eureka, following(eureka) as seen:
                eureka.set("web", instance("web"))
                eureka.deltas.clear()
                await seen.poll()
                assert published("web", "10.0.0.1") == seen.records["web"]
                assert 1 == seen.counts["hash_mismatches"]
                eureka.hash_code = "UP_7_"
                await seen.poll()
                await seen.poll()
                # One full answer for each question, however long it lasts.
                assert (4, 3) == (eureka.requests["/apps"], eureka.requests["/apps/delta"])
                assert "confirm" == seen.sink.methods[-1]

        run_async(main())

    def test_what_the_hash_code_cannot_see_is_found(self, run_async):
        """Everything is asked for again in time: here one instance took another's place."""

        async def main():
            async with FakeEureka() as eureka:
                eureka.set("web", instance("web"))
                async with following(eureka, full_fetch_interval=60.0) as seen:
                    eureka.set("web", instance("web", "10.0.0.2"))
                    eureka.deltas.clear()
                    await seen.poll()
                    assert published("web", "10.0.0.1") == seen.records["web"]
                    for _ in range(12):
                        await seen.poll()
                    assert published("web", "10.0.0.2") == seen.records["web"]

        run_async(main())

    def test_a_long_gap_is_not_bridged_by_a_delta(self, run_async):
        """The server has forgotten what happened in it."""

        async def main():
            async with FakeEureka() as eureka:
                options = {"registry_fetch_interval": 200.0, "full_fetch_interval": 1e6}
                async with following(eureka, **options) as seen:
                    await seen.poll(200)
                    assert (2, 0) == (eureka.requests["/apps"], eureka.requests["/apps/delta"])

        run_async(main())

    @pytest.mark.parametrize("status", [403, 404])
    def test_a_server_without_deltas_is_asked_for_everything(self, run_async, status):
        """Deltas are tried again when everything is due anyway."""

        async def main():
            async with FakeEureka() as eureka:
                eureka.refusals["/apps/delta"] = status
                async with following(eureka, full_fetch_interval=60.0) as seen:
                    for _ in range(5):
                        await seen.poll()
                    assert (6, 1) == (eureka.requests["/apps"], eureka.requests["/apps/delta"])
                    eureka.refusals.clear()
                    for _ in range(10):
                        await seen.poll()
                    assert eureka.requests["/apps/delta"] > 1

        run_async(main())

    def test_a_delta_that_fails_once_is_tried_again(self, run_async):
        """What is wanted of it is asked for in full."""

        async def main():
            async with FakeEureka() as eureka, following(eureka) as seen:
                eureka.refusals["/apps/delta"] = 503
                eureka.set("web", instance("web"))
                await seen.poll()
                assert "web" in seen.records
                eureka.refusals.clear()
                await seen.poll()
                assert (2, 2) == (eureka.requests["/apps"], eureka.requests["/apps/delta"])

        run_async(main())

    def test_deltas_may_be_switched_off(self, run_async):
        """By the settings."""

        async def main():
            async with FakeEureka() as eureka, following(eureka, disable_delta=True) as seen:
                await seen.poll()
                assert (2, 0) == (eureka.requests["/apps"], eureka.requests["/apps/delta"])

        run_async(main())

    def test_a_large_answer_is_read_beside_the_loop(self, run_async):
        """Nothing of it is missing, and what is next comes by deltas again."""

        async def main():
            async with FakeEureka() as eureka:
                for n in range(300):
                    eureka.set(f"s{n}", instance(f"s{n}", f"10.1.{n // 250}.{n % 250}"))
                eureka.deltas.clear()
                async with started(eureka) as seen:
                    await seen.sink.wait_for(lambda sink: sink.calls)
                    await seen.clock.sleeping()
                    assert 300 == len(seen.records)
                    eureka.set("s7", instance("s7", "10.0.0.7"))
                    await seen.poll()
                    assert published("s7", "10.0.0.7") == seen.records["s7"]
                    assert (1, 1) == (eureka.requests["/apps"], eureka.requests["/apps/delta"])

        run_async(main())

    def test_regions_are_asked_for(self, run_async):
        """In both questions, with commas."""

        async def main():
            async with FakeEureka() as eureka, following(eureka, regions=("eu", "us")) as seen:
                await seen.poll()
                wanted = {"regions": "eu,us"}
                assert wanted == eureka.queries["/apps"] == eureka.queries["/apps/delta"]

        run_async(main())


class TestTrouble:
    def test_a_malformed_instance_is_reported(self, run_async):
        """Its service keeps what is good of it, or what it last was; others go on."""

        async def main():
            async with FakeEureka() as eureka:
                eureka.set("web", instance("web"))
                eureka.set("pay", instance("pay"))
                async with following(eureka) as seen:
                    bad = instance("web", "nonsense !", id="bad")
                    eureka.set("web", instance("web"), bad)
                    eureka.set("pay", bad | {"app": "PAY"})
                    eureka.set("new", instance("new"))
                    await seen.poll()
                    assert {"web", "pay", "new"} == set(seen.records)
                    reports = {
                        one.value.key: str(one.value)
                        for one in seen.sink.calls
                        if "degrade" == one.method
                    }
                    assert {"web", "pay"} == set(reports)
                    assert "'bad' is left out" in reports["web"]
                    assert 0 == seen.counts["hash_mismatches"]

        run_async(main())

    def test_a_malformed_application_removes_nothing(self, run_async):
        """A listing that cannot be read as a whole is no statement about what it lacks."""

        async def main():
            async with FakeEureka() as eureka:
                eureka.set("web", instance("web"))
                async with following(eureka, disable_delta=True) as seen:
                    eureka.instances.clear()
                    eureka.broken = [7]
                    await seen.poll()
                    (fault,) = seen.sink.calls[-1].faulty
                    assert (None, "replace") == (fault.key, seen.sink.calls[-1].method)

        run_async(main())

    def test_a_server_that_preserves_itself_is_believed_and_reported(self, run_async):
        """What it keeps stays as it is; a lease that is renewed ends the report."""

        async def main():
            lease = {"durationInSecs": 90, "lastRenewalTimestamp": 1_000}
            async with FakeEureka() as eureka:
                eureka.set("web", instance("web", leaseInfo=lease), instance("web", "10.0.0.2"))
                async with following(eureka, disable_delta=True) as seen:
                    assert ["replace", "degrade"] == [one.method for one in seen.sink.calls]
                    report = seen.sink.calls[-1].value
                    assert "web" == report.key
                    assert "lease of 1 of its instances" in str(report)
                    assert published("web", "10.0.0.1", "10.0.0.2") == seen.records["web"]
                    await seen.poll()
                    assert "confirm" == seen.sink.methods[-1]
                    eureka.set("web", instance("web"), instance("web", "10.0.0.2"))
                    await seen.poll()
                    assert "replace" == seen.sink.methods[-1]

        run_async(main())

    @pytest.mark.parametrize(
        ("status", "error", "word"),
        [
            (401, RegistryAuthError, "refuses the credentials"),
            (403, RegistryUnavailable, "wait-time-in-ms-when-sync-empty"),
            (404, RegistryProtocolError, "/eureka/v2"),
            (400, RegistryProtocolError, "told to"),
            (429, RegistryUnavailable, "told to"),
            (503, RegistryUnavailable, "told to"),
        ],
    )
    def test_refusals_end_the_attempt(self, run_async, status, error, word):
        """Each as what it is: 403 is Eureka's own "not now" and no matter of credentials."""

        async def main():
            async with FakeEureka() as eureka, following(eureka) as seen:
                eureka.refusals |= {"/apps": status, "/apps/delta": status}
                ended = await seen.ended()
                assert error is type(ended)
                assert word in str(ended)

        run_async(main())

    def test_what_is_not_eureka_is_refused(self, run_async):
        """The error says which option to look at."""

        async def main():
            async with FakeEureka() as eureka:
                eureka.text = "welcome"
                async with started(eureka) as seen:
                    assert isinstance(await seen.ended(), RegistryProtocolError)

        run_async(main())

    def test_xml_is_understood(self, run_async):
        """Of a server that does not heed what is asked for."""

        async def main():
            async with FakeEureka() as eureka:
                eureka.text = (
                    "<applications><apps__hashcode>UP_1_</apps__hashcode><application>"
                    "<name>WEB</name><instance><instanceId>a</instanceId><status>UP</status>"
                    '<ipAddr>10.0.0.1</ipAddr><port enabled="true">8080</port>'
                    "</instance></application></applications>"
                )
                async with following(eureka) as seen:
                    assert published("web", "10.0.0.1") == seen.records["web"]

        run_async(main())
