"""A cache changes no answer: whatever is asked, it is what handlers would have said."""

from __future__ import annotations

import random

import pytest

from meshregistry.mixer import AttributeBag, Compressor
from meshregistry.mixer._received import ReceivedAttributes
from meshregistry.mixer.server import DispatchFailed, Mixer
from meshregistry.mixer.spi import CheckAnswer, Code, Status

CONDITIONS = (
    'request.headers["x"] == "1"',
    '(request.headers["y"] | "") == "2"',
    'source.labels["app"] == request.headers["x"]',
    '(source.labels["app"] | "none") != "none"',
    "request.size > 3 || destination.port == 80",
    'source.name == "pod"',
)
VALUES = (
    "request.path",
    "source.name",
    'request.headers["x"] | "none"',
    'request.headers["y"] | request.path',
)
ATTRIBUTES = {
    "context.reporter.kind": ("inbound", "outbound"),
    "destination.namespace": ("shop", "other"),
    "destination.port": (80, 81, True, "80"),
    "request.headers": ({}, {"x": "1"}, {"y": "2"}, {"x": "", "y": "2"}),
    "request.path": ("/", "/a", "", 1, 1.0),
    "request.size": (1, 5),
    "source.labels": ({}, {"app": "1"}, {"app": "found"}),
    "source.name": ("pod", "own"),
    "source.namespace": ("shop",),
    "source.uid": ("a", "b"),
}
GENERATED = """
compiledTemplate: kubernetes
params: {source_uid: source.uid | ""}
attributeBindings:
  source.name: $out.source_pod_name
  source.labels: $out.source_labels
"""
FOUND = {
    "": {},
    "a": {"source_pod_name": "pod"},
    "b": {"source_pod_name": "other", "source_labels": {"app": "found"}},
}
RULE = """
match: {}
actions: [{{handler: h{number}, instances: [i{number}]}}]
requestHeaderOperations: [{{name: x-value, values: ['{}']}}]
"""


def said(instance):
    """Answers that depend on all that they are made of."""
    code = Code.PERMISSION_DENIED if len(str(instance.value)) % 2 else Code.OK
    status = Status(code, str(instance.value))
    return CheckAnswer(status=status, valid_duration=9.0, valid_use_count=5)


@pytest.mark.parametrize("seed", range(8))
def test_answers_are_the_same_with_and_without_a_cache(run_async, bench, document, handler, seed):
    """In process and of messages; with what was found out, and attributes of wrong types."""
    draw = random.Random(seed)

    async def main():
        documents = [
            handler("g"),
            document("instance", "k", GENERATED),
            document("rule", "g", "actions: [{handler: g, instances: [k]}]"),
        ]
        bench.answers["g", "generate"] = lambda one: FOUND[one.source_uid]
        for number in range(3):
            namespace = draw.choice(["istio-system", "shop"])
            value = f"compiledTemplate: listentry\nparams: {{value: '{draw.choice(VALUES)}'}}"
            rule = RULE.format(draw.choice(CONDITIONS), draw.choice(VALUES), number=number)
            documents += [
                handler(f"h{number}", namespace),
                document("instance", f"i{number}", value, namespace),
                document("rule", f"r{number}", rule, namespace),
            ]
            bench.answers[f"h{number}", "check"] = said
        engine = await bench.start(*documents)
        without, kept, wire = (Mixer(engine, now=float, cache_size=size) for size in (0, 99, 99))
        for _ in range(300):
            bag = AttributeBag(
                {
                    name: draw.choice(values)
                    for name, values in ATTRIBUTES.items()
                    if draw.random() < 0.6
                }
            )
            word_count = draw.choice([0, 16, 200])
            received = ReceivedAttributes(Compressor(word_count).attributes(bag))
            answers = [
                await _answer(without.check(bag)),
                await _answer(kept.check(bag)),
                await _answer(_of_message(wire, received)),
            ]
            assert answers == [answers[0]] * 3, bag
        assert kept.cache.hits
        assert kept.cache.hits == wire.cache.hits
        await engine.close()

    run_async(main())


async def _of_message(mixer, received):
    found = mixer.kept(received, 0.0)
    return await mixer.decided(received.bag, {}, found)


async def _answer(asked):
    try:
        outcome = (await asked).outcome
    except DispatchFailed as error:
        return str(error)
    return outcome.status, outcome.directive
