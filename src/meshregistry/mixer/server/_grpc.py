"""The gRPC service ``istio.mixer.v1.Mixer``: messages to calls and back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attrs import frozen

from meshregistry.errors import MissingExtraError, MixerError, MixerUnavailable
from meshregistry.mixer._decompress import decode_report
from meshregistry.mixer._received import ReceivedAttributes
from meshregistry.mixer._status import shortened
from meshregistry.mixer._words import GLOBAL_WORDS
from meshregistry.mixer.proto.mixer_v1_pb2 import (
    CheckRequest,
    CheckResponse,
    ReportRequest,
    ReportResponse,
)
from meshregistry.mixer.server._dispatch import DispatchFailed
from meshregistry.mixer.server._mixer import of_call
from meshregistry.mixer.server._referenced import referenced

try:
    import grpc
except ModuleNotFoundError as error:
    raise MissingExtraError("mixer-server", error.name or "grpcio") from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, NoReturn

    from meshregistry.mixer._attributes import AttributeBag
    from meshregistry.mixer._directive import HeaderOperation
    from meshregistry.mixer.server._mixer import Mixer
    from meshregistry.mixer.server._outcome import CheckOutcome, QuotaOutcome
    from meshregistry.mixer.spi import QuotaRequest

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "istio.mixer.v1.Mixer"
MAX_MESSAGE = 1024 * 1024
"""Bytes of a message."""

# With this beginning a client knows that it must use fewer of the global words.
_INVALID = "Request could not be processed due to invalid"
_NANOS = 1_000_000_000
_WHOLE = 100
_MOST_USES = 2**31 - 1
_LONGEST = 315_576_000_000.0


class MixerServicer:
    """Answers the protocol's two methods.

    Args:
        mixer: answers.
    """

    def __init__(self, mixer: Mixer) -> None:
        self._mixer = mixer

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on this server."""
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(
                self.check,
                request_deserializer=CheckRequest.FromString,
            ),
            "Report": grpc.unary_unary_rpc_method_handler(
                self.report,
                request_deserializer=ReportRequest.FromString,
                response_serializer=ReportResponse.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def check(
        self,
        request: CheckRequest,
        context: Context,
    ) -> bytes:
        """Carry out a check; a denial is an answer like any other. The response is encoded."""
        if request.global_word_count > len(GLOBAL_WORDS):
            await _refuse_words(context)
        mixer, attributes = self._mixer, ReceivedAttributes(request.attributes)
        try:
            began = mixer.admitted(1)
            try:
                kept = mixer.kept(attributes, began)
                if kept is not None and not (request.quotas and kept.outcome.status.is_ok):
                    # Most checks end here, and before anything else was made of them.
                    return _encoded(kept.outcome, kept.expiry - began, request.global_word_count)
                checked = await mixer.decided(attributes.bag, _quotas(request), kept)
            finally:
                mixer.finished(began)
        except MixerUnavailable as error:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, str(error))
        except DispatchFailed as error:
            await _abort(context, grpc.StatusCode.INTERNAL, str(error))
        except MixerError as error:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return _encoded(
            checked.outcome, checked.valid_duration, request.global_word_count, checked.quotas
        )

    async def report(
        self,
        request: ReportRequest,
        context: Context,
    ) -> ReportResponse:
        """Carry out a report; entries that fail leave the others alone."""
        if request.global_word_count > len(GLOBAL_WORDS):
            await _refuse_words(context)
        bags: list[AttributeBag] = []
        wrong: list[str] = []
        for entry in decode_report(request):
            if isinstance(entry, MixerError):
                wrong.append(str(entry))
            else:
                bags.append(entry.bag)
        try:
            outcome = await self._mixer.report(bags)
        except MixerUnavailable as error:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, str(error))
        wrong += [f"{one.handler}:{one.reason}" for one in outcome.failures]
        if wrong:
            # Entries of a batch mostly fail for one reason.
            told = (f"{one} ({n} times)" if n > 1 else one for one, n in Counter(wrong).items())
            taken = ", ".join(outcome.taken) or "nobody"
            reason = f"taken by {taken}; failed: {'; '.join(told)}"
            await _abort(context, grpc.StatusCode.UNKNOWN, reason)
        return ReportResponse()


async def _refuse_words(context: Context) -> NoReturn:
    reason = f"{_INVALID} global dictionary: the server has {len(GLOBAL_WORDS)} words"
    await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, reason)


async def _abort(context: Context, code: grpc.StatusCode, reason: str) -> NoReturn:
    await context.abort(code, shortened(reason))
    raise AssertionError("abort raises")


def _quotas(request: CheckRequest) -> dict[str, QuotaRequest]:
    return {
        name: of_call(one.amount, name, request.deduplication_id, is_best_effort=one.best_effort)
        for name, one in request.quotas.items()
    }


@frozen
class _Answer:
    """An encoded answer without quotas.

    Attributes:
        data: its bytes.
        hundredths: of the outcome's duration, for which it says that it holds.
    """

    data: bytes
    hundredths: int


def _encoded(
    outcome: CheckOutcome,
    left: float,
    word_count: int,
    quotas: Mapping[str, QuotaOutcome] | None = None,
) -> bytes:
    """The response as bytes.

    What is left of a duration is said in hundredths of the whole, rounded down, so that an
    outcome that many ask for is encoded a hundred times at most.
    """
    whole = outcome.valid_duration
    # Of an endless duration the same is left.
    hundredths = int(left * _WHOLE / whole) if left < whole else _WHOLE
    if not quotas:
        known: _Answer | None = outcome.forms.get(word_count)
        if known is not None and known.hundredths == hundredths:
            return known.data
    response = _of_policy(outcome, word_count)
    rounded = whole if hundredths == _WHOLE else whole * hundredths / _WHOLE
    _set_duration(response.precondition.valid_duration, rounded)
    if quotas:
        _add_quotas(response, quotas, word_count)
    data: bytes = response.SerializeToString()
    if not quotas:
        outcome.forms[word_count] = _Answer(data, hundredths)
    return data


def _of_policy(outcome: CheckOutcome, word_count: int) -> CheckResponse:
    """What policy says, but for how long."""
    response = CheckResponse()
    said = response.precondition
    said.status.code = outcome.status.code
    said.status.message = outcome.status.message
    said.valid_use_count = min(outcome.valid_use_count, _MOST_USES)
    said.referenced_attributes.CopyFrom(referenced(outcome.references, word_count))
    directive = outcome.directive
    if directive.direct_code or directive.request_headers or directive.response_headers:
        said.route_directive.direct_response_code = directive.direct_code
        said.route_directive.direct_response_body = directive.direct_body
        _add(said.route_directive.request_header_operations, directive.request_headers)
        _add(said.route_directive.response_header_operations, directive.response_headers)
    return response


def _add_quotas(
    response: CheckResponse, quotas: Mapping[str, QuotaOutcome], word_count: int
) -> None:
    for name, quota in quotas.items():
        granted = response.quotas[name]
        granted.granted_amount = quota.answer.amount
        _set_duration(granted.valid_duration, quota.answer.valid_duration)
        granted.referenced_attributes.CopyFrom(referenced(quota.references, word_count))
        if not quota.answer.status.is_ok:
            granted.status.code = quota.answer.status.code
            granted.status.message = quota.answer.status.message


def _add(target: object, operations: Iterable[HeaderOperation]) -> None:
    for one in operations:
        target.add(name=one.name, value=one.value, operation=one.operation.value)  # type: ignore[attr-defined] # a repeated field


def _set_duration(target: object, seconds: float) -> None:
    """A duration of a pool of our own: only its fields can be set."""
    # Whatever an adapter says; 10,000 years are the most that the message may hold.
    seconds = min(max(seconds, 0.0), _LONGEST)
    whole = int(seconds)
    target.seconds = whole  # type: ignore[attr-defined]
    target.nanos = int((seconds - whole) * _NANOS)  # type: ignore[attr-defined]
