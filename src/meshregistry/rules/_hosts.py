"""Host patterns: which hosts they take, and which of two comes first."""

from __future__ import annotations


def is_host_match(pattern: str, host: str) -> bool:
    """Whether a host is the pattern's: equal, or under its ``*.suffix``; ``*`` takes all."""
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return host.endswith(pattern[1:]) and host != pattern[1:]
    return pattern == host


def host_rank(pattern: str) -> tuple[int, int, str]:
    """Sorts host patterns: exact ones before wildcards, longer wildcards before shorter."""
    return (1 if pattern.startswith("*") else 0, -len(pattern), pattern)
