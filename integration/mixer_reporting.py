"""An engine of Mixer with a configuration, and requests to report to it."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from meshregistry.documents import RuleUnit
from meshregistry.mixer import vocabulary
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.config import Known, snapshot
from meshregistry.mixer.server._engine import Engine
from meshregistry.mixer.server._running import Surroundings
from meshregistry.mixer.spi import TEMPLATES

START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class Reporting:
    """An engine with a configuration, told what happened."""

    def __init__(self, folder):
        self.engine = Engine(Surroundings(random=random.Random(1), base_path=folder))
        self._folder = folder

    async def use(self, text):
        """Bring documents into force; they have no fault."""
        unit = RuleUnit.of_text("mixer.yaml", text)
        faults = [*unit.faults]
        known = Known.of(ADAPTERS, TEMPLATES)
        made = snapshot(unit.documents, known, faults, base_path=self._folder)
        assert [] == [str(one) for one in faults]
        await self.engine.swap(made)

    async def report(self, *values):
        """Report attributes; nothing fails."""
        bags = [vocabulary.STANDARD.bag(one) for one in values]
        async with self.engine.request() as dispatcher:
            outcome = await dispatcher.report(bags)
        assert () == outcome.failures


@asynccontextmanager
async def reporting(folder, text):
    """An engine with this configuration in force, closed at the end."""
    made = Reporting(folder)
    await made.use(text)
    try:
        yield made
    finally:
        await made.engine.close()


def document(kind, name, spec):
    """One document."""
    return (
        f"apiVersion: config.istio.io/v1alpha2\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: istio-system}}\nspec: {spec}\n---\n"
    )


def configuration(adapter, params, **instances):
    """A handler, and instances that every report sends there."""
    named = "".join(
        document("instance", name, f"{{compiledTemplate: {template}, params: {fields}}}")
        for name, (template, fields) in instances.items()
    )
    actions = f"{{actions: [{{handler: h, instances: [{', '.join(instances)}]}}]}}"
    handler = document("handler", "h", f"{{compiledAdapter: {adapter}, params: {params}}}")
    return handler + named + document("rule", "r", actions)


def request(service="web", *, code=200, duration=0.03, reporter="inbound"):
    """The attributes of a request from the front end to a service of the namespace shop."""
    return {
        "context.protocol": "http",
        "context.reporter.kind": reporter,
        "context.time": START,
        "request.time": START,
        "request.method": "GET",
        "request.path": "/orders",
        "request.size": 50,
        "request.useragent": "test",
        "response.code": code,
        "response.size": 500,
        "response.duration": timedelta(seconds=duration),
        "connection.mtls": True,
        "source.labels": {"app": "front", "version": "v1"},
        "source.workload.name": "front-v1",
        "source.workload.namespace": "shop",
        "destination.labels": {"app": service, "version": "v2"},
        "destination.workload.name": f"{service}-v2",
        "destination.workload.namespace": "shop",
        "destination.service.host": f"{service}.shop",
        "destination.service.name": service,
        "destination.service.namespace": "shop",
    }


SPAN = (
    "{traceId: 'request.headers[\"x-b3-traceid\"]', spanId: 'request.headers[\"x-b3-spanid\"]', "
    'parentSpanId: \'request.headers["x-b3-parentspanid"] | ""\', '
    "spanName: 'request.path | \"/\"', startTime: request.time, endTime: response.time, "
    "httpStatusCode: response.code | 0, destinationName: 'destination.service.name | \"\"', "
    'clientSpan: (context.reporter.kind | "inbound") == "outbound", '
    "sourceName: 'source.workload.name | \"\"', rewriteClientSpanId: 'true', "
    "spanTags: {http.method: request.method}}"
)
TRACE, ID = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312"


def traced(reporter):
    """A request with the ids of a span."""
    return {
        **request(reporter=reporter),
        "request.headers": {"x-b3-traceid": TRACE, "x-b3-spanid": ID},
        "response.time": START + timedelta(milliseconds=30),
    }
