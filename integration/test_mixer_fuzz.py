"""Hostile input for a Mixer server: requests, expressions, configurations; no crash and no hang.

Hypothesis makes input that is nearly right; atheris looks for input that reaches more of our
code. Both are bounded, and an input that takes longer than `SLOW` is a find like a crash.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from meshregistry.mixer import GLOBAL_WORDS
from meshregistry.mixer.proto.mixer_v1_pb2 import CheckRequest, CompressedAttributes, ReportRequest
from servers.mixer_fuzz import Decoder, documents, expression, patched

SLOW = 2
"""Seconds of this process that one input may take; those of a clock are the machine's matter."""
EXAMPLES = 400
ATHERIS_SECONDS = 8

bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@contextmanager
def quickly():
    """What an input may cost."""
    began = time.process_time()
    yield
    assert time.process_time() - began < SLOW


INDICES = st.one_of(
    st.integers(-5, 5),
    st.integers(0, len(GLOBAL_WORDS) + 3),
    st.sampled_from([-(2**31), 2**31 - 1]),
)
INT64 = st.one_of(st.integers(-2, 2), st.sampled_from([-(2**63), 2**63 - 1]))
INT32 = st.one_of(st.integers(-2, 2), st.sampled_from([-(2**31), 2**31 - 1]))
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["(" * 400 + "a@b.c", "a@[", "@", "0001-01-01T00:00:00+01:00", "http://[::1"]),
)


@st.composite
def attributes(draw) -> CompressedAttributes:
    """Indices of words that are there or not, and values at the limits of their types."""
    made = CompressedAttributes(words=draw(st.lists(TEXTS, max_size=4)))
    made.strings.update(draw(st.dictionaries(INDICES, INDICES, max_size=6)))
    made.int64s.update(draw(st.dictionaries(INDICES, INT64, max_size=2)))
    made.doubles.update(draw(st.dictionaries(INDICES, st.floats(), max_size=2)))
    made.bools.update(draw(st.dictionaries(INDICES, st.booleans(), max_size=2)))
    made.bytes.update(draw(st.dictionaries(INDICES, st.binary(max_size=17), max_size=2)))
    for kind in (made.timestamps, made.durations):
        for index, (seconds, nanos) in draw(
            st.dictionaries(INDICES, st.tuples(INT64, INT32), max_size=2)
        ).items():
            kind[index].seconds, kind[index].nanos = seconds, nanos
    headers = GLOBAL_WORDS.index("request.headers")
    maps = st.dictionaries(INDICES, INDICES, max_size=4)
    for index, entries in draw(
        st.dictionaries(st.one_of(st.just(headers), INDICES), maps, max_size=2)
    ).items():
        made.string_maps[index].entries.update(entries)
    return made


@st.composite
def checks(draw) -> CheckRequest:
    """With quotas, known or not, of any amount."""
    made = CheckRequest(
        attributes=draw(attributes()),
        global_word_count=draw(st.sampled_from([0, 1, 111, len(GLOBAL_WORDS), 2**32 - 1])),
        deduplication_id=draw(st.sampled_from(["", "id"])),
    )
    for name, amount in draw(
        st.dictionaries(st.sampled_from(["quota", "QUOTA", "x", ""]), INT64, max_size=2)
    ).items():
        made.quotas[name].amount = amount
    return made


@st.composite
def reports(draw) -> ReportRequest:
    """Differences or not, with a list of words of the batch."""
    return ReportRequest(
        attributes=draw(st.lists(attributes(), max_size=3)),
        default_words=draw(st.lists(TEXTS, max_size=4)),
        global_word_count=draw(st.sampled_from([0, len(GLOBAL_WORDS), 2**32 - 1])),
        repeated_attributes_semantics=draw(st.sampled_from([0, 1, 7])),
    )


@pytest.fixture(scope="module")
def decoder():
    """A service without a network."""
    logging.disable(logging.CRITICAL)
    made = Decoder()
    yield made
    made.close()
    logging.disable(logging.NOTSET)


class TestRequests:
    """Whatever is sent is answered, or refused with a reason."""

    @bounded
    @given(data=st.binary(max_size=300))
    def test_any_bytes(self, decoder, data):
        """Most are no messages at all."""
        with quickly():
            decoder(data)

    @bounded
    @given(request=st.one_of(checks(), reports()))
    def test_messages_with_anything_in_them(self, decoder, request):
        """Words that are not there, times that no calendar has, attributes of wrong types."""
        with quickly():
            decoder.take(request)


LANGUAGE = r"""
request.headers request.path source.ip response.size connection.mtls request.host . | || && == !=
< + - ! ( ) [ ] , "x" "(" "1s" `x` 'c' 1 2.5 9223372036854775807 1e999 match( email( uri( dnsName(
ip( timestamp( conditional( size( toLower( reverse( emptyStringMap() .matches( .startsWith( true
"""
WORDS = st.sampled_from([*LANGUAGE.split(), "\u0661"])


class TestExpressions:
    """Refused with a column, or evaluated to a value or to a reason that there is none."""

    @bounded
    @given(text=st.one_of(st.lists(WORDS, max_size=16).map(" ".join), st.text(max_size=60)))
    @example(text='request.headers["a"]' + '["a"]' * 10_000)
    @example(text='"a"' + ".reverse()" * 5_000)
    @example(text='timestamp("0001-01-01T00:00:00+01:00")')
    @example(text='email(request.headers["x"])')
    @example(text='email("@")')
    @example(text='email("' + "a." * 20_000 + '@b")')
    @example(text="\u0661 + \u0661")
    def test_any_text(self, text):
        """Words of the language in any order, and texts that have nothing to do with it."""
        with quickly():
            expression(text.encode(errors="replace"))


HEAD = "apiVersion: config.istio.io/v1alpha2\nkind: rule\nmetadata: {name: a, namespace: b}\nspec: "
FIELDS = """
actions handler instances name match requestHeaderOperations values operation sampling params
compiledAdapter compiledTemplate dimensions value attributes patterns regex uriTemplate apiKeys query rules
clause exact quotas quota charge services service labels quotaSpecs apiSpecs stringValue int64Value
"""
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6))
KEYS = st.one_of(st.text(max_size=4), st.sampled_from(FIELDS.split()))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
KINDS = st.sampled_from(
    [
        *(
            "rule",
            "handler",
            "instance",
            "attributemanifest",
            "metric",
            "quota",
            "noop",
            "adapter",
            "x",
        ),
        *("HTTPAPISpec", "HTTPAPISpecBinding", "QuotaSpec", "QuotaSpecBinding"),
    ]
)


class TestConfiguration:
    """Read as far as it is right; the rest is reported."""

    @bounded
    @given(data=st.binary(max_size=200))
    @example(data=(HEAD + "[" * 20_000).encode())
    @example(data=(HEAD + "{a: " * 5_000 + "1" + "}" * 5_000).encode())
    @example(data=(HEAD + "&a [*a]").encode())
    def test_any_bytes(self, data):
        """No document at all, or one that is nested as nobody nests."""
        with quickly():
            documents(data)

    @bounded
    @given(kind=KINDS, spec=TREES)
    def test_any_tree_as_a_document(self, kind, spec):
        """Every kind with every form of value in its fields."""
        with quickly():
            documents(f"{HEAD.replace('rule', kind)}{as_json(spec)}".encode())

    @bounded
    @given(data=st.binary(min_size=3, max_size=30))
    def test_a_good_one_with_a_fault(self, data):
        """Something else at one place of a configuration that was good."""
        with quickly():
            patched(data)


def as_json(tree: object) -> str:
    """JSON, which is YAML, too."""
    return json.dumps(tree)


@pytest.mark.parametrize("target", ["decoder", "expression", "documents", "patched"])
def test_guided_by_what_is_reached(target, tmp_path):
    """Nothing is found within these seconds, and new code is reached on the way."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris does not install here: `pip install atheris` says why")
    command = [sys.executable, "-m", "servers.mixer_atheris", target, f"-timeout={10 * SLOW}"]
    command += [f"-max_total_time={ATHERIS_SECONDS}", "-max_len=600", "-seed=1"]
    command += [f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-4_000:]
    runs = re.search(r"Done (\d+) runs", done.stderr)
    covered = re.findall(r"cov: (\d+)", done.stderr)
    assert runs is not None
    assert int(covered[-1]) > int(covered[0])
    print(f"{target}: {int(runs[1]):,} runs, {covered[0]} to {covered[-1]} edges, no find")
