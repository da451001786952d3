"""One configuration at work: attributes are sent where its rules want them.

Each call of a handler has a deadline, and all calls of one step run side by side. A handler
that fails or is late harms no other: a denial counts whoever else failed; only if nobody
denied does a failure make the whole check one.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from meshregistry.cancelling import is_being_cancelled
from meshregistry.errors import MixerError
from meshregistry.mixer import vocabulary
from meshregistry.mixer._attributes import AttributeBag
from meshregistry.mixer._directive import HeaderOperation, Operation, RouteDirective
from meshregistry.mixer.config import OUTPUTS, Builder, Destination, Sent
from meshregistry.mixer.expressions import ABSENT, EvaluationError, PlainAttributes, noted
from meshregistry.mixer.server._deadline import before
from meshregistry.mixer.server._outcome import (
    UNASKED_DURATION,
    Asked,
    CheckOutcome,
    Combined,
    Failure,
    QuotaOutcome,
    combined,
)
from meshregistry.mixer.server._running import FROM_OUTSIDE, LEAKED, HandlerFailed
from meshregistry.mixer.spi import CheckAnswer, Code, QuotaAnswer, QuotaRequest, Status, Variety

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import (
        Awaitable,
        Callable,
        Coroutine,
        Iterable,
        Mapping,
        Sequence,
    )

    from meshregistry.mixer._attributes import Value
    from meshregistry.mixer.config import HeaderPlan, Rules, Snapshot
    from meshregistry.mixer.expressions import Attributes, Compiled, TrackedAttributes
    from meshregistry.mixer.server._running import Running

T = TypeVar("T")
INBOUND = "inbound"
OUTBOUND = "outbound"
_NAMESPACES = {
    INBOUND: vocabulary.DESTINATION_NAMESPACE,
    OUTBOUND: vocabulary.SOURCE_NAMESPACE,
}
_FORBIDDEN = frozenset("\r\n\0")


class DispatchFailed(HandlerFailed):
    """Handlers failed where their answer is needed; names them."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.failures = tuple(failures)
        super().__init__(", ".join(f"{one.handler}:{one.reason}" for one in failures))


@frozen
class _Call:
    """An instance on its way to a handler."""

    destination: Destination
    sent: Sent
    builder: Builder


class Dispatcher:
    """Sends attributes to handlers by the rules of one configuration.

    Args:
        snapshot: the configuration.
        running: its handlers, by the identity of their plans.
        deadline: seconds that one call may take.
        counts: filled: dispatches and errors, by function and handler.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        running: Mapping[int, Running],
        *,
        deadline: float,
        counts: Counter[tuple[str, str]],
    ) -> None:
        self._snapshot = snapshot
        self._running = running
        self._deadline = deadline
        self._counts = counts

    # --- The functions of Mixer -----------------------------------------------------------

    async def prepared(self, attributes: TrackedAttributes) -> TrackedAttributes:
        """The attributes together with what generators find out.

        Raises:
            DispatchFailed: if a generator failed.
        """
        if not self._snapshot.has_generators:
            return attributes
        rules = self._rules(attributes)
        calls = self._calls(rules, Variety.ATTRIBUTE_GENERATOR, attributes)
        if not calls:
            return attributes

        async def generate(call: _Call) -> Mapping[str, Value]:
            instance = call.builder.build(attributes)
            # Plain mappings and addresses become what expressions read; the rest is refused.
            return AttributeBag(await self._method(call, "generate")(instance)).entries

        found: dict[str, Value] = {}
        failures: list[Failure] = []
        for call, outputs in zip(calls, await self._each(calls, generate), strict=True):
            if isinstance(outputs, Failure):
                failures.append(outputs)
            else:
                for name, value in _bound(call.builder, outputs).items():
                    found.setdefault(name, value)
        if failures:
            raise DispatchFailed(failures)
        return attributes.overlaid(found)

    async def check(self, attributes: TrackedAttributes) -> CheckOutcome:
        """Ask whether a request may go on.

        Raises:
            DispatchFailed: if a handler failed and no other denied.
        """
        rules = self._rules(attributes)
        calls = self._calls(rules, Variety.CHECK, attributes)

        async def check(call: _Call) -> Asked:
            instance = call.builder.build(attributes)
            answer = _of_type(CheckAnswer, await self._method(call, "check")(instance))
            title = call.destination.plan.title
            return Asked(handler=title, answer=answer, rule=call.sent.rule, action=call.sent.action)

        results = await self._each(calls, check)
        together = combined([one for one in results if isinstance(one, Asked)])
        failures = [one for one in results if isinstance(one, Failure)]
        if failures and together.outcome.status.is_ok:
            raise DispatchFailed(failures)
        directive = together.outcome.directive
        if together.outcome.status.is_ok:
            directive = self._directive(rules, attributes, together)
        # After the values of headers, whose reading leaves references, too.
        references = attributes.references
        said = together.outcome
        return CheckOutcome(
            status=said.status,
            valid_duration=said.valid_duration,
            valid_use_count=said.valid_use_count,
            directive=directive,
            references=references,
        )

    async def quota(
        self, attributes: TrackedAttributes, name: str, request: QuotaRequest
    ) -> QuotaOutcome:
        """Ask for a share of a quota, by the short name of its instance.

        A quota that no rule knows, or none that matches, is granted in full. Of several
        that match the first one that answers counts, and no other is asked.
        """
        rules = self._rules(attributes)
        wanted = name.lower()
        granted = QuotaAnswer(amount=request.amount, valid_duration=UNASKED_DURATION)
        answer = granted
        for call in self._named(rules, wanted, attributes):

            async def ask(call: _Call) -> QuotaAnswer:
                instance = call.builder.build(attributes)
                return _of_type(QuotaAnswer, await self._method(call, "quota")(instance, request))

            said = await self._one(call.destination, partial(ask, call))
            if isinstance(said, Failure):
                status = Status(Code.INTERNAL, f"{said.handler}:{said.reason}")
                answer = QuotaAnswer(status=status)
                break
            answer = said
            if not said.is_default:
                break
        return QuotaOutcome(answer=answer, references=attributes.references)

    async def report(self, bags: Iterable[AttributeBag]) -> tuple[Failure, ...]:
        """Tell handlers what happened, each once for all bags; what failed."""
        gathered: dict[int, tuple[Destination, list[Any]]] = {}
        failures: list[Failure] = []
        for bag in bags:
            try:
                attributes = await self.prepared(_untracked(bag))
            except DispatchFailed as error:
                failures += error.failures
                continue
            for call in self._calls(self._rules(attributes), Variety.REPORT, attributes):
                destination = call.destination
                try:
                    instance = call.builder.build(attributes)
                except EvaluationError as error:
                    failures.append(self._failure(destination, call.builder, error))
                    continue
                gathered.setdefault(id(destination), (destination, []))[1].append(instance)

        async def report(destination: Destination, instances: list[Any]) -> None:
            await self._running[id(destination.plan)].method("report")(instances)

        results = await asyncio.gather(
            *(
                self._one(destination, partial(report, destination, instances))
                for destination, instances in gathered.values()
            )
        )
        return (*failures, *(one for one in results if isinstance(one, Failure)))

    # --- Rules ----------------------------------------------------------------------------

    def _rules(self, attributes: Attributes) -> Rules:
        """The rules for the namespace of a request: of the called side, or of the calling one.

        Of a reporter of another kind it is not known whose side it is on: the rules for all hold.
        """
        kind = noted(attributes.get(vocabulary.CONTEXT_REPORTER_KIND))
        name = _NAMESPACES.get(INBOUND if kind is ABSENT else str(kind))
        namespace = ABSENT if name is None else noted(attributes.get(name))
        return self._snapshot.rules(namespace if isinstance(namespace, str) else "")

    def _calls(self, rules: Rules, variety: Variety, attributes: Attributes) -> list[_Call]:
        return [
            _Call(destination, sent, builder)
            for destination in rules.destinations.get(variety, ())
            for sent in destination.sent
            if self._matches(sent.match, attributes)
            for builder in sent.builders
        ]

    def _named(self, rules: Rules, name: str, attributes: Attributes) -> Iterable[_Call]:
        for destination in rules.destinations.get(Variety.QUOTA, ()):
            for sent in destination.sent:
                for builder in sent.builders:
                    if builder.name.name.lower() == name and self._matches(sent.match, attributes):
                        yield _Call(destination, sent, builder)

    def _matches(self, match: Compiled | None, attributes: Attributes) -> bool:
        if match is None:
            return True
        # Actions and header operations of a rule have one condition; so have many rules.
        known = attributes.memo.get(match.evaluate)
        if known is None:
            known = attributes.memo[match.evaluate] = self._evaluated(match, attributes)
        return known

    def _evaluated(self, match: Compiled, attributes: Attributes) -> bool:
        try:
            return bool(match.evaluate(attributes))
        except EvaluationError:
            # A condition on what a request does not have is one that it does not meet.
            self._counts["match", "error"] += 1
            return False

    # --- Calls ----------------------------------------------------------------------------

    def _method(self, call: _Call, name: str) -> Callable[..., Awaitable[Any]]:
        return self._running[id(call.destination.plan)].method(name)

    async def _each(
        self, calls: Sequence[_Call], ask: Callable[[_Call], Coroutine[Any, Any, T]]
    ) -> Sequence[T | Failure]:
        """All calls side by side; the results in their order."""
        if len(calls) == 1:
            return [await self._one(calls[0].destination, partial(ask, calls[0]))]
        return await asyncio.gather(
            *(self._one(call.destination, partial(ask, call)) for call in calls)
        )

    async def _one(
        self, destination: Destination, ask: Callable[[], Coroutine[Any, Any, T]]
    ) -> T | Failure:
        """One call. It is made in here, since a task may be cancelled before it begins."""
        title = destination.plan.title
        self._counts["dispatch", title] += 1
        deadline = asyncio.timeout(self._deadline)
        try:
            return await before(deadline, ask())
        except MixerError as error:
            reason = str(error)
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            reason = LEAKED
        except FROM_OUTSIDE:
            raise
        except BaseException as error:
            # A handler's own time-outs look the same.
            if deadline.expired():
                reason = f"no answer within {self._deadline:g} s"
            else:
                reason = f"{type(error).__name__}: {error}"
                logger = self._running[id(destination.plan)].context.logger
                logger.warning("a call failed", exc_info=error)
        self._counts["error", title] += 1
        return Failure(handler=title, reason=reason)

    def _failure(
        self, destination: Destination, builder: Builder, error: EvaluationError
    ) -> Failure:
        self._counts["error", destination.plan.title] += 1
        return Failure(handler=destination.plan.title, reason=f"{builder.name}: {error}")

    # --- Headers --------------------------------------------------------------------------

    def _directive(
        self, rules: Rules, attributes: TrackedAttributes, together: Combined
    ) -> RouteDirective:
        request: list[HeaderOperation] = []
        response: list[HeaderOperation] = []
        for header in rules.headers:
            if not self._matches(header.match, attributes):
                continue
            outputs: Mapping[str, Any] = together.outputs.get(header.rule, {})
            own: Attributes = attributes.answered(outputs) if outputs else attributes
            (request if header.is_request else response).extend(_operations(header, own))
        if not request and not response:
            return together.outcome.directive
        return RouteDirective(request_headers=tuple(request), response_headers=tuple(response))


def _operations(header: HeaderPlan, attributes: Attributes) -> Iterable[HeaderOperation]:
    """One operation for each value; empty values, and those that are not there, give none.

    Nor does one with a line break or a zero: it would be a header of the caller's choice
    (RFC 9110, section 5.5).
    """
    try:
        name = header.name.evaluate(attributes)
    except EvaluationError:
        return
    if header.operation is Operation.REMOVE:
        yield HeaderOperation(name, "", Operation.REMOVE)
        return
    for one in header.values:
        try:
            value = one.evaluate(attributes)
        except EvaluationError:
            continue
        if value and _FORBIDDEN.isdisjoint(value):
            yield HeaderOperation(name, value, header.operation)


def _of_type(kind: type[T], answer: object) -> T:
    """What a handler answered, if it is an answer."""
    if not isinstance(answer, kind):
        what = f"{type(answer).__name__} instead of {kind.__name__}"
        raise HandlerFailed(f"it answered {what}; report it to the adapter's author")
    return answer


def _bound(builder: Builder, outputs: Mapping[str, Value]) -> dict[str, Value]:
    """What a generator found, by the attributes that its instance binds it to."""
    own = PlainAttributes(
        {f"{start}{name}": value for start in OUTPUTS for name, value in outputs.items()}
    )
    found = {}
    for name, compiled in builder.bindings.items():
        try:
            found[name] = compiled.evaluate(own)
        except EvaluationError:
            # What was not found is not an attribute.
            continue
    return found


def _untracked(bag: AttributeBag) -> Any:
    return _Overlay(bag.entries)


class _Overlay(PlainAttributes):
    """Plain attributes that can be overlaid as tracked ones can."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[str, Value]) -> None:
        super().__init__(entries)
        self._entries = entries

    def overlaid(self, more: Mapping[str, Value]) -> _Overlay:
        return _Overlay({**more, **self._entries})
