"""Which instances of a request go to which handlers, and what is done with its headers.

Pure: all of it follows from attributes and the rules of one configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.mixer import vocabulary
from meshregistry.mixer._directive import HeaderOperation, Operation, RouteDirective
from meshregistry.mixer.expressions import ABSENT, EvaluationError, noted
from meshregistry.mixer.server._calling import Call
from meshregistry.mixer.spi import Variety

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping

    from meshregistry.mixer.config import HeaderPlan, Rules, Snapshot
    from meshregistry.mixer.expressions import Attributes, Compiled, TrackedAttributes
    from meshregistry.mixer.server._outcome import Combined

_INBOUND, _OUTBOUND = "inbound", "outbound"
_NAMESPACES = {
    _INBOUND: vocabulary.DESTINATION_NAMESPACE,
    _OUTBOUND: vocabulary.SOURCE_NAMESPACE,
}
_FORBIDDEN = frozenset("\r\n\0")


class Routing:
    """The rules of one configuration, asked for one request.

    Args:
        snapshot: the configuration.
        counts: filled: conditions that could not be evaluated.
    """

    def __init__(self, snapshot: Snapshot, counts: Counter[tuple[str, str]]) -> None:
        self._snapshot = snapshot
        self._counts = counts

    def rules(self, attributes: Attributes) -> Rules:
        """The rules for the namespace of a request: of the called side, or of the calling one.

        Of a reporter of another kind it is not known whose side it is on: the rules for all hold.
        """
        kind = noted(attributes.get(vocabulary.CONTEXT_REPORTER_KIND))
        name = _NAMESPACES.get(_INBOUND if kind is ABSENT else str(kind))
        namespace = ABSENT if name is None else noted(attributes.get(name))
        return self._snapshot.rules(namespace if isinstance(namespace, str) else "")

    def calls(self, rules: Rules, variety: Variety, attributes: Attributes) -> list[Call]:
        """All instances of a variety whose rules match."""
        return [
            Call(destination, sent, builder)
            for destination in rules.destinations.get(variety, ())
            for sent in destination.sent
            if self._matches(sent.match, attributes)
            for builder in sent.builders
        ]

    def quotas(self, rules: Rules, name: str, attributes: Attributes) -> Iterable[Call]:
        """The instances of quotas with this short name, in small letters, whose rules match."""
        for destination in rules.destinations.get(Variety.QUOTA, ()):
            for sent in destination.sent:
                for builder in sent.builders:
                    if builder.name.name.lower() == name and self._matches(sent.match, attributes):
                        yield Call(destination, sent, builder)

    def directive(
        self, rules: Rules, attributes: TrackedAttributes, together: Combined
    ) -> RouteDirective:
        """What rules that match do with the headers of a request that may go on."""
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
