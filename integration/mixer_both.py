"""One configuration in the original server and in ours, and the same questions to both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import grpc.aio
from attrs import frozen

from meshregistry.mixer import AttributeBag, StringMap
from meshregistry.mixer._compress import Compressor, Repeated
from meshregistry.mixer._words import GLOBAL_WORDS
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.proto.mixer_v1_pb2 import (
    CheckRequest,
    CheckResponse,
    ReportRequest,
    ReportResponse,
)
from meshregistry.mixer.server import MixerServer
from servers.original_mixer import OriginalMixer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

MIXER = "/istio.mixer.v1.Mixer"
CONDITIONS = {1: "absent", 2: "exact"}

Reference = tuple[str, str | None, str]


def documents(*given: tuple[str, str, Any], namespace: str = "istio-system") -> str:
    """Documents of kind, name (``name.namespace`` for another one) and spec; JSON, which is YAML.

    No text is taken for a number or for a truth value in this form, whoever reads it.
    """
    written = []
    for kind, name, spec in given:
        own, _, other = name.partition(".")
        document = {
            "apiVersion": "config.istio.io/v1alpha2",
            "kind": kind,
            "metadata": {"name": own, "namespace": other or namespace},
            "spec": spec,
        }
        written.append(json.dumps(document, ensure_ascii=False))
    return "\n---\n".join(written) + "\n"


def manifest(types: Mapping[str, str]) -> tuple[str, str, Any]:
    """A document that declares attributes, for `documents`."""
    return (
        "attributemanifest",
        "manifest",
        {"attributes": {name: {"valueType": kind} for name, kind in types.items()}},
    )


@frozen
class Answer:
    """What a check was answered, with words instead of indices.

    Attributes:
        code: of the status.
        message: of the status.
        seconds: for how long it holds.
        uses: how often.
        references: what it was made of; a reference without a key and one with key 0 are one on
            the wire, and read as one without.
        route: the route directive, as the messages' library prints it.
        quotas: amount, seconds, code and references of each quota.
    """

    code: int
    message: str
    seconds: float
    uses: int
    references: frozenset[Reference]
    route: str
    quotas: Mapping[str, tuple[int, float, int, frozenset[Reference]]]


@frozen
class Failed:
    """A call that failed, with the code of gRPC; the words of the two servers differ."""

    code: str


class Asker:
    """Asks one server, in the protocol's own words; an async context manager.

    Args:
        address: of the server.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._compressor = Compressor()
        self._number = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def check(
        self,
        attributes: Mapping[str, Any],
        quotas: Mapping[str, int] | None = None,
        *,
        is_best_effort: bool = False,
        deduplication_id: str | None = None,
        words: int = len(GLOBAL_WORDS),
    ) -> Answer | Failed:
        """One check; each has an id of its own, unless one is given."""
        self._number += 1
        bag = AttributeBag(attributes)
        request = CheckRequest(
            attributes=self._compressor.attributes(bag),
            global_word_count=words,
            deduplication_id=deduplication_id or f"check-{self._number}",
        )
        for name, amount in (quotas or {}).items():
            request.quotas[name].amount = amount
            request.quotas[name].best_effort = is_best_effort
        call = self._channel.unary_unary(
            f"{MIXER}/Check",
            request_serializer=CheckRequest.SerializeToString,
            response_deserializer=CheckResponse.FromString,
        )
        try:
            response = await call(request)
        except grpc.aio.AioRpcError as error:
            return Failed(error.code().name)
        return _answer(response, bag)

    async def report(
        self,
        entries: Iterable[Mapping[str, Any]],
        repeated: Repeated | None = None,
        *,
        words: int = len(GLOBAL_WORDS),
    ) -> str:
        """One batch of reports; the code of gRPC."""
        call = self._channel.unary_unary(
            f"{MIXER}/Report",
            request_serializer=ReportRequest.SerializeToString,
            response_deserializer=ReportResponse.FromString,
        )
        request = self._compressor.report([AttributeBag(one) for one in entries], repeated)
        request.global_word_count = words
        try:
            await call(request)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"


@frozen
class Both:
    """Both servers, with what is needed to ask them.

    Attributes:
        original: the original server.
        ours: our server, which keeps no outcomes: the original of 1.5 keeps none either.
        ask_original: asks the original.
        ask_ours: asks ours.
    """

    original: OriginalMixer
    ours: MixerServer
    ask_original: Asker
    ask_ours: Asker

    @property
    def askers(self) -> tuple[Asker, Asker]:
        """The original's first."""
        return self.ask_original, self.ask_ours

    async def check(
        self, attributes: Mapping[str, Any], quotas: Mapping[str, int] | None = None, **more: Any
    ) -> list[Answer | Failed]:
        """The original's answer and ours."""
        return [await one.check(attributes, quotas, **more) for one in self.askers]

    async def report(self, *entries: Mapping[str, Any], **more: Any) -> list[str]:
        """The code of the original and ours."""
        return [await one.report(entries, **more) for one in self.askers]


@asynccontextmanager
async def both(
    program: Path, config: Path, data: Path, *, ours: Path | None = None
) -> AsyncIterator[Both]:
    """Both servers with the documents of a folder.

    Args:
        program: the original's.
        config: the folder; its documents have no fault for us.
        data: for the log.
        ours: another folder for our server, if what handlers write has to be apart.
    """
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(OriginalMixer(program, config, data))
        second = await stack.enter_async_context(
            MixerServer("127.0.0.1:0", config=ours or config, adapters=ADAPTERS, cache_size=0)
        )
        askers = [await stack.enter_async_context(Asker(one.address)) for one in (first, second)]
        yield Both(first, second, *askers)


def _answer(response: Any, bag: AttributeBag) -> Answer:
    said = response.precondition
    return Answer(
        code=said.status.code,
        message=said.status.message,
        seconds=_seconds(said.valid_duration),
        uses=said.valid_use_count,
        references=_references(said.referenced_attributes, bag),
        route=str(said.route_directive),
        quotas={
            name: (
                one.granted_amount,
                _seconds(one.valid_duration),
                one.status.code,
                _references(one.referenced_attributes, bag),
            )
            for name, one in response.quotas.items()
        },
    )


def _seconds(duration: Any) -> float:
    return float(duration.seconds + duration.nanos / 1e9)


def _references(message: Any, bag: AttributeBag) -> frozenset[Reference]:
    words = message.words

    def word(index: int) -> str:
        return GLOBAL_WORDS[index] if index >= 0 else str(words[-index - 1])

    found = set()
    for one in message.attribute_matches:
        name = word(one.name)
        is_map = isinstance(bag.entries.get(name), StringMap)
        key = word(one.map_key) if is_map and one.map_key else None
        found.add((name, key, CONDITIONS[one.condition]))
    return frozenset(found)
