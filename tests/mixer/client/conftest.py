"""A server of Mixer in memory, and what it answers, for tests of the client."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from meshregistry.mixer import decode_attributes, decode_report
from meshregistry.mixer._dictionary import Dictionary, known_words
from meshregistry.mixer.proto.mixer_v1_pb2 import CheckResponse, ReferencedAttributes


def refer(target, exact=(), absent=(), regex=()):
    """Write references into a message: ``name`` or ``name|key``, as a server does."""
    dictionary = Dictionary(known_words())
    conditions = (
        (ReferencedAttributes.EXACT, exact),
        (ReferencedAttributes.ABSENCE, absent),
        (ReferencedAttributes.REGEX, regex),
    )
    for condition, references in conditions:
        for reference in references:
            name, _, key = reference.partition("|")
            match = target.attribute_matches.add(condition=condition, name=dictionary.index(name))
            if key:
                match.map_key = dictionary.index(key)
    target.words.extend(dictionary.words)


def respond(*exact, absent=(), regex=(), code=0, message="", seconds=None, uses=-1, quotas=None):
    """A response to a check; quotas are (granted amount, seconds, exact references) by name."""
    response = CheckResponse()
    said = response.precondition
    said.status.code, said.status.message = code, message
    said.valid_use_count = uses
    if seconds is not None:
        said.valid_duration.seconds = seconds
    refer(said.referenced_attributes, exact, absent, regex)
    for name, (granted, holds, references) in (quotas or {}).items():
        result = response.quotas[name]
        result.granted_amount = granted
        if holds is not None:
            result.valid_duration.seconds = holds
        refer(result.referenced_attributes, references)
    return response


class FakeTransport:
    """Answers from a script, or else always the same; keeps what it was sent.

    An answer is a response, an exception to raise, a future of one of them, or a function of
    the request that gives one.
    """

    def __init__(self, answer=None):
        self.answer = answer or respond()
        self.script = deque()
        self.report_script = deque()
        self.requests = []
        self.timeouts = []
        self.report_requests = []
        self.again = []
        self.is_closed = False

    async def check(self, request, timeout):
        self.requests.append(request)
        self.timeouts.append(timeout)
        answer = self.script.popleft() if self.script else self.answer
        return await self._said(answer, request)

    async def report(self, request, timeout, *, again):
        self.report_requests.append(request)
        self.again.append(again)
        if self.report_script:
            await self._said(self.report_script.popleft(), request)

    async def close(self):
        self.is_closed = True

    async def _said(self, answer, request):
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, asyncio.Future):
            answer = await answer
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @property
    def bags(self):
        """The attributes of every check."""
        return [decode_attributes(request.attributes).bag for request in self.requests]

    @property
    def reports(self):
        """The attributes of every report, batch by batch."""
        return [
            [decoded.bag for decoded in decode_report(request)] for request in self.report_requests
        ]


@pytest.fixture
def answer():
    """Makes responses to checks."""
    return respond


@pytest.fixture
def transport():
    """A server that allows everything."""
    return FakeTransport()


@pytest.fixture
def until():
    """Gives way until a condition holds: other tasks run, time does not."""

    async def wait(condition):
        for _ in range(200):
            if condition():
                return
            await asyncio.sleep(0)
        pytest.fail("the condition never held")

    return wait
