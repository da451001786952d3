"""``noop`` allows everything and does nothing."""

from __future__ import annotations

from meshregistry.mixer.spi import TEMPLATES, ListEntry, Quota, QuotaRequest


def test_it_takes_every_template(adapters):
    """Also those that generate attributes."""
    plan, _ = adapters.plan("noop")
    assert TEMPLATES == plan.adapter.templates


def test_it_says_yes(adapters, run_async):
    """Checks hold a billion seconds and uses, quotas are granted whole, the rest is nothing."""

    async def main():
        async with adapters.running("noop") as (handler, _):
            answer = await handler.check(ListEntry(value="x"))
            assert answer.status.is_ok
            assert 10**9 == answer.valid_use_count == answer.valid_duration
            granted = await handler.quota(Quota(), QuotaRequest(amount=7))
            assert 7 == granted.amount
            assert await handler.report([]) is None
            assert {} == await handler.generate(None)

    run_async(main())
