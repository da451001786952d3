"""Every Mixer server is killed under traffic: what is cached holds, reports wait, nothing else breaks."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from meshregistry.mixer import AttributeBag, ClientOptions, FailPolicy, MixerClient
from servers.mixer_judge import judge
from servers.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

HOLDS = 10.0
"""Seconds for which answers hold: long enough for all that is done without a server."""

CONFIG = f"""
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: judge, namespace: istio-system}}
spec: {{compiledAdapter: judge, params: {{seconds: {HOLDS}}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: path, namespace: istio-system}}
spec: {{compiledTemplate: listentry, params: {{value: request.url_path}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: number, namespace: istio-system}}
spec: {{compiledTemplate: metric, params: {{value: request.size}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: all, namespace: istio-system}}
spec: {{actions: [{{handler: judge, instances: [path, number]}}]}}
"""
HOT, COLD, ROUNDS = 80, 20, 10
QUEUE, REPORTED = 200, 500


def path(number: int) -> str:
    """Three of ten are denied."""
    return f"/{'no' if number % 10 < 3 else 'yes'}/{number}"


def question(number: int) -> AttributeBag:
    """A request of this kind."""
    return AttributeBag({"request.url_path": path(number)})


def notes(*journals: Path) -> list[int]:
    """What the servers have been told, in order within each."""
    return [int(line) for one in journals if one.exists() for line in one.read_text().split()]


async def until(holds, what: str, seconds: float = 30.0) -> None:
    """Poll from outside."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.02)


async def verdicts(client: MixerClient, numbers, **how) -> Counter:
    """How many of these requests were answered in which way."""
    counted = Counter()
    for number in numbers:
        result = await client.check(question(number), **how)
        if result.failure is None and result.is_allowed == path(number).startswith("/no"):
            pytest.fail(f"{path(number)}: {result}")
        source = "failed" if result.failure else "cached" if result.is_cache_hit else "asked"
        counted[source, "allowed" if result.is_allowed else "denied"] += 1
    return counted


def test_all_servers_are_killed(run_async, tmp_path):
    """The cached share keeps its answers, denials too, until they expire; the rest follows the
    fail policy; as many reports as fit wait, and arrive once when the servers are back.
    """
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "mixer.yaml").write_text(CONFIG)
    addresses = tuple(f"127.0.0.1:{free_port()}" for _ in range(2))
    journals = tuple(tmp_path / f"journal-{number}" for number in range(2))
    options = ClientOptions(
        timeout=2.0, report_queue_size=QUEUE, report_batch_entries=50, report_batch_age=0.05
    )
    hot, cold = range(HOT), range(HOT, HOT + COLD)

    async def main() -> None:
        async with MixerClient(addresses, options=options) as client:
            async with (
                judge(addresses[0], folder, journals[0]) as first,
                judge(addresses[1], folder, journals[1]) as second,
            ):
                await first.read()
                await second.read()
                asked = time.monotonic()
                assert await verdicts(client, hot) == {
                    ("asked", "allowed"): 56,
                    ("asked", "denied"): 24,
                }
                answered = time.monotonic()
                for number in hot:
                    client.report(AttributeBag({"request.size": number}))
                await client.flush()
                assert notes(*journals) == [*hot]
                os.kill(first.pid, signal.SIGKILL)
                os.kill(second.pid, signal.SIGKILL)

            without = Counter()
            for _ in range(ROUNDS):
                without += await verdicts(client, hot)
            without += await verdicts(client, cold, fail_policy=FailPolicy.OPEN)
            without += await verdicts(client, cold, fail_policy=FailPolicy.CLOSED)
            assert time.monotonic() - asked < HOLDS, "too slow to tell the cache from the rest"
            assert without == {
                ("cached", "allowed"): 56 * ROUNDS,
                ("cached", "denied"): 24 * ROUNDS,
                ("failed", "allowed"): COLD,
                ("failed", "denied"): COLD,
            }

            for number in range(REPORTED):
                client.report(AttributeBag({"request.size": 1_000 + number}))
            assert client.statistics()["total_reports_dropped_full"] == REPORTED - QUEUE

            # The last answer was given after `asked`, so none may be gone before that.
            await asyncio.sleep(max(0.0, asked + HOLDS - 0.5 - time.monotonic()))
            is_hit = (await client.check(question(HOT - 1))).is_cache_hit
            assert is_hit or time.monotonic() > asked + HOLDS
            # And all were given before `answered`.
            await asyncio.sleep(max(0.0, answered + HOLDS + 0.1 - time.monotonic()))
            assert await verdicts(client, hot) == {("failed", "allowed"): HOT}
            assert await verdicts(client, hot, fail_policy=FailPolicy.CLOSED) == {
                ("failed", "denied"): HOT
            }

            back = time.monotonic()
            async with (
                judge(addresses[0], folder, journals[0]) as first,
                judge(addresses[1], folder, journals[1]) as second,
            ):
                await first.read()
                await second.read()
                await until(lambda: len(notes(*journals)) >= HOT + QUEUE, "the reports arrive")
                took = time.monotonic() - back
                await client.flush()
                assert sorted(notes(*journals)) == [*hot, *range(1_000, 1_000 + QUEUE)]
                counted = client.statistics()
                lost = ("doubtful", "refused", "closed")
                assert [counted[f"total_reports_dropped_{why}"] for why in lost] == [0, 0, 0]
                assert counted["total_reports_sent"] == HOT + QUEUE
                assert await verdicts(client, cold) == {
                    ("asked", "allowed"): 14,
                    ("asked", "denied"): 6,
                }
        print(
            f"{sum(without.values())} checks without a server: {80 * ROUNDS} from the cache, "
            f"{2 * COLD} by the fail policy; {QUEUE} of {REPORTED} reports waited and arrived "
            f"{took:.1f} s after the servers were started again"
        )

    run_async(main())
