"""Messages of Envoy out of nothing, and a server with its fronts."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from textwrap import dedent

import grpc
import pytest
from attrs import frozen
from google.protobuf import struct_pb2
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from meshregistry.documents import RuleUnit
from meshregistry.mixer import AttributeBag
from meshregistry.mixer.fronts import EnvoyFronts
from meshregistry.mixer.server import MixerServer
from meshregistry.mixer.spi import (
    CHECK_NOTHING,
    METRIC,
    QUOTA,
    CheckAnswer,
    Handler,
    MixerAdapter,
    QuotaAnswer,
)
from meshregistry.mixer.vocabulary import STANDARD

_SCALARS = {
    Field.CPPTYPE_INT32: st.integers(-(1 << 31), (1 << 31) - 1),
    Field.CPPTYPE_INT64: st.integers(-(1 << 63), (1 << 63) - 1),
    Field.CPPTYPE_UINT32: st.integers(0, (1 << 32) - 1),
    Field.CPPTYPE_UINT64: st.integers(0, (1 << 64) - 1),
    Field.CPPTYPE_DOUBLE: st.floats(),
    Field.CPPTYPE_FLOAT: st.floats(width=32),
    Field.CPPTYPE_BOOL: st.booleans(),
    Field.CPPTYPE_ENUM: st.integers(0, 40),
}
_WORDS = st.sampled_from(
    (
        *STANDARD,
        *(
            "envoy.filters.http.jwt_authn",
            "envoy.filters.http.rbac",
            "envoy.filters.http.ext_authz",
        ),
        *("istio.mixer", "x-istio-attributes", "X-Istio-Attributes", "content-type", ":path"),
        *("application/grpc", "1.2.3.4", "::1", "fe80::1%eth0", "7", "1.5s", "true", "iss", "sub"),
        *(
            "aud",
            "azp",
            "outbound|80||a.shop.svc.x",
            "spiffe://a/ns/b/sa/c",
            "mixer.quotas",
            "q=1,r",
        ),
        *("quota", "remote_address", "request.headers[x]", "destination_cluster", "inbound"),
        *("sidecar~1.1.1.1~a.b~b.svc.x", "router~nothing", "2026-01-01T00:00:00Z", "NAMESPACE"),
    )
)
_TEXTS = st.one_of(_WORDS, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))


@st.composite
def _messages(draw, descriptor, depth=6):
    """Any message of a type; one field in three is set."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if draw(st.integers(0, 2)):
            continue
        _set(draw, message, field, depth)
    return message


def _set(draw, message, field, depth):
    is_message = field.message_type is not None
    if is_message and depth == 0:
        return
    if is_message and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        entries = getattr(message, field.name)
        for _ in range(draw(st.integers(0, 3))):
            name = draw(_value(key))
            if value.message_type is None:
                entries[name] = draw(_value(value))
            else:
                entries[name].CopyFrom(draw(_messages(value.message_type, depth - 1)))
    elif field.is_repeated:
        for _ in range(draw(st.integers(0, 3))):
            if is_message:
                getattr(message, field.name).add().CopyFrom(
                    draw(_messages(field.message_type, depth - 1))
                )
            else:
                getattr(message, field.name).append(draw(_value(field)))
    elif is_message:
        getattr(message, field.name).CopyFrom(draw(_messages(field.message_type, depth - 1)))
    else:
        setattr(message, field.name, draw(_value(field)))


def _value(field):
    if field.cpp_type == Field.CPPTYPE_STRING:
        return st.binary(max_size=20) if field.type == Field.TYPE_BYTES else _TEXTS
    return _SCALARS[field.cpp_type]


@pytest.fixture(scope="session")
def messages():
    """A strategy for any message of a class."""
    return lambda kind: _messages(kind.DESCRIPTOR)


@pytest.fixture(scope="session")
def assert_sound():
    """Fails unless every value of a bag is of its declared type and in its range."""

    def check(bag):
        assert bag == AttributeBag(dict(bag))
        declared = {name: value for name, value in bag.items() if name in STANDARD}
        assert STANDARD.bag(declared) == AttributeBag(declared)

    return check


@pytest.fixture
def metadata():
    """Writes plain values as the metadata of filters."""

    def write(target, values):
        for name, value in values.items():
            struct = struct_pb2.Struct()
            struct.update(value)
            target.filter_metadata[name].CopyFrom(struct)
        return target

    return write


HEAD = "apiVersion: config.istio.io/v1alpha2\nkind: {}\nmetadata: {{name: {}, namespace: istio-system}}\nspec:\n"


@frozen(kw_only=True)
class Config:
    """It has no parameters."""


class Double(Handler):
    """A handler that answers what the test says, and remembers what it was told."""

    def __init__(self, house):
        self.house = house

    async def check(self, instance):
        self.house.checks += 1
        if isinstance(self.house.answer, Exception):
            raise self.house.answer
        return self.house.answer

    async def quota(self, instance, request):
        self.house.quotas.append((dict(instance.dimensions), request))
        answer = self.house.quota
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def report(self, instances):
        self.house.reports += [dict(one.dimensions) for one in instances]


class House:
    """A server with fronts over one double, and a channel to it."""

    double = Double

    def __init__(self):
        self.answer = CheckAnswer(valid_duration=60.0, valid_use_count=100)
        self.quota = QuotaAnswer(amount=10**9, valid_duration=1.0)
        self.checks = 0
        self.quotas = []
        self.reports = []
        self.fronts = None
        self.server = None

    @asynccontextmanager
    async def served(self, *rules, options=None, **more):
        adapter = MixerAdapter(
            name="double",
            config_class=Config,
            templates=(CHECK_NOTHING, METRIC, QUOTA),
            open=lambda config, context: Double(self),
        )
        self.fronts = EnvoyFronts(options)
        documents = [
            _document("handler", "h", "compiledAdapter: double\nparams: {}"),
            _document("instance", "nothing", "compiledTemplate: checknothing"),
            *rules,
        ]
        units = [RuleUnit.of_text("mixer.yaml", one) for one in documents]
        async with MixerServer(
            "127.0.0.1:0", adapters=[adapter], fronts=[self.fronts], **more
        ) as server:
            self.server = server
            accepted = await server.configure([one for unit in units for one in unit.documents])
            assert [] == [str(one) for one in accepted.faults]
            async with grpc.aio.insecure_channel(server.address) as channel:
                yield channel


def _document(kind, name, spec):
    body = "\n".join(f"  {line}" for line in dedent(spec).strip().splitlines())
    return HEAD.format(kind, name) + body + "\n"


@pytest.fixture
def document():
    """Writes one document."""
    return _document


@pytest.fixture
def house():
    """A new one for each test."""
    return House()


@pytest.fixture
def is_close():
    """Whether two numbers are the same within rounding."""
    return math.isclose
