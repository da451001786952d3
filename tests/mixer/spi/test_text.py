"""Values as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from meshregistry.mixer.spi import StringMap, text_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("x", "x"),
        (True, "true"),
        (False, "false"),
        (-3, "-3"),
        (1.5, "1.5"),
        (2.0, "2"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
        (ip_address("10.0.0.1").packed, "10.0.0.1"),
        (ip_address("::1").packed, "::1"),
        (ip_address("::ffff:10.0.0.1").packed, "10.0.0.1"),
        (b"abc", "616263"),
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-01-02T03:04:05.000006Z"),
        (datetime(1, 1, 2, tzinfo=UTC), "0001-01-02T00:00:00.000000Z"),
        (timedelta(0), "0s"),
        (timedelta(microseconds=5), "5µs"),
        (timedelta(microseconds=1_500), "1.5ms"),
        (timedelta(seconds=1.5), "1.5s"),
        (timedelta(minutes=1), "1m0s"),
        (timedelta(hours=1, seconds=1.25), "1h0m1.25s"),
        (timedelta(days=2), "48h0m0s"),
        (-timedelta(milliseconds=250), "-250ms"),
        (StringMap(b="2", a="1"), "a=1&b=2"),
    ],
)
def test_texts(value, text):
    """In the forms of the original."""
    assert text_of(value) == text
