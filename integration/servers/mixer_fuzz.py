"""What hostile input reaches first in a Mixer server: each target takes bytes and must not break.

A target ends in silence, whatever it is given; an exception
that is none of those that callers are told about is a find.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from google.protobuf.message import DecodeError

from meshregistry.documents import RuleUnit
from meshregistry.mixer import AttributeBag
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.config import Known, snapshot
from meshregistry.mixer.expressions import (
    EvaluationError,
    ExpressionError,
    TrackedAttributes,
    compile_expression,
)
from meshregistry.mixer.proto.mixer_v1_pb2 import CheckRequest, CheckResponse, ReportRequest
from meshregistry.mixer.server import MixerServer
from meshregistry.mixer.server._grpc import MixerServicer
from meshregistry.mixer.spi import TEMPLATES
from meshregistry.mixer.vocabulary import STANDARD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONFIG = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: all, namespace: istio-system}
spec: {compiledAdapter: noop}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: entry, namespace: istio-system}
spec:
  compiledTemplate: listentry
  params: {value: 'request.headers["x"] | source.uid | "nobody"'}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: metric, namespace: istio-system}
spec:
  compiledTemplate: metric
  params:
    value: response.size | 0
    dimensions:
      a: email(request.headers["mail"] | "a@b.c")
      b: timestamp(request.headers["time"] | "2026-01-01T00:00:00Z")
      c: uri(request.path | "/") == uri("http://x/")
      d: dnsName(request.host | "x") == dnsName("X.")
      e: request.useragent.matches(request.path)
      f: source.ip == ip(request.headers["ip"])
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: quota, namespace: istio-system}
spec: {compiledTemplate: quota, params: {dimensions: {t: request.time}}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: all, namespace: istio-system}
spec:
  actions: [{handler: all, instances: [entry, metric, quota]}]
  requestHeaderOperations: [{name: x, values: ['request.headers[request.path] + request.host']}]
"""

BAG = AttributeBag(
    {
        "source.uid": "kubernetes://a.b",
        "source.ip": bytes((10, 0, 0, 1)),
        "request.headers": {"x": "(" * 400, "mail": "a@[", "ip": "::1", "": "\u0661"},
        "request.path": "http://[::1",
        "request.host": "xn--a.\u00fc..",
        "response.size": 2**63 - 1,
        "connection.mtls": True,
    }
)
KNOWN = Known.of(ADAPTERS, TEMPLATES)


class Refused(Exception):
    """The server has told its client what is wrong."""


class Context:
    """As much of a call as the service needs."""

    async def abort(self, code: object, reason: str) -> NoReturn:
        """Tell the client."""
        raise Refused(f"{code}: {reason}")


class Decoder:
    """The service itself, without a network: bytes of a request to bytes of an answer."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._server = MixerServer("127.0.0.1:0", adapters=ADAPTERS, cache_size=1000)
        self._loop.run_until_complete(self._server.__aenter__())
        documents = RuleUnit.of_text("fuzz.yaml", CONFIG).documents
        accepted = self._loop.run_until_complete(self._server.configure(documents))
        if accepted.faults:
            raise ValueError(accepted.faults[0])
        self._service = MixerServicer(self._server.mixer)

    def __call__(self, data: bytes) -> None:
        """The first byte says which method it is for."""
        kind = CheckRequest if data[:1] < b"\x80" else ReportRequest
        with suppress(DecodeError):
            self.take(kind.FromString(data[1:]))

    def take(self, request: Any) -> None:
        """A request that is one."""
        with suppress(Refused):
            if isinstance(request, CheckRequest):
                answer = self._run(self._service.check(request, Context()))
                CheckResponse.FromString(answer)
            else:
                self._run(self._service.report(request, Context()))

    def close(self) -> None:
        """End the server."""
        self._run(self._server.__aexit__(None, None, None))
        self._loop.close()

    def _run(self, call: Any) -> Any:
        return self._loop.run_until_complete(call)


def expression(data: bytes) -> None:
    """Compiled, and evaluated for attributes that are as bad as they may be."""
    try:
        compiled = compile_expression(data.decode(errors="replace"), STANDARD)
    except ExpressionError as error:
        if not 0 <= error.column <= len(error.text):
            raise AssertionError(f"the column {error.column} is not in the text") from error
        return
    with suppress(EvaluationError):
        compiled.evaluate(TrackedAttributes(BAG.entries))


def documents(data: bytes) -> None:
    """Read, and made a configuration of."""
    unit = RuleUnit.of_text("fuzz.yaml", data)
    snapshot(unit.documents, KNOWN, [])


def patched(data: bytes) -> None:
    """A good configuration, in which something else stands at one place."""
    good = CONFIG.encode()
    place, gone = int.from_bytes(data[:2], "big") % len(good), sum(data[2:3])
    documents(good[:place] + data[3:] + good[place + gone :])


TARGETS: Mapping[str, Callable[[], Callable[[bytes], None]]] = {
    "decoder": Decoder,
    "expression": lambda: expression,
    "documents": lambda: documents,
    "patched": lambda: patched,
}
"""What makes each target."""
