"""What a datacenter has published: one answer in, what the sink is told out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.errors import RecordError
from meshregistry.model import RecordKey
from meshregistry_consul._convert import Converted, service_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.model import ServiceRecord
    from meshregistry.spi import Sink
    from meshregistry_consul._client import Answer
    from meshregistry_consul._config import ConsulConfig


class Publisher:
    """Converts answers and tells the sink; an answer equal to the last one is passed over.

    Args:
        sink: to tell.
        config: how to convert.
        known: names that were published, over all attempts; kept up to date.
    """

    def __init__(self, sink: Sink, config: ConsulConfig, known: set[str]) -> None:
        self.nodes: dict[str, frozenset[str]] = {}
        self._sink = sink
        self._config = config
        self._known = known
        self._seen: dict[str, tuple[bytes, bool]] = {}

    def replace(self, answers: Mapping[str, Answer]) -> None:
        """Publish a complete listing: one answer for each name."""
        records: list[ServiceRecord] = []
        faulty: list[RecordError] = []
        notes: list[RecordError] = []
        held: set[str] = set()
        for name, answer in answers.items():
            self._remember(name, answer)
            try:
                converted = self._converted(name, answer)
            except RecordError as error:
                faulty.append(error)
                held.add(name)
            else:
                notes += _reports(name, converted)
                if converted.record is not None:
                    records.append(converted.record)
                    held.add(name)
        self._sink.replace(records, faulty=faulty)
        self._known.clear()
        self._known.update(held)
        for note in notes:
            self._sink.degrade(note)

    def publish(self, name: str, answer: Answer) -> None:
        """Publish what an answer says of one service."""
        if self._seen.get(name) == _seen(answer):
            return
        self._remember(name, answer)
        try:
            converted = self._converted(name, answer)
        except RecordError as error:
            self._sink.degrade(error)
            return
        if converted.record is None:
            self._sink.remove(RecordKey(name))
            self._known.discard(name)
        else:
            self._sink.upsert(converted.record)
            self._known.add(name)
        for report in _reports(name, converted):
            self._sink.degrade(report)

    def remove(self, name: str) -> None:
        """Publish that a service is gone."""
        self._seen.pop(name, None)
        self.nodes.pop(name, None)
        self._known.discard(name)
        self._sink.remove(RecordKey(name))

    def on_nodes(self, nodes: Iterable[str]) -> set[str]:
        """The services that have an instance on one of these nodes."""
        wanted = set(nodes)
        return {name for name, own in self.nodes.items() if own & wanted}

    def _converted(self, name: str, answer: Answer) -> Converted:
        if answer.is_filtered and not answer.body:
            # Consul's ACL documentation: what a token may not see is left out in silence.
            msg = f"the token may not see the service {name!r} any more, so it is kept; grant service:read and node:read"
            raise RecordError(msg, key=name)
        converted = service_record(name, answer.body, self._config)
        if answer.is_filtered:
            note = "the token may not see all of its nodes; grant node:read"
            return Converted(converted.record, (*converted.notes, note))
        return converted

    def _remember(self, name: str, answer: Answer) -> None:
        self._seen[name] = _seen(answer)
        if isinstance(answer.body, list):
            found = (one.get("Node") for one in answer.body if isinstance(one, dict))
            nodes = (one.get("Node") for one in found if isinstance(one, dict))
            self.nodes[name] = frozenset(one for one in nodes if isinstance(one, str))


def _seen(answer: Answer) -> tuple[bytes, bool]:
    # An empty answer that hides something is another one than an empty answer.
    return answer.digest, answer.is_filtered


def _reports(name: str, converted: Converted) -> list[RecordError]:
    """One report for a service: of several faults of a key, the last would hide the others."""
    if not converted.notes:
        return []
    first, *more = converted.notes
    rest = f" (and {len(more)} more)" if more else ""
    return [RecordError(f"service {name!r}: {first}{rest}", key=name)]
