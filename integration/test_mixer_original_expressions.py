"""Expressions in the original server and in ours: what they give, what they read, what is refused.

Each has a namespace of its own, whose only rules write its value into a log, and hand it to a
check, whose answer says what was read.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import frozen

from meshregistry.mixer._compress import Repeated
from mixer_both import Failed, both, documents, manifest

ATTRIBUTES = manifest(
    {
        "context.reporter.kind": "STRING",
        "destination.namespace": "STRING",
        "source.namespace": "STRING",
        "as": "STRING",
        "bs": "STRING",
        "ai": "INT64",
        "bi": "INT64",
        "ad": "DOUBLE",
        "ab": "BOOL",
        "bb": "BOOL",
        "at": "TIMESTAMP",
        "bt": "TIMESTAMP",
        "aip": "IP_ADDRESS",
        "bip": "IP_ADDRESS",
        "adur": "DURATION",
        "bdur": "DURATION",
        "amail": "EMAIL_ADDRESS",
        "auri": "URI",
        "adns": "DNS_NAME",
        "ar": "STRING_MAP",
        "br": "STRING_MAP",
    }
)
ALL = {
    "as": "s",
    "bs": "t",
    "ai": 3,
    "bi": 4,
    "ad": 2.5,
    "ab": True,
    "bb": False,
    "at": datetime(2020, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC),
    "aip": bytes([1, 2, 3, 4]),
    "adur": timedelta(seconds=90, milliseconds=5),
    "amail": "a@b.com",
    "auri": "http://A.com/",
    "adns": "A.com",
    "ar": {"k": "v", "s": "w"},
}
# As programs in Go send them: an IPv4 address in 16 bytes.
SOME = {
    "as": "zz",
    "bs": "zz",
    "ai": -3,
    "ab": False,
    "bb": True,
    "aip": bytes(10) + b"\xff\xff" + bytes([1, 2, 3, 4]),
    "ar": {"q": "r"},
}
BAGS = ({}, ALL, SOME)

# One more, whose value comes after all others.
LAST = '"last"'
# An expression a line.
FOLDER = Path(__file__).with_name("expressions")
ALIKE = (FOLDER / "alike.txt").read_text(encoding="utf-8").splitlines()

REFUSED = (FOLDER / "refused.txt").read_text(encoding="utf-8").splitlines()


@frozen
class Differs:
    """An expression that does not give the same, the attributes it is shown with, and why.

    None stands for an error.
    """

    text: str
    theirs: object
    ours: object
    why: str
    bag: int = 0


DIFFERENT = (
    Differs("(as == 'x') | true", True, False, "0024: the left side counts if it has a value", 1),
    Differs("(ai + 1) | 5", 5, 4, "0024: the same", 1),
    Differs("size(as) | 9", 9, 1, "0024: the same", 1),
    Differs("(ab && bb) | true", True, False, "0024: the same", 1),
    Differs('"a" + "b" | "c"', "c", "ab", "0024: the same"),
    Differs('match("a", "b", "c")', False, None, "0024: further arguments are refused"),
    Differs('reverse("abc")', None, "cba", "0024: a function of ours"),
    Differs("9223372036854775807 + 1", -(2**63), None, "0024: does not wrap around"),
    Differs("ar", "stringmap[k:v s:w]", {"k": "v", "s": "w"}, "0021: a map in JSON", 1),
    Differs('"1ns"', "1ns", "0s", "0020: times have microseconds"),
    Differs('timestamp("2020-01-02T03:04:05+24:00")', "2020-01-01T03:04:05.000000Z", None, "0024"),
    Differs('timestamp("2020-01-02t03:04:05z")', None, "2020-01-02T03:04:05.000000Z", "0024"),
    Differs('dnsName("a_b.com")', "a_b.com", None, "0024: it could not be compared there either"),
    Differs('dnsName("*.foo.com")', "*.foo.com", None, "0024: the same"),
    Differs('dnsName("a b")', "a b", None, "0024: the same"),
    Differs('email("<a@b.com>")', "<a@b.com>", None, "0024: an address, and not a header's form"),
    Differs('uri("http://a.com:99999/")', "http://a.com:99999/", None, "0024: no such port"),
)


def in_namespaces(texts, folder, log):
    """Documents for these expressions, a file and a namespace each; what they log goes to a file."""
    folder.mkdir()
    parameters = {"logStream": "FILE", "outputPath": str(log)}
    handlers = (
        ("handler", "log", {"compiledAdapter": "stdio", "params": parameters}),
        ("handler", "yes", {"compiledAdapter": "noop"}),
    )
    (folder / "handlers.yaml").write_text(documents(ATTRIBUTES, *handlers))
    for number, text in enumerate([*texts, LAST]):
        entry = {"severity": '"info"', "variables": {"value": text}}
        action = {"namespace": '"x"', "properties": {"value": text}}
        own = (
            ("instance", "entry", {"compiledTemplate": "logentry", "params": entry}),
            (
                "instance",
                "check",
                {"compiledTemplate": "authorization", "params": {"action": action}},
            ),
            *(
                (
                    "rule",
                    name,
                    {"actions": [{"handler": f"{to}.istio-system", "instances": [name]}]},
                )
                for name, to in (("entry", "log"), ("check", "yes"))
            ),
        )
        name = namespace(number)
        (folder / f"{name}.yaml").write_text(documents(*own, namespace=name))
    return folder


def namespace(number):
    """Of an expression."""
    return f"e{number}"


class Evaluated:
    """Both servers with some expressions; see `evaluating`."""

    def __init__(self, servers, texts, logs):
        self._servers = servers
        self._texts = texts
        self._logs = logs

    async def values(self, bag):
        """For each expression, the original's value and ours; None where evaluating failed."""
        for log in self._logs:
            log.write_text("")
        for number in range(len(self._texts)):
            entry = bag | {"destination.namespace": namespace(number)}
            await self._servers.report(entry, repeated=Repeated.INDEPENDENT)
        # What is written is in order; an answer does not wait for it.
        last = namespace(len(self._texts))
        await self._servers.report({"destination.namespace": last})
        async with asyncio.timeout(10):
            while not all(f".{last}" in log.read_text() for log in self._logs):
                await asyncio.sleep(0.01)
        return list(zip(*(self._read(log) for log in self._logs), strict=True))

    async def answers(self, bag):
        """For each, the original's answer to a check that reads it, and ours."""
        return [
            await self._servers.check(bag | {"destination.namespace": namespace(number)})
            for number in range(len(self._texts))
        ]

    def refused(self):
        """For each, whether the original's log and our list of faults name its instance."""
        log = self._servers.original.log
        faults = [str(one) for one in self._servers.ours.status().faults]
        return [
            (
                f"'entry.instance.{namespace(number)}'" in log,
                any(f"/{namespace(number)}.yaml:" in one for one in faults),
            )
            for number in range(len(self._texts))
        ]

    def _read(self, log):
        said = {}
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            said[entry["instance"].rpartition(".")[2]] = entry["value"]
        return [said.get(namespace(number)) for number in range(len(self._texts))]


@pytest.fixture
def evaluating(original, tmp_path):
    """Enters both servers, each with a log of its own, with some expressions."""

    @asynccontextmanager
    async def enter(texts):
        logs = [tmp_path / f"{name}.log" for name in ("theirs", "ours")]
        theirs, ours = (in_namespaces(texts, log.with_suffix(""), log) for log in logs)
        async with both(original, theirs, tmp_path, ours=ours) as servers:
            yield Evaluated(servers, texts, logs)

    return enter


def test_the_same_values_of_the_same_attributes(evaluating, run_async):
    """With none, with all and with some others; and what failed with one failed with both."""

    async def main():
        async with evaluating(ALIKE) as evaluated:
            assert not any(any(one) for one in evaluated.refused())
            succeeded = set()
            for bag in BAGS:
                found = list(zip(ALIKE, await evaluated.values(bag), strict=True))
                assert [] == [(text, *both) for text, both in found if both[0] != both[1]]
                succeeded |= {text for text, (value, _) in found if value is not None}
        assert len(succeeded) > 200
        print(f"{len(ALIKE)} expressions give the same, {len(succeeded)} of them a value")

    run_async(main(), timeout=120)


def test_the_same_attributes_are_read(evaluating, run_async):
    """Present and absent ones, and keys of maps; a check fails where its value does."""

    async def main():
        async with evaluating(ALIKE) as evaluated:
            for bag in BAGS:
                found = list(zip(ALIKE, await evaluated.answers(bag), strict=True))
                assert [] == [(text, *both) for text, both in found if both[0] != both[1]]
                failed = sum(isinstance(answer, Failed) for _, (answer, _) in found)
                assert 0 < failed < len(ALIKE) / 2

    run_async(main(), timeout=120)


def test_the_same_expressions_are_refused(evaluating, run_async):
    """When documents are read: types, names, syntax."""

    async def main():
        async with evaluating(REFUSED) as evaluated:
            found = list(zip(REFUSED, evaluated.refused(), strict=True))
            assert [] == [(text, *both) for text, both in found if both != (True, True)]
        print(f"{len(REFUSED)} expressions are refused by both")

    run_async(main())


def test_a_wrong_pattern_is_found_sooner(evaluating, run_async):
    """Decision 0024: when documents are read; by the original when it is used."""
    texts = ['"(".matches("abc")', '"a{1001}".matches("a")', '"(a)\\\\1".matches("aa")']

    async def main():
        async with evaluating(texts) as evaluated:
            assert [(False, True)] * len(texts) == evaluated.refused()
            assert [(None, None)] * len(texts) == await evaluated.values({})

    run_async(main())


def test_what_differs_is_decided(evaluating, run_async):
    """Each with the number of its decision."""

    async def main():
        texts = [one.text for one in DIFFERENT]
        async with evaluating(texts) as evaluated:
            given = [await evaluated.values(bag) for bag in BAGS]
        assert [(one.text, one.theirs, one.ours) for one in DIFFERENT] == [
            (one.text, *given[one.bag][number]) for number, one in enumerate(DIFFERENT)
        ]

    run_async(main())
