"""What a client counts, in the names of the original client library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import asdict, define

from meshregistry.model import Labels, Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshregistry.mixer.client._transport import Failure

_PREFIX = "meshregistry_mixer_client"


@define
class Statistics:
    """Counters of one client; they only go up."""

    total_check_cache_misses: int = 0
    total_check_shared_failures: int = 0
    total_check_overloads: int = 0
    total_remote_check_calls: int = 0
    total_remote_check_accepts: int = 0
    total_remote_check_denies: int = 0
    total_quota_cache_hit_accepts: int = 0
    total_quota_cache_hit_denies: int = 0
    total_quota_cache_misses: int = 0
    total_remote_quota_calls: int = 0
    total_remote_quota_accepts: int = 0
    total_remote_quota_denies: int = 0
    total_remote_quota_prefetch_calls: int = 0
    total_remote_calls: int = 0
    total_remote_call_successes: int = 0
    total_remote_call_timeouts: int = 0
    total_remote_call_send_errors: int = 0
    total_remote_call_other_errors: int = 0
    total_remote_call_retries: int = 0
    total_remote_call_cancellations: int = 0
    total_report_calls: int = 0
    total_remote_report_calls: int = 0
    total_remote_report_successes: int = 0
    total_remote_report_timeouts: int = 0
    total_remote_report_send_errors: int = 0
    total_remote_report_other_errors: int = 0
    total_reports_sent: int = 0
    total_reports_dropped_full: int = 0
    total_reports_dropped_doubtful: int = 0
    total_reports_dropped_refused: int = 0
    total_reports_dropped_closed: int = 0

    def count_call(self, failure: Failure | None) -> None:
        """Note how a check call ended; None: with an answer."""
        self.total_remote_calls += 1
        if failure is None:
            self.total_remote_call_successes += 1
        else:
            name = f"total_remote_call_{failure.value}"
            setattr(self, name, getattr(self, name) + 1)

    def count_report(self, failure: Failure | None) -> None:
        """Note how a report call ended; None: confirmed."""
        self.total_remote_report_calls += 1
        if failure is None:
            self.total_remote_report_successes += 1
        else:
            name = f"total_remote_report_{failure.value}"
            setattr(self, name, getattr(self, name) + 1)

    def read(self, accepts: int, denies: int) -> dict[str, int]:
        """All counters by name, with those that follow from others.

        Args:
            accepts: what the check cache allowed.
            denies: what it denied.
        """
        hits = accepts + denies
        quota_hits = self.total_quota_cache_hit_accepts + self.total_quota_cache_hit_denies
        return {
            "total_check_calls": hits + self.total_check_cache_misses,
            "total_check_cache_hits": hits,
            "total_check_cache_hit_accepts": accepts,
            "total_check_cache_hit_denies": denies,
            "total_quota_calls": quota_hits + self.total_quota_cache_misses,
            "total_quota_cache_hits": quota_hits,
            **asdict(self),
        }


# Metric, label, description; the counters that it is made of, by the value of the label.
_FAMILIES = (
    (
        "checks",
        "outcome",
        "Checks, by what the check cache said.",
        {
            "total_check_cache_hit_accepts": "hit_accept",
            "total_check_cache_hit_denies": "hit_deny",
            "total_check_cache_misses": "miss",
        },
    ),
    (
        "quotas",
        "outcome",
        "Checks with quota, by what the quota cache said.",
        {
            "total_quota_cache_hit_accepts": "hit_accept",
            "total_quota_cache_hit_denies": "hit_deny",
            "total_quota_cache_misses": "miss",
        },
    ),
    (
        "calls",
        "outcome",
        "Check calls to servers, by how they ended.",
        {
            "total_remote_call_successes": "success",
            "total_remote_call_timeouts": "timeout",
            "total_remote_call_send_errors": "send_error",
            "total_remote_call_other_errors": "other_error",
            "total_remote_call_cancellations": "cancelled",
        },
    ),
    (
        "call_retries",
        "",
        "Check calls that were sent again.",
        {"total_remote_call_retries": ""},
    ),
    (
        "call_overloads",
        "",
        "Checks that were not asked because too many were under way.",
        {"total_check_overloads": ""},
    ),
    (
        "quota_prefetches",
        "",
        "Calls for quota in advance.",
        {"total_remote_quota_prefetch_calls": ""},
    ),
    (
        "report_calls",
        "outcome",
        "Report calls to servers, by how they ended.",
        {
            "total_remote_report_successes": "success",
            "total_remote_report_timeouts": "timeout",
            "total_remote_report_send_errors": "send_error",
            "total_remote_report_other_errors": "other_error",
        },
    ),
    (
        "reports",
        "outcome",
        "Reports, by what became of them.",
        {
            "total_reports_sent": "sent",
            "total_reports_dropped_full": "dropped_full",
            "total_reports_dropped_doubtful": "dropped_doubtful",
            "total_reports_dropped_refused": "dropped_refused",
            "total_reports_dropped_closed": "dropped_closed",
        },
    ),
)


def metrics(counters: Mapping[str, int], gauges: Mapping[str, int]) -> tuple[Metric, ...]:
    """Counters and sizes as metrics.

    Args:
        counters: as `Statistics.read` gives them.
        gauges: sizes by the last part of the metric's name.
    """
    found = [
        Metric.of(
            f"{_PREFIX}_{name}",
            "counter",
            description,
            {
                Labels({label: value} if label else {}): float(counters[counter])
                for counter, value in parts.items()
            },
        )
        for name, label, description, parts in _FAMILIES
    ]
    found += [
        Metric.of(f"{_PREFIX}_{name}", "gauge", _GAUGES[name], float(size))
        for name, size in gauges.items()
    ]
    return tuple(found)


_GAUGES = {
    "check_cache_entries": "Answers in the check cache.",
    "quota_cache_entries": "Pools in the quota cache.",
    "reports_waiting": "Reports that wait to be sent.",
    "calls_in_flight": "Check calls under way.",
}
