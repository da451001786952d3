"""Follows registries and merges what they say into one live catalog."""

from meshregistry.aggregate._aggregation import Aggregation
from meshregistry.aggregate._archive import Archive
from meshregistry.aggregate._clock import Alarm, SystemClock
from meshregistry.aggregate._completion import RecordTrace, identity_transform
from meshregistry.aggregate._context import SourceContext, SourceLogger
from meshregistry.aggregate._difference import Difference, differences
from meshregistry.aggregate._failure import Failure
from meshregistry.aggregate._gate import StartGate
from meshregistry.aggregate._guard import Guard, GuardPolicy, Loss, LossStatus
from meshregistry.aggregate._kept import Kept, RecordCodec
from meshregistry.aggregate._merge import Contribution, merge
from meshregistry.aggregate._news import News
from meshregistry.aggregate._reconfigured import Reconfigured
from meshregistry.aggregate._source import PartStatus, Source, SourceStatus
from meshregistry.aggregate._supervisor import Supervisor
from meshregistry.aggregate._table import Applied, SourceTable, Stage
from meshregistry.aggregate._threads import start_thread
from meshregistry.aggregate._timing import Backoff, Debouncer
from meshregistry.aggregate._updates import (
    Confirm,
    Degrade,
    Fault,
    Message,
    PartId,
    Remove,
    Replace,
    Update,
    Upsert,
)
from meshregistry.schedule import Schedule

__all__ = [
    "Aggregation",
    "Alarm",
    "Applied",
    "Archive",
    "Backoff",
    "Confirm",
    "Contribution",
    "Debouncer",
    "Degrade",
    "Difference",
    "Failure",
    "Fault",
    "Guard",
    "GuardPolicy",
    "Kept",
    "Loss",
    "LossStatus",
    "Message",
    "News",
    "PartId",
    "PartStatus",
    "Reconfigured",
    "RecordCodec",
    "RecordTrace",
    "Remove",
    "Replace",
    "Schedule",
    "Source",
    "SourceContext",
    "SourceLogger",
    "SourceStatus",
    "SourceTable",
    "Stage",
    "StartGate",
    "Supervisor",
    "SystemClock",
    "Update",
    "Upsert",
    "differences",
    "identity_transform",
    "merge",
    "start_thread",
]
