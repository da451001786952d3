"""The life of one part of a source: first word, condition, faults, staleness. Pure."""

from __future__ import annotations

from attrs import Factory, define, field

from meshregistry.aggregate._updates import (
    Confirm,
    Degrade,
    Fault,
    Message,
    Open,
    Remove,
    Replace,
    Update,
    Upsert,
)
from meshregistry.errors import RecordError, RegistryError
from meshregistry.model import RecordKey
from meshregistry.spi import Condition


@define
class Part:
    """What is known of a part, beside its records.

    Attributes:
        condition: of this part.
        error: why it is not SYNCED.
        faults: what is wrong with single records.
        heard: when `replace` or `confirm` last came.
        left: when it ceased to be SYNCED; None while it is, or never was.
        has_synced: whether a listing has ever come.
        has_listed: whether a listing has come in this run.
        is_open: whether this run has asked for its sink.
        has_spoken: whether it was ever heard or degraded.
        is_restored: whether what it holds comes from a snapshot, and not from its registry.
        is_foreign: whether what it holds was said by what the source followed before a reload.
    """

    condition: Condition = Condition.STARTING
    error: RegistryError | None = None
    faults: dict[RecordKey | None, str] = Factory(dict)
    heard: float | None = None
    left: float | None = None
    has_synced: bool = False
    has_listed: bool = False
    is_open: bool = False
    has_spoken: bool = False
    is_restored: bool = False
    is_foreign: bool = False
    _held: list[Upsert | Remove] = field(factory=list, init=False)

    def begin(self) -> None:
        """A run begins; what is known stays until the run's first word."""
        self.has_listed = self.is_open = False
        self._held.clear()
        # What a failed run called a part and never listed need not exist for this run.
        self.has_spoken = self.has_synced or self.is_restored

    def restore(self, error: RegistryError, current: float) -> None:
        """Take what a snapshot holds for what was last said; it was current then."""
        self.condition = Condition.STALE
        self.error = error
        self.heard = self.left = current
        self.is_restored = self.has_spoken = True

    def current(self, now: float) -> float:
        """When what it holds was last known to be current."""
        return now if self.left is None else self.left

    def start_synced(self) -> None:
        """Take the empty listing for granted."""
        self.condition = Condition.SYNCED
        self.has_synced = self.has_listed = self.has_spoken = True

    def receive(self, message: Message, now: float) -> tuple[Update, ...]:
        """Take one message of the run; the updates that the table is to apply."""
        match message:
            case Open():
                self.is_open = True
            case Confirm():
                self._confirmed(now)
            case Degrade(RecordError() as error):
                fault = Fault.of(error)
                self.faults[fault.key] = fault.reason
            case Degrade(error):
                self.has_spoken = True
                self.leave(Condition.STALE, error, now)
            case Replace():
                return self._listed(message, now)
            case Upsert() | Remove() if not self.has_listed:
                # The first data call of a run is `replace`; what comes before is applied on top of it.
                self._held.append(message)
            case Upsert() | Remove():
                self._cleared(message)
                return (message,)
        return ()

    def leave(self, condition: Condition, error: RegistryError, now: float) -> None:
        """Become STALE or FAILED; the data stays."""
        if self.condition is Condition.SYNCED:
            self.left = now
        self.condition = condition
        self.error = error

    def restart(self, now: float) -> None:
        """Begin anew under other settings; data of the old ones is STALE."""
        if self.condition is Condition.SYNCED:
            self.left = now
        is_known = self.has_synced or self.is_restored
        self.condition = Condition.STALE if is_known else Condition.STARTING
        self.error = None

    def _listed(self, replace: Replace, now: float) -> tuple[Update, ...]:
        self.has_listed = True
        self.faults = {fault.key: fault.reason for fault in replace.faults}
        self._synced(now)
        held, self._held = tuple(self._held), []
        for update in held:
            self._cleared(update)
        return (replace, *held)

    def _confirmed(self, now: float) -> None:
        """Nothing has changed; of data that this run has not listed it cannot know that."""
        if self.has_listed:
            self._synced(now)

    def _synced(self, now: float) -> None:
        self.condition = Condition.SYNCED
        self.error = None
        self.heard = now
        self.left = None
        self.has_synced = self.has_spoken = True
        self.is_restored = self.is_foreign = False

    def _cleared(self, update: Upsert | Remove) -> None:
        key = update.record.key if isinstance(update, Upsert) else update.key
        self.faults.pop(key, None)
