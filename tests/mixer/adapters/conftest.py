"""A handler by itself: opened from parameters as documents write them, on a clock of the test."""

from __future__ import annotations

import logging
import random
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshregistry.documents import RuleUnit
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.config import Known, snapshot
from meshregistry.mixer.spi import TEMPLATES
from meshregistry.testing import ManualClock

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Context:
    """What a handler is given by these tests (`spi.HandlerContext`)."""

    def __init__(self, name, instances, base_path, services, shared):
        self.name = name
        self.instances = instances
        self.base_path = base_path
        self.logger = logging.LoggerAdapter(logging.getLogger("meshregistry.mixer"))
        self.random = random.Random(7)
        self.clock = ManualClock()
        self.counts = Counter()
        self._services = services
        self._shared = shared

    def now(self):
        return self.clock.now()

    def wall_time(self):
        return EPOCH + timedelta(seconds=self.clock.now())

    async def sleep(self, seconds):
        await self.clock.sleep(seconds)

    async def in_thread(self, call, *args, **kwargs):
        return call(*args, **kwargs)

    def count(self, name, by=1):
        self.counts[name] += by

    def service(self, name):
        return self._services.get(name)

    def shared(self, name, make):
        return self._shared.setdefault(name, make())


class Adapters:
    """Configures and opens handlers of our adapters."""

    def __init__(self, base_path):
        self.base_path = base_path
        self.services = {}
        self.shared = {}

    def plan(self, adapter, params="{}", instances=("x: logentry {}",)):
        """The plan of a handler, and what is wrong, each as one line.

        Args:
            adapter: its name.
            params: as YAML in flow style.
            instances: each ``name: template {fields}``, in flow style.
        """
        documents = [_document("handler", "h", f"{{compiledAdapter: {adapter}, params: {params}}}")]
        names = []
        for one in instances:
            name, _, rest = one.partition(": ")
            template, _, fields = rest.partition(" ")
            names.append(name)
            spec = f"{{compiledTemplate: {template}, params: {fields}}}"
            documents.append(_document("instance", name, spec))
        actions = f"{{actions: [{{handler: h, instances: [{', '.join(names)}]}}]}}"
        documents.append(_document("rule", "r", actions))
        units = [RuleUnit.of_text("mixer.yaml", one) for one in documents]
        faults = [fault for unit in units for fault in unit.faults]
        found = [document for unit in units for document in unit.documents]
        made = snapshot(found, Known.of(ADAPTERS, TEMPLATES), faults, base_path=self.base_path)
        plan = made.handlers[0] if made.handlers else None
        return plan, [f"{one.field}: {one.reason}" for one in faults]

    def open(self, adapter, params="{}", instances=("x: logentry {}",)):
        """A handler that is not started, and its context."""
        plan, faults = self.plan(adapter, params, instances)
        assert faults == []
        context = Context(plan.title, plan.instances, self.base_path, self.services, self.shared)
        return plan.adapter.open(plan.config, context), context

    @asynccontextmanager
    async def running(self, adapter, params="{}", instances=("x: logentry {}",)):
        """A started handler, closed at the end."""
        handler, context = self.open(adapter, params, instances)
        await handler.start()
        try:
            yield handler, context
        finally:
            await handler.close()


def _document(kind, name, spec):
    return (
        f"apiVersion: config.istio.io/v1alpha2\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: ns}}\nspec: {spec}\n"
    )


@pytest.fixture
def adapters(tmp_path):
    """Makes handlers; relative paths start from the test's folder."""
    return Adapters(tmp_path)


@pytest.fixture
def certificate(tmp_path):
    """The files ``collector.pem`` and ``collector.key``, for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "collector")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "collector.pem", tmp_path / "collector.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files
