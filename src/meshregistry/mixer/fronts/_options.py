"""How the fronts read what Envoys say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from uuid import uuid4

from attrs import field, frozen
from attrs.validators import ge, instance_of

from meshregistry.mixer import AttributeBag
from meshregistry.mixer.fronts._trust import Trust


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return str(uuid4())


@frozen(kw_only=True)
class FrontOptions:
    """How the fronts read what Envoys say.

    Attributes:
        trust: whose forwarded attributes count.
        quotas: what a request is charged beyond what its Envoy states and documents say, such as
            `QuotaRules`.
        connections: how many open connections are remembered at most, to tell what of their
            bytes is new; the one that was reported longest ago is forgotten.
        wall_time: the time of day.
        new_id: ids for connections.
    """

    trust: Trust = field(factory=Trust, validator=instance_of(Trust))
    quotas: Callable[[AttributeBag], Mapping[str, int]] | None = None
    connections: int = field(default=100_000, validator=ge(1))
    wall_time: Callable[[], datetime] = _now
    new_id: Callable[[], str] = _new_id
