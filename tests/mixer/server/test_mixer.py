"""Checks with the cache, quotas after them, reports; shedding before all."""

from __future__ import annotations

import pytest

from meshregistry.mixer import AttributeBag
from meshregistry.mixer.server import (
    DispatchFailed,
    Mixer,
    Mode,
    Overloaded,
    ReportOutcome,
    SheddingConfig,
    of_call,
)
from meshregistry.mixer.spi import CheckAnswer, Code, QuotaAnswer, QuotaRequest, Status


@pytest.fixture
def documents(document, handler):
    """A check and a quota that read one attribute each."""
    return (
        handler("a"),
        document("instance", "i", "compiledTemplate: listentry\nparams: {value: request.path}"),
        document("rule", "r", "actions: [{handler: a, instances: [i]}]"),
        document(
            "instance", "q", "compiledTemplate: quota\nparams: {dimensions: {u: source.user}}"
        ),
        document("rule", "q", "actions: [{handler: a, instances: [q]}]"),
    )


class Now:
    """A clock that a test sets."""

    time = 0.0

    def __call__(self):
        return self.time


BAG = AttributeBag({"request.path": "/", "source.user": "me"})
FINE = CheckAnswer(valid_duration=10.0, valid_use_count=3)


class TestCheck:
    """From the cache, or by asking."""

    def test_the_second_is_from_the_cache(self, run_async, bench, documents):
        """With what is left of the duration, until it is over."""

        async def main():
            bench.answers["a", "check"] = FINE
            engine = await bench.start(*documents)
            now = Now()
            mixer = Mixer(engine, now=now)
            assert not (await mixer.check(BAG)).is_cached
            now.time = 4.0
            second = await mixer.check(BAG)
            assert (second.is_cached, second.valid_duration) == (True, 6.0)
            other = AttributeBag({"request.path": "/other"})
            assert not (await mixer.check(other)).is_cached
            now.time = 10.0
            assert not (await mixer.check(BAG)).is_cached
            assert len(bench.asked("check")) == 3
            await engine.close()

        run_async(main())

    @pytest.mark.parametrize("name", ["context.reporter.kind", "destination.namespace"])
    def test_an_attribute_of_another_type_answers_for_itself_only(
        self, run_async, bench, document, handler, name
    ):
        """No client can have something kept for others that was not said of their requests."""

        async def main():
            bench.answers["a", "check"] = CheckAnswer(
                status=Status(Code.PERMISSION_DENIED, "no"), valid_duration=10.0
            )
            engine = await bench.start(
                handler("a"),
                document("instance", "i", "compiledTemplate: checknothing"),
                document(
                    "rule",
                    "r",
                    "actions: [{handler: a.istio-system, instances: [i.istio-system]}]",
                    "shop",
                ),
            )
            mixer = Mixer(engine, now=Now())
            said = {"destination.namespace": "shop", "context.reporter.kind": "inbound"}
            odd = await mixer.check(AttributeBag({**said, name: {"k": "v"}}))
            assert odd.outcome.status.is_ok
            checked = await mixer.check(AttributeBag(said))
            assert (checked.outcome.status.code, checked.is_cached) == (7, False)
            await engine.close()

        run_async(main())

    def test_what_was_found_out_is_for_those_who_do_not_say_it(
        self, run_async, bench, document, handler
    ):
        """Who says it is decided about by what it says."""

        async def main():
            bench.answers["g", "generate"] = {"source_pod_name": "pod"}
            bench.answers["a", "check"] = lambda one: CheckAnswer(
                status=Status(Code.PERMISSION_DENIED, one.value),
                valid_duration=10.0,
                valid_use_count=3,
            )
            spec = """
            compiledTemplate: kubernetes
            params: {source_uid: source.uid}
            attributeBindings: {source.name: $out.source_pod_name}
            """
            engine = await bench.start(
                handler("g"),
                handler("a"),
                document("instance", "k", spec),
                document(
                    "instance", "v", "compiledTemplate: listentry\nparams: {value: source.name}"
                ),
                document("rule", "g", "actions: [{handler: g, instances: [k]}]"),
                document("rule", "a", "actions: [{handler: a, instances: [v]}]"),
            )
            mixer = Mixer(engine, now=Now())
            uid = {"source.uid": "u"}
            for said, reason in (({}, "pod"), ({"source.name": "other"}, "other"), ({}, "pod")):
                checked = await mixer.check(AttributeBag(uid | said))
                assert checked.outcome.status.message == f"a.istio-system:{reason}"
            assert (mixer.cache.hits, mixer.cache.misses) == (1, 2)
            await engine.close()

        run_async(main())

    def test_another_configuration_empties_the_cache(self, run_async, bench, documents):
        """Nothing is answered by one that is not in force."""

        async def main():
            bench.answers["a", "check"] = FINE
            engine = await bench.start(*documents)
            mixer = Mixer(engine, now=Now())
            await mixer.check(BAG)
            await engine.swap(bench.snapshot(*documents))
            assert not (await mixer.check(BAG)).is_cached
            assert (mixer.cache.hits, mixer.cache.misses) == (0, 2)
            await engine.close()

        run_async(main())

    def test_quotas_after_an_allowed_check(self, run_async, bench, documents):
        """Also after one from the cache; their references are their own."""

        async def main():
            bench.answers["a", "check"] = FINE
            bench.answers["a", "quota"] = QuotaAnswer(amount=1, valid_duration=1.0)
            engine = await bench.start(*documents)
            mixer = Mixer(engine, now=Now())
            for is_cached in (False, True):
                checked = await mixer.check(BAG, {"q": QuotaRequest(amount=1)})
                assert checked.is_cached is is_cached
                assert checked.quotas["q"].answer.amount == 1
                names = {one.name for one in checked.quotas["q"].references}
                assert "source.user" in names
                assert "request.path" not in names
            assert "source.user" not in {one.name for one in checked.outcome.references}
            await engine.close()

        run_async(main())

    def test_no_quota_after_a_denial(self, run_async, bench, documents):
        """Nothing is taken for a request that does not go on."""

        async def main():
            status = Status(Code.PERMISSION_DENIED, "no")
            bench.answers["a", "check"] = CheckAnswer(
                status=status, valid_duration=5.0, valid_use_count=9
            )
            engine = await bench.start(*documents)
            mixer = Mixer(engine, now=Now())
            for _ in range(2):
                checked = await mixer.check(BAG, {"q": QuotaRequest(amount=1)})
                assert (checked.outcome.status.code, checked.quotas) == (status.code, {})
            assert (len(bench.asked("check")), bench.asked("quota")) == (1, [])
            await engine.close()

        run_async(main())


def test_shedding_comes_first(run_async, bench, documents):
    """A call that is turned away asks nobody."""

    async def main():
        engine = await bench.start(*documents)
        config = SheddingConfig(mode=Mode.ENFORCE, rate=1, burst=2, latency=0)
        mixer = Mixer(engine, now=Now(), shedding=config)
        await mixer.check(BAG)
        assert await mixer.report([]) == ReportOutcome()
        await mixer.report([BAG])
        with pytest.raises(Overloaded, match="add a server"):
            await mixer.check(BAG)
        with pytest.raises(Overloaded):
            await mixer.report([BAG])
        assert len(bench.asked("check")) == 1
        await engine.close()

    run_async(main())


def test_calls_that_fail_make_the_server_late(run_async, bench, documents):
    """A handler that hangs until its deadline is the very reason for turning calls away."""

    async def main():
        engine = await bench.start(*documents)
        now = Now()

        def late(_):
            now.time += 5.0
            raise ValueError("x")

        bench.answers["a", "check"] = late
        config = SheddingConfig(mode=Mode.ENFORCE, latency=1.0, least_rate=0, half_life=60)
        mixer = Mixer(engine, now=now, shedding=config)
        with pytest.raises(DispatchFailed):
            await mixer.check(BAG)
        with pytest.raises(Overloaded):
            await mixer.check(BAG)
        await engine.close()

    run_async(main())


def test_ids_of_quotas():
    """Two quotas of one call are two requests; a call without an id repeats nothing."""
    assert of_call(1, "q", "id", is_best_effort=True) == QuotaRequest(
        amount=1, is_best_effort=True, deduplication_id="idq"
    )
    assert of_call(1, "q", "", is_best_effort=False).deduplication_id == ""
