"""One configuration at work."""

from __future__ import annotations

import asyncio
import gc

import pytest

from meshregistry.errors import MixerError
from meshregistry.mixer import AttributeBag
from meshregistry.mixer._directive import HeaderOperation, Operation
from meshregistry.mixer.expressions import Reference
from meshregistry.mixer.server import DispatchFailed, ReportOutcome
from meshregistry.mixer.spi import CheckAnswer, Code, QuotaAnswer, QuotaRequest, Status

DENIED = CheckAnswer(status=Status(Code.PERMISSION_DENIED, "no"), valid_duration=5.0)
FINE = CheckAnswer(valid_duration=9.0, valid_use_count=3)


class Panic(BaseException):
    """What bindings of another language raise when it gives up."""


async def check(engine, attributes):
    """One check from beginning to end."""
    async with engine.request() as dispatcher:
        return await dispatcher.check(await dispatcher.prepared(attributes))


@pytest.fixture
def checks(document, handler):
    """Documents of checks: each handler with a rule, and the condition of the rule."""

    def write(*pairs, namespace="istio-system", instance="compiledTemplate: checknothing"):
        found = [document("instance", "i", instance, namespace)]
        for name, match in pairs:
            spec = f"match: '{match}'\nactions: [{{handler: {name}, instances: [i]}}]"
            found += [handler(name, namespace), document("rule", name, spec, namespace)]
        return found

    return write


class TestCheck:
    """Who is asked, and what comes of it."""

    def test_by_condition(self, run_async, bench, checks, tracked):
        """A condition that has no value is not met."""

        async def main():
            documents = checks(
                ("a", ""), ("b", 'request.path == "/b"'), ("c", "response.code == 1")
            )
            engine = await bench.start(*documents)
            bench.answers["a", "check"] = FINE
            outcome = await check(engine, tracked(request_path="/b"))
            assert sorted(bench.asked("check")) == ["a", "b"]
            assert (outcome.valid_duration, outcome.valid_use_count) == (9.0, 3)
            assert engine.counts["match", "error"] == 1
            await engine.close()

        run_async(main())

    def test_by_namespace(self, run_async, bench, checks, tracked):
        """Of the called side; of the calling one if that side reports. The default is for all.

        Whoever reports for neither side has the default alone.
        """

        async def main():
            engine = await bench.start(*checks(("all", "")), *checks(("own", ""), namespace="shop"))
            await check(engine, tracked(destination_namespace="shop", source_namespace="x"))
            await check(engine, tracked(destination_namespace="other"))
            await check(
                engine,
                tracked(context_reporter_kind="outbound", source_namespace="shop"),
            )
            assert bench.asked("check") == ["all", "own", "all", "all", "own"]
            for kind in ("", "gateway"):
                attributes = tracked(context_reporter_kind=kind, source_namespace="shop")
                await check(engine, attributes)
                assert [one.name for one in attributes.references] == ["context.reporter.kind"]
            assert bench.asked("check")[5:] == ["all", "all"]
            await engine.close()

        run_async(main())

    def test_references(self, run_async, bench, checks, tracked):
        """Everything that was read: for the namespace, in conditions and in instances."""

        async def main():
            documents = checks(
                ("a", 'request.headers["x"] == "1"'),
                instance="compiledTemplate: listentry\nparams: {value: source.ip}",
            )
            engine = await bench.start(*documents)
            attributes = tracked(request_headers={"x": "1"}, source_ip=b"\1\2\3\4")
            outcome = await check(engine, attributes)
            assert bench.given("check")[0].value == b"\1\2\3\4"
            assert set(outcome.references) == {
                Reference("context.reporter.kind", None, False),
                Reference("destination.namespace", None, False),
                Reference("request.headers", "x", True),
                Reference("source.ip", None, True),
            }
            await engine.close()

        run_async(main())

    def test_handlers_run_side_by_side(self, run_async, bench, checks, tracked):
        """Each waits for the other here."""

        async def main():
            engine = await bench.start(*checks(("a", ""), ("b", "")))
            barrier = asyncio.Barrier(2)
            bench.answers["a", "check"] = lambda _: _met(barrier)
            bench.answers["b", "check"] = lambda _: _met(barrier)
            assert (await check(engine, tracked())).status.is_ok
            await engine.close()

        run_async(main())

    def test_a_failure_is_one_unless_somebody_denies(self, run_async, bench, checks, tracked):
        """A denial is sure, whoever else failed; without one nobody knows."""

        async def main():
            engine = await bench.start(*checks(("a", ""), ("b", "")))
            bench.answers["a", "check"] = ValueError("broken")
            with pytest.raises(DispatchFailed, match=r"a\.istio-system:ValueError: broken"):
                await check(engine, tracked())
            bench.answers["b", "check"] = DENIED
            outcome = await check(engine, tracked())
            assert outcome.status == Status(Code.PERMISSION_DENIED, "b.istio-system:no")
            assert engine.counts["error", "a.istio-system"] == 2
            await engine.close()

        run_async(main())

    def test_a_handler_may_wait_and_fail_and_go_on(self, run_async, bench, checks, tracked):
        """What it waits for may fail or be cut short by itself; only the end counts."""

        async def main():
            engine = await bench.start(*checks(("a", "")))

            async def answer(_):
                await asyncio.sleep(0)
                for broken in (_fails(), asyncio.wait_for(asyncio.Event().wait(), 0.001)):
                    with pytest.raises((OSError, TimeoutError)):
                        await broken
                async with asyncio.timeout(1):
                    await asyncio.create_task(asyncio.sleep(0))
                return FINE

            bench.answers["a", "check"] = answer
            assert (await check(engine, tracked())).valid_duration == FINE.valid_duration
            await engine.close()

        run_async(main())

    def test_a_check_may_be_given_up_while_a_handler_waits(self, run_async, bench, checks, tracked):
        """The handler hears of it, and ends before the check does."""

        async def main():
            engine = await bench.start(*checks(("a", "")))
            waiting, ended = asyncio.Event(), []

            async def answer(_):
                waiting.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append("a")

            bench.answers["a", "check"] = answer
            task = asyncio.create_task(check(engine, tracked()))
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended == ["a"]
            await engine.close()

        run_async(main())

    def test_a_condition_is_asked_once(self, run_async, bench, checks, tracked):
        """However many rules have it; and its references are those of each that does."""

        async def main():
            condition = 'source.user == "me"'
            engine = await bench.start(*checks(("a", condition), ("b", condition)))
            outcome = await check(engine, tracked())
            assert engine.counts["match", "error"] == 1
            assert Reference("source.user", None, False) in outcome.references
            await check(engine, tracked(source_user="me"))
            assert bench.asked("check") == ["a", "b"]
            await engine.close()

        run_async(main())

    def test_a_check_may_be_given_up_before_handlers_are_called(
        self, run_async, bench, checks, tracked
    ):
        """As at the end of a server: no call is left that nobody waits for."""

        async def main():
            engine = await bench.start(*checks(("a", ""), ("b", "")))
            task = asyncio.create_task(check(engine, tracked()))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert bench.asked("check") == []
            await engine.close()

        run_async(main())
        # An unawaited coroutine is told when it is collected.
        gc.collect()

    def test_a_late_handler_fails(self, run_async, bench, checks, tracked):
        """After the deadline of one call."""

        async def main():
            engine = await bench.start(*checks(("a", ""), ("b", "")), deadline=0.05)
            bench.answers["a", "check"] = lambda _: asyncio.Event().wait()
            bench.answers["b", "check"] = FINE
            with pytest.raises(DispatchFailed, match=r"no answer within 0\.05 s"):
                await check(engine, tracked())
            await engine.close()

        run_async(main())

    def test_a_handler_that_is_wrong_fails(self, run_async, bench, checks, tracked):
        """An answer that is none, or a time-out that is not ours, is said as what it is."""

        async def main():
            engine = await bench.start(*checks(("a", "")))
            bench.answers["a", "check"] = TimeoutError("of its own")
            with pytest.raises(DispatchFailed, match="TimeoutError: of its own"):
                await check(engine, tracked())
            bench.answers["a", "check"] = lambda _: True
            with pytest.raises(DispatchFailed, match="it answered bool instead of CheckAnswer"):
                await check(engine, tracked())
            await engine.close()

        run_async(main())

    @pytest.mark.parametrize(
        "raised", [SystemExit(3), Panic("3"), BaseExceptionGroup("3", [Panic()])]
    )
    @pytest.mark.parametrize("others", [(), (("b", 'request.path == "/b"'),)])
    def test_a_handler_that_would_end_the_program_fails(
        self, run_async, bench, checks, tracked, caplog, *, raised, others
    ):
        """Alone and beside others, and it is logged with its place."""

        async def main():
            engine = await bench.start(*checks(("a", ""), *others))
            bench.answers["a", "check"] = raised
            with pytest.raises(
                DispatchFailed, match=rf"a\.istio-system:{type(raised).__name__}: 3"
            ):
                await check(engine, tracked(request_path="/b"))
            del bench.answers["a", "check"]
            assert (await check(engine, tracked(request_path="/b"))).status.is_ok
            await engine.close()

        run_async(main())
        (record,) = caplog.records
        assert record.exc_info[1] is raised

    def test_of_many_failures_a_few_are_told(self, run_async, bench, checks, tracked, caplog):
        """Callers know the reasons, and nobody asks them; a handler that is down fills no disk."""

        async def main():
            engine = await bench.start(*checks(("a", "")))
            bench.answers["a", "check"] = MixerError("the backend is away")
            for _ in range(150):
                with pytest.raises(DispatchFailed):
                    await check(engine, tracked())
            await engine.close()

        run_async(main())
        assert [
            f"a.istio-system: a call failed (number {number}): the backend is away"
            for number in (1, 101)
        ] == caplog.messages
        assert {None} == {record.exc_info for record in caplog.records}

    def test_a_user_may_end_the_program_while_a_handler_answers(
        self, run_async, bench, checks, tracked
    ):
        """An interrupt is nobody's fault."""

        async def main():
            engine = await bench.start(*checks(("a", "")))
            bench.answers["a", "check"] = KeyboardInterrupt()
            await check(engine, tracked())

        with pytest.raises(KeyboardInterrupt):
            run_async(main())

    def test_a_handler_that_leaks_a_cancellation_fails(self, run_async, bench, checks, tracked):
        """Nobody has given up the check, and the others are heard."""

        async def main():
            engine = await bench.start(*checks(("a", ""), ("b", 'request.path == "/b"')))
            bench.answers["a", "check"] = _leaks
            with pytest.raises(DispatchFailed, match=r"a\.istio-system:CancelledError: "):
                await check(engine, tracked())
            bench.answers["b", "check"] = DENIED
            outcome = await check(engine, tracked(request_path="/b"))
            assert outcome.status == Status(Code.PERMISSION_DENIED, "b.istio-system:no")
            assert engine.counts["error", "a.istio-system"] == 2
            await engine.close()

        run_async(main())

    def test_an_instance_without_a_value_fails(self, run_async, bench, checks, tracked):
        """Who leaves an attribute out does not get around a check."""

        async def main():
            documents = checks(
                ("a", ""), instance="compiledTemplate: listentry\nparams: {value: source.ip}"
            )
            engine = await bench.start(*documents)
            with pytest.raises(DispatchFailed, match=r"value: lookup failed: 'source\.ip'"):
                await check(engine, tracked())
            await engine.close()

        run_async(main())

    def test_a_handler_that_cannot_be_opened_fails_its_checks(
        self, run_async, bench, checks, tracked
    ):
        """And no other's."""

        async def main():
            bench.answers["a", "start"] = OSError("no file")
            engine = await bench.start(*checks(("a", 'request.path == "/a"'), ("b", "")))
            with pytest.raises(DispatchFailed, match="could not be opened: OSError: no file"):
                await check(engine, tracked(request_path="/a"))
            assert (await check(engine, tracked(request_path="/b"))).status.is_ok
            await engine.close()

        run_async(main())


async def _fails():
    await asyncio.sleep(0)
    raise OSError


async def _leaks(_):
    task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def _met(barrier):
    await barrier.wait()
    return FINE


class TestHeaders:
    """Operations of rules that match, if the request may go on."""

    def test_operations(self, run_async, bench, document, handler, tracked):
        """With values of attributes and of what a check gave; empty and absent ones give none."""

        async def main():
            rule = """
            match: request.path == "/"
            actions: [{handler: a, instances: [s], name: x}]
            requestHeaderOperations:
            - {name: X-Word, values: [x.output.value, request.method, '""', request.host]}
            - {name: cookie, operation: REMOVE}
            responseHeaderOperations:
            - {name: via, values: ['"me"'], operation: APPEND}
            """
            spec = "compiledTemplate: says\nparams: {word: request.path}"
            engine = await bench.start(
                handler("a"), document("instance", "s", spec), document("rule", "r", rule)
            )
            bench.answers["a", "check"] = lambda one: CheckAnswer(output={"value": one.word + "!"})
            outcome = await check(engine, tracked(request_path="/", request_method="GET"))
            assert outcome.directive.request_headers == (
                HeaderOperation("x-word", "/!"),
                HeaderOperation("x-word", "GET"),
                HeaderOperation("cookie", "", Operation.REMOVE),
            )
            assert outcome.directive.response_headers == (
                HeaderOperation("via", "me", Operation.APPEND),
            )
            forged = tracked(request_path="/", x_output_value="mine")
            outcome = await check(engine, forged)
            assert outcome.directive.request_headers[0] == HeaderOperation("x-word", "/!")
            other = await check(engine, tracked(request_path="/other", request_method="GET"))
            assert other.directive.request_headers == ()
            bench.answers["a", "check"] = DENIED
            denied = await check(engine, tracked(request_path="/", request_method="GET"))
            assert denied.directive.request_headers == ()
            bench.answers["a", "check"] = FINE
            smuggled = await check(
                engine, tracked(request_path="/", request_method="GET\r\nx-admin: yes")
            )
            assert [one.name for one in smuggled.directive.request_headers] == ["cookie"]
            await engine.close()

        run_async(main())


class TestGenerators:
    """Attributes that handlers find out."""

    def test_of_two_findings_the_first_document_counts(
        self, run_async, bench, document, handler, tracked
    ):
        """Whichever handler is quicker: so servers agree."""

        async def main():
            found = "attributeBindings: {source.name: $out.source_pod_name}"
            spec = f"compiledTemplate: kubernetes\nparams: {{}}\n{found}"
            names = ("g1", "g2")
            engine = await bench.start(
                *(handler(name) for name in (*names, "a")),
                document("instance", "k", spec),
                document(
                    "instance", "v", "compiledTemplate: listentry\nparams: {value: source.name}"
                ),
                *(
                    document("rule", name, f"actions: [{{handler: {name}, instances: [k]}}]")
                    for name in names
                ),
                document("rule", "r", "actions: [{handler: a, instances: [v]}]"),
            )
            for name in names:
                bench.answers[name, "generate"] = {"source_pod_name": name}
            await check(engine, tracked())
            assert ["g1"] == [one.value for one in bench.given("check")]
            await engine.close()

        run_async(main())

    def test_what_is_found_is_an_attribute(self, run_async, bench, document, handler, tracked):
        """Unless the request says it: that it does not is a reference, and so are the inputs."""

        async def main():
            spec = """
            compiledTemplate: kubernetes
            params: {source_uid: source.uid | ""}
            attributeBindings:
              source.name: $out.source_pod_name
              source.namespace: $out.source_namespace
              source.owner: $out.source_owner
            """
            value = "compiledTemplate: listentry\nparams: {value: source.name}"
            engine = await bench.start(
                handler("g"),
                handler("a"),
                document("instance", "k", spec),
                document("instance", "v", value),
                document("rule", "g", "actions: [{handler: g, instances: [k]}]"),
                document("rule", "a", "actions: [{handler: a, instances: [v]}]"),
            )
            bench.answers["g", "generate"] = {"source_pod_name": "pod", "source_namespace": "ns"}
            outcome = await check(engine, tracked(source_uid="u"))
            assert bench.given("check")[0].value == "pod"
            assert Reference("source.uid", None, True) in outcome.references
            assert Reference("source.name", None, False) in outcome.references
            await check(engine, tracked(source_uid="u", source_name="said"))
            assert bench.given("check")[1].value == "said"
            for error in (ValueError("gone"), SystemExit("gone")):
                bench.answers["g", "generate"] = error
                name = type(error).__name__
                with pytest.raises(DispatchFailed, match=rf"g\.istio-system:{name}: gone"):
                    await check(engine, tracked())
            await engine.close()

        run_async(main())


class TestQuota:
    """Shares of something limited."""

    def _documents(self, document, handler, match="", *names):
        found = []
        for name in names or ("a",):
            spec = f"match: '{match}'\nactions: [{{handler: {name}, instances: [RequestCount]}}]"
            found += [handler(name), document("rule", name, spec)]
        spec = "compiledTemplate: quota\nparams: {dimensions: {path: request.path}}"
        return [*found, document("instance", "RequestCount", spec)]

    def ask(self, bench, tracked, name="requestcount", amount=5):
        """One request for a quota."""

        async def main():
            async with bench.engine.request() as dispatcher:
                request = QuotaRequest(amount=amount, deduplication_id="d")
                return await dispatcher.quota(tracked(request_path="/"), name, request)

        return main()

    def test_by_short_name(self, run_async, bench, document, handler, tracked):
        """Without regard to case; the handler sees dimensions, amount and id."""

        async def main():
            engine = await bench.start(*self._documents(document, handler))
            bench.answers["a", "quota"] = QuotaAnswer(amount=2, valid_duration=1.0)
            outcome = await self.ask(bench, tracked)
            assert outcome.answer == QuotaAnswer(amount=2, valid_duration=1.0)
            assert bench.given("quota")[0].dimensions == {"path": "/"}
            assert bench.requests == [QuotaRequest(amount=5, deduplication_id="d")]
            assert Reference("request.path", None, True) in outcome.references
            await engine.close()

        run_async(main())

    def test_what_no_rule_knows_is_granted(self, run_async, bench, document, handler, tracked):
        """Another name, or a condition that is not met: all of it, for a minute."""

        async def main():
            engine = await bench.start(*self._documents(document, handler, 'request.path == "/x"'))
            granted = QuotaAnswer(amount=5, valid_duration=60.0)
            assert (await self.ask(bench, tracked)).answer == granted
            assert (await self.ask(bench, tracked, name="other")).answer == granted
            assert bench.asked("quota") == []
            await engine.close()

        run_async(main())

    def test_the_first_that_answers(self, run_async, bench, document, handler, tracked):
        """No other is asked then, since asking takes."""

        async def main():
            engine = await bench.start(*self._documents(document, handler, "", "a", "b", "c"))
            bench.answers["b", "quota"] = QuotaAnswer(amount=1, valid_duration=2.0)
            assert (await self.ask(bench, tracked)).answer.amount == 1
            assert bench.asked("quota") == ["a", "b"]
            await engine.close()

        run_async(main())

    def test_nobody_grants(self, run_async, bench, document, handler, tracked):
        """An answer of zero is a denial; a failure says so."""

        async def main():
            engine = await bench.start(*self._documents(document, handler))
            assert (await self.ask(bench, tracked)).answer == QuotaAnswer()
            bench.answers["a", "quota"] = OSError("gone")
            status = Status(Code.INTERNAL, "a.istio-system:OSError: gone")
            assert (await self.ask(bench, tracked)).answer == QuotaAnswer(status=status)
            await engine.close()

        run_async(main())


class TestReport:
    """What happened is told once for all."""

    def test_equal_dimensions_are_found_once(self, run_async, bench, document, handler):
        """And each handler has its own, with which it may do what it likes."""

        async def main():
            metric = "compiledTemplate: metric\nparams: {value: '1', dimensions: {code: %s}}"
            engine = await bench.start(
                handler("a"),
                document("instance", "m", metric % "response.code"),
                document("instance", "n", metric % "response.code"),
                document("instance", "o", metric % "response.code | 0"),
                document("rule", "a", "actions: [{handler: a, instances: [m, n, o]}]"),
            )
            read = []

            class Attributes(dict):
                def get(self, name, default=None):
                    read.append(name)
                    return super().get(name, default)

            bag = AttributeBag()
            bag.entries = Attributes({"response.code": 404})
            async with engine.request() as dispatcher:
                outcome = await dispatcher.report([bag])
            assert outcome == ReportOutcome(taken=("a.istio-system",))
            (given,) = bench.given("report")
            assert [one.dimensions for one in given] == [{"code": 404}] * 3
            assert len({id(one.dimensions) for one in given}) == 3
            # One for two, and one for the third.
            assert read.count("response.code") == 2
            await engine.close()

        run_async(main())

    def test_one_call_for_a_whole_request(self, run_async, bench, document, handler):
        """Each handler gets all its instances; what fails is told, and harms no other."""

        async def main():
            metric = "compiledTemplate: metric\nparams: {value: response.code}"
            engine = await bench.start(
                handler("a"),
                handler("b"),
                document("instance", "m", metric),
                document("rule", "a", "actions: [{handler: a, instances: [m]}]"),
                document(
                    "rule", "b", "match: response.code > 1\nactions: [{handler: b, instances: [m]}]"
                ),
            )
            bench.answers["b", "report"] = OSError("gone")
            bags = [AttributeBag({"response.code": code}) for code in (1, 2)]
            async with engine.request() as dispatcher:
                outcome = await dispatcher.report([*bags, AttributeBag({})])
            told = {
                name: [one.value for one in given]
                for name, what, given in bench.calls
                if what == "report"
            }
            assert told == {"a": [1, 2], "b": [2]}
            assert outcome.taken == ("a.istio-system",)
            assert [f"{one.handler} {one.reason}" for one in outcome.failures] == [
                "a.istio-system m.instance.istio-system: value: lookup failed: 'response.code'",
                "b.istio-system OSError: gone",
            ]
            await engine.close()

        run_async(main())
