"""What is worth a line in the log."""

from __future__ import annotations

from meshregistry.aggregate._news import HOUR, News


def test_a_repeated_fault_is_logged_on_change_and_then_hourly():
    """The same words of the same subject wait an hour; other words do not."""
    news = News()
    assert news.is_new("a", "gone", 0.0)
    assert not news.is_new("a", "gone", HOUR - 1)
    assert news.is_new("a", "gone", HOUR)
    assert news.is_new("a", "refused", HOUR + 1)
    assert news.is_new("b", "refused", HOUR + 1)


def test_after_recovery_everything_is_news():
    """A fault that comes back is said again."""
    news = News()
    news.is_new("a", "gone", 0.0)
    news.forget("a")
    assert news.is_new("a", "gone", 1.0)
