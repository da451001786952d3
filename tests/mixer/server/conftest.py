"""A configuration of handlers that answer what a test says, and remember what they were asked."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from textwrap import dedent

import pytest
from attrs import frozen

from meshregistry.documents import RuleUnit
from meshregistry.mixer import AttributeBag, ValueType
from meshregistry.mixer.config import Known, snapshot
from meshregistry.mixer.expressions import TrackedAttributes
from meshregistry.mixer.server._engine import Engine
from meshregistry.mixer.server._running import Surroundings
from meshregistry.mixer.spi import (
    CHECK_NOTHING,
    KUBERNETES,
    LIST_ENTRY,
    METRIC,
    QUOTA,
    TEMPLATES,
    CheckAnswer,
    Handler,
    Instance,
    MixerAdapter,
    QuotaAnswer,
    Template,
    Variety,
    typed,
)

HEAD = (
    "apiVersion: config.istio.io/v1alpha2\nkind: {}\nmetadata: {{name: {}, namespace: {}}}\nspec:\n"
)


@frozen(kw_only=True)
class Config:
    """Which double of a test it is, and a word that makes a difference."""

    is_: str
    word: str = ""


@frozen(kw_only=True)
class Said(Instance):
    """What a check with output is given."""

    word: str = typed(1)


SAYS = Template(
    name="says",
    variety=Variety.CHECK_WITH_OUTPUT,
    instance_class=Said,
    output={"value": ValueType.STRING},
)


class Double(Handler):
    """A handler that does what the test has put into `answers` under its name.

    An answer may be a value, an exception, or a function of the instance that may be a
    coroutine function.
    """

    def __init__(self, bench, config, context):
        self.bench = bench
        self.config = config
        self.context = context

    async def start(self):
        await self._do("start", None)

    async def close(self):
        await self._do("close", None)

    async def check(self, instance):
        return await self._do("check", instance) or CheckAnswer()

    async def quota(self, instance, request):
        self.bench.requests.append(request)
        return await self._do("quota", instance) or QuotaAnswer()

    async def report(self, instances):
        await self._do("report", tuple(instances))

    async def generate(self, instance):
        return await self._do("generate", instance) or {}

    async def _do(self, what, instance):
        self.bench.calls.append((self.config.is_, what, instance))
        answer = self.bench.answers.get((self.config.is_, what))
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer = answer(instance)
            if asyncio.iscoroutine(answer):
                answer = await answer
        return answer


class Bench:
    """Documents in, an engine out; what handlers answer and were asked."""

    def __init__(self):
        self.answers = {}
        self.calls = []
        self.requests = []
        adapter = MixerAdapter(
            name="double",
            config_class=Config,
            templates=(CHECK_NOTHING, LIST_ENTRY, METRIC, QUOTA, KUBERNETES, SAYS),
            open=lambda config, context: Double(self, config, context),
        )
        self.known = Known.of([adapter], [*TEMPLATES, SAYS])
        self.engine = None

    def snapshot(self, *documents):
        """The configuration of these documents, which are right."""
        units = [RuleUnit.of_text("mixer.yaml", one) for one in documents]
        faults = []
        made = snapshot([one for unit in units for one in unit.documents], self.known, faults)
        assert [str(one) for one in faults] == []
        return made

    async def start(self, *documents, deadline=5.0):
        """An engine with this configuration in force."""
        around = Surroundings(random=random.Random(1), base_path=Path())
        self.engine = Engine(around, deadline=deadline)
        await self.engine.swap(self.snapshot(*documents))
        return self.engine

    def asked(self, what):
        """Who was asked for this, in order."""
        return [name for name, call, _ in self.calls if call == what]

    def given(self, what):
        """The instances of these calls, in order."""
        return [instance for _, call, instance in self.calls if call == what]


@pytest.fixture
def bench():
    """A new one for each test."""
    return Bench()


@pytest.fixture
def document():
    """Writes one document."""

    def write(kind, name, spec, namespace="istio-system"):
        body = "\n".join(f"  {line}" for line in dedent(spec).strip().splitlines())
        return HEAD.format(kind, name, namespace) + body + "\n"

    return write


@pytest.fixture
def handler(document):
    """Writes a handler document for a double of this name."""

    def write(name, namespace="istio-system", word=""):
        spec = f"compiledAdapter: double\nparams: {{is: {name}, word: '{word}'}}"
        return document("handler", name, spec, namespace)

    return write


@pytest.fixture
def tracked():
    """Attributes as a check reads them."""

    def make(**values):
        named = {name.replace("_", "."): value for name, value in values.items()}
        return TrackedAttributes(AttributeBag(named))

    return make
