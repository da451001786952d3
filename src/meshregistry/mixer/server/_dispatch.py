"""One configuration at work: attributes are sent where its rules want them.

A denial counts whoever else failed; only if nobody denied does the failure of a handler make the
whole check one.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from meshregistry.mixer._attributes import AttributeBag
from meshregistry.mixer.config import OUTPUTS, Builder
from meshregistry.mixer.expressions import EvaluationError, PlainAttributes
from meshregistry.mixer.server._calling import Call, Caller, of_type
from meshregistry.mixer.server._outcome import (
    UNASKED_DURATION,
    Asked,
    CheckOutcome,
    Failure,
    QuotaOutcome,
    ReportOutcome,
    combined,
)
from meshregistry.mixer.server._routing import Routing
from meshregistry.mixer.server._running import HandlerFailed
from meshregistry.mixer.spi import CheckAnswer, Code, QuotaAnswer, QuotaRequest, Status, Variety

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping, Sequence

    from meshregistry.mixer._attributes import Value
    from meshregistry.mixer.config import Destination, Snapshot
    from meshregistry.mixer.expressions import TrackedAttributes
    from meshregistry.mixer.server._running import Running


class DispatchFailed(HandlerFailed):
    """Handlers failed where their answer is needed; names them."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.failures = tuple(failures)
        super().__init__(", ".join(f"{one.handler}:{one.reason}" for one in failures))


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
        self._has_generators = snapshot.has_generators
        self._routing = Routing(snapshot, counts)
        self._caller = Caller(running, deadline, counts)

    async def prepared(self, attributes: TrackedAttributes) -> TrackedAttributes:
        """The attributes together with what generators find out.

        Raises:
            DispatchFailed: if a generator failed.
        """
        if not self._has_generators:
            return attributes
        rules = self._routing.rules(attributes)
        calls = self._routing.calls(rules, Variety.ATTRIBUTE_GENERATOR, attributes)
        if not calls:
            return attributes

        async def generate(call: Call) -> Mapping[str, Value]:
            instance = call.builder.build(attributes)
            # Plain mappings and addresses become what expressions read; the rest is refused.
            return AttributeBag(
                await self._caller.method(call.destination, "generate")(instance)
            ).entries

        found: dict[str, Value] = {}
        failures: list[Failure] = []
        for call, outputs in zip(calls, await self._caller.each(calls, generate), strict=True):
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
        rules = self._routing.rules(attributes)
        calls = self._routing.calls(rules, Variety.CHECK, attributes)

        async def check(call: Call) -> Asked:
            instance = call.builder.build(attributes)
            answer = of_type(
                CheckAnswer, await self._caller.method(call.destination, "check")(instance)
            )
            title = call.destination.plan.title
            return Asked(handler=title, answer=answer, rule=call.sent.rule, action=call.sent.action)

        results = await self._caller.each(calls, check)
        together = combined([one for one in results if isinstance(one, Asked)])
        failures = [one for one in results if isinstance(one, Failure)]
        if failures and together.outcome.status.is_ok:
            raise DispatchFailed(failures)
        directive = together.outcome.directive
        if together.outcome.status.is_ok:
            directive = self._routing.directive(rules, attributes, together)
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
        rules = self._routing.rules(attributes)
        wanted = name.lower()
        granted = QuotaAnswer(amount=request.amount, valid_duration=UNASKED_DURATION)
        answer = granted
        for call in self._routing.quotas(rules, wanted, attributes):

            async def ask(call: Call) -> QuotaAnswer:
                instance = call.builder.build(attributes)
                return of_type(
                    QuotaAnswer,
                    await self._caller.method(call.destination, "quota")(instance, request),
                )

            said = await self._caller.one(call.destination, partial(ask, call))
            if isinstance(said, Failure):
                status = Status(Code.INTERNAL, f"{said.handler}:{said.reason}")
                answer = QuotaAnswer(status=status)
                break
            answer = said
            if not said.is_default:
                break
        return QuotaOutcome(answer=answer, references=attributes.references)

    async def report(self, bags: Iterable[AttributeBag]) -> ReportOutcome:
        """Tell handlers what happened, each once for all bags."""
        gathered: dict[int, tuple[Destination, list[Any]]] = {}
        failures: list[Failure] = []
        for bag in bags:
            try:
                attributes = await self.prepared(_untracked(bag))
            except DispatchFailed as error:
                failures += error.failures
                continue
            rules = self._routing.rules(attributes)
            for call in self._routing.calls(rules, Variety.REPORT, attributes):
                destination = call.destination
                try:
                    instance = call.builder.build(attributes)
                except EvaluationError as error:
                    failures.append(
                        self._caller.failed(destination, f"{call.builder.name}: {error}")
                    )
                    continue
                gathered.setdefault(id(destination), (destination, []))[1].append(instance)

        async def report(destination: Destination, instances: list[Any]) -> str:
            await self._caller.method(destination, "report")(instances)
            return destination.plan.title

        results = await asyncio.gather(
            *(
                self._caller.one(destination, partial(report, destination, instances))
                for destination, instances in gathered.values()
            )
        )
        # A handler has a destination for each template.
        taken = dict.fromkeys(one for one in results if isinstance(one, str))
        failures += [one for one in results if isinstance(one, Failure)]
        return ReportOutcome(taken=tuple(taken), failures=tuple(failures))


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
