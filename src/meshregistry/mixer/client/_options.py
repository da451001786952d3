"""What a client is told: limits, times, and what happens without a server."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen, validators

from meshregistry.mixer._compress import Repeated
from meshregistry.mixer.client._result import FailPolicy

_not_negative: Any = validators.ge(0)
_positive: Any = validators.gt(0)


@frozen(kw_only=True)
class ClientOptions:
    """How a client behaves; the defaults are those of the original client library.

    Times are seconds.

    Attributes:
        fail_policy: what a check gives if no server can be asked; a call may say otherwise.
        timeout: until when a check has its result; a call may say otherwise.
        retries: how often a check is sent again after all servers failed.
        first_retry_wait: the shortest wait before that.
        longest_retry_wait: the longest one; the range doubles with each retry.
        check_cache_size: answers kept; 0: none.
        quota_cache_size: pools of quota kept; 0: no quota is taken in advance. One pool is for one
            set of attributes that a quota depends on. While all are in use, which is within the
            last minute, quotas without a pool are asked for with each check.
        checks_in_flight: calls that may be under way; more fail at once.
        report_batch_entries: a batch with so many reports is sent at once.
        report_batch_age: a batch is sent when its first report is so old.
        report_queue_size: reports that may wait, as through an outage; more are dropped.
        report_bytes: a larger batch is sent in pieces; a larger report is dropped.
        report_timeout: until when a server has to confirm a batch.
        report_encoding: None chooses for each batch. Servers before Istio 1.1 know `DELTA` only.
        compress_reports: gzip batches, for servers that know it. Words are said once already: it
            is worth its time where requests have random ids, and across links that are paid for.
        at_least_once: send a batch again although the server may have it.
        drain_timeout: how long closing waits for the last reports.
    """

    fail_policy: FailPolicy = FailPolicy.OPEN
    timeout: float = field(default=5.0, validator=_positive)
    retries: int = field(default=0, validator=_not_negative)
    first_retry_wait: float = field(default=0.08, validator=_not_negative)
    longest_retry_wait: float = field(default=1.0, validator=_not_negative)
    check_cache_size: int = field(default=10_000, validator=_not_negative)
    quota_cache_size: int = field(default=10_000, validator=_not_negative)
    checks_in_flight: int = field(default=1_000, validator=_positive)
    report_batch_entries: int = field(default=100, validator=_positive)
    report_batch_age: float = field(default=1.0, validator=_not_negative)
    report_queue_size: int = field(default=10_000, validator=_positive)
    report_bytes: int = field(default=900_000, validator=_positive)
    report_timeout: float = field(default=5.0, validator=_positive)
    report_encoding: Repeated | None = None
    compress_reports: bool = False
    at_least_once: bool = False
    drain_timeout: float = field(default=5.0, validator=_not_negative)
