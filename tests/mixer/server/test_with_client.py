"""The client with its caches and the server with its own: together they give what rules say."""

from __future__ import annotations

import itertools
from random import Random

from meshregistry.mixer import AttributeBag, ClientOptions, MixerClient
from meshregistry.mixer.server import MixerServer
from meshregistry.mixer.spi import CheckAnswer, Code, Status

PATHS = ("/a", "/b", None)
HEADERS = (None, {}, {"x": "1"}, {"x": "2", "y": "1"}, {"y": "1"}, {"source.ip": "1"})
ADDRESSES = (None, b"\x0a\0\0\1", b"\x0a\0\0\2")


def requests():
    """Every combination of some values, some of them absent."""
    for number, (path, headers, address) in enumerate(itertools.product(PATHS, HEADERS, ADDRESSES)):
        values = {
            "request.path": path,
            "request.headers": headers,
            "source.ip": address,
            "request.size": number,
        }
        yield AttributeBag({name: value for name, value in values.items() if value is not None})


def test_caches_never_change_a_verdict(run_async, bench, document, handler, tmp_path):
    """Asked in any order, often, and with caches on both sides or none: the same answers.

    Rules read attributes, keys of maps that may be absent, and defaults; the handler's
    answer depends on what it is given.
    """
    (tmp_path / "config.yaml").write_text(
        "---\n".join(
            (
                handler("a"),
                document(
                    "instance",
                    "word",
                    'compiledTemplate: listentry\nparams: {value: \'request.headers["x"] | request.path | "none"\'}',
                ),
                document(
                    "instance",
                    "address",
                    'compiledTemplate: listentry\nparams: {value: \'request.headers["y"] | "no"\'}',
                ),
                document("rule", "r", "actions: [{handler: a, instances: [word]}]"),
                document(
                    "rule",
                    "s",
                    'match: source.ip == ip("10.0.0.1") && (request.path | "") != "/b"\n'
                    "actions: [{handler: a, instances: [address]}]",
                ),
            )
        )
    )
    denied = {"1", "/b", "no"}

    def answer(instance):
        code = Code.PERMISSION_DENIED if instance.value in denied else Code.OK
        return CheckAnswer(
            status=Status(code, instance.value), valid_duration=600.0, valid_use_count=1_000_000
        )

    bench.answers["a", "check"] = answer
    asked = list(requests()) * 4
    Random(5).shuffle(asked)

    async def main():
        async with (
            MixerServer(
                "127.0.0.1:0",
                config=tmp_path,
                adapters=bench.known.adapters.values(),
                templates=bench.known.templates.values(),
            ) as cached,
            MixerServer(
                "127.0.0.1:0",
                config=tmp_path,
                adapters=bench.known.adapters.values(),
                templates=bench.known.templates.values(),
                cache_size=0,
            ) as plain,
            MixerClient(cached.address) as client,
            MixerClient(plain.address, options=ClientOptions(check_cache_size=0)) as fresh,
        ):
            verdicts = []
            for bag in asked:
                quick, slow = await client.check(bag), await fresh.check(bag)
                assert (None, None) == (quick.failure, slow.failure)
                verdicts.append((bag, quick.status, slow.status))
            return verdicts, client.statistics()

    verdicts, counted = run_async(main())
    assert [] == [each for each in verdicts if each[1] != each[2]]
    assert {0, 7} == {quick.code for _, quick, _ in verdicts}
    # 216 requests, of which no two are equal in `request.size` but those that repeat.
    assert counted["total_check_cache_hits"] > 150


def test_reports_arrive_whole(run_async, bench, document, handler, tmp_path):
    """Batches, whichever way the client encodes them, reach handlers as they were."""
    (tmp_path / "config.yaml").write_text(
        "---\n".join(
            (
                handler("a"),
                document(
                    "instance", "m", "compiledTemplate: metric\nparams: {value: request.size}"
                ),
                document("rule", "r", "actions: [{handler: a, instances: [m]}]"),
            )
        )
    )
    told = list(requests())

    async def main():
        async with (
            MixerServer(
                "127.0.0.1:0",
                config=tmp_path,
                adapters=bench.known.adapters.values(),
                templates=bench.known.templates.values(),
            ) as server,
            MixerClient(server.address, options=ClientOptions(report_batch_entries=20)) as client,
        ):
            for bag in told:
                client.report(bag)
            await client.flush()
            return client.statistics()

    counted = run_async(main())
    values = [
        instance.value
        for _, what, instances in bench.calls
        if what == "report"
        for instance in instances
    ]
    assert [bag["request.size"] for bag in told] == sorted(values)
    assert (len(told), 3) == (
        counted["total_reports_sent"],
        counted["total_remote_report_successes"],
    )
