"""The configuration of a Mixer server is rewritten under traffic: no check fails, none mixes two."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from meshregistry.mixer import AttributeBag, ClientOptions, FailPolicy, MixerClient
from servers.mixer_judge import judge

if TYPE_CHECKING:
    from pathlib import Path

REWRITES = 50
WORKERS = 4
# Between two checks of a worker, so that the traffic is bounded.
PAUSE = 0.005

INSTANCE = """
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: path, namespace: istio-system}
spec: {compiledTemplate: listentry, params: {value: request.url_path}}
"""
HALF = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: {name}, namespace: istio-system}}
spec: {{compiledAdapter: judge, params: {{generation: {generation}, seconds: 60}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: {name}, namespace: istio-system}}
spec:
  actions: [{{handler: {name}, instances: [path]}}]
  requestHeaderOperations: [{{name: x-{name}, values: ['"v{generation}"']}}]
"""


# Between the two files, as a slow copy has it; the server waits until it is quiet for so long.
BETWEEN, QUIET = 0.03, 0.05


async def write(folder: Path, generation: int) -> float:
    """Both halves, one file after the other, each exchanged whole; the seconds that it took."""
    for name in ("left", "right"):
        (folder / f".{name}.new").write_text(HALF.format(name=name, generation=generation))
    began = time.monotonic()
    (folder / ".left.new").replace(folder / "left.yaml")
    await asyncio.sleep(BETWEEN)
    (folder / ".right.new").replace(folder / "right.yaml")
    return time.monotonic() - began


class Traffic:
    """Checks without a cache of the client's, and what their answers are made of.

    Args:
        client: whom to ask.

    Attributes:
        seen: how many answers each generation gave.
        mixed: generations that gave one together with the one before.
    """

    def __init__(self, client: MixerClient) -> None:
        self._client = client
        self.seen: Counter[int] = Counter()
        self.mixed: set[int] = set()
        self.is_over = False

    async def work(self, worker: int) -> None:
        """Every other request is denied; some of the paths were asked before."""
        last, number = 0, 0
        while not self.is_over:
            number += 1
            kind = "no" if number % 2 else "yes"
            bag = AttributeBag({"request.url_path": f"/{kind}/{worker}/{number % 50}"})
            result = await self._client.check(bag, fail_policy=FailPolicy.RAISE)
            assert result.is_allowed == (kind == "yes")
            generations = made_of(result)
            assert len(generations) == 2
            assert min(generations) >= last, "a configuration that had been replaced"
            last = min(generations)
            if len(set(generations)) == 1:
                self.seen[last] += 1
            else:
                self.mixed.add(max(generations))
            await asyncio.sleep(PAUSE)


def made_of(result) -> list[int]:
    """The generations that an answer tells: in the reasons of both denials, or both headers."""
    if result.is_allowed:
        return [int(one.value[1:]) for one in result.directive.request_headers]
    return [int(one.rpartition(":")[2]) for one in result.status.message.split(", ")]


def test_rewritten_fifty_times_under_traffic(run_async, tmp_path):
    """No check fails, every answer is of one configuration, and none of one that was replaced."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "instance.yaml").write_text(INSTANCE)

    async def main() -> None:
        await write(folder, 0)
        options = ClientOptions(check_cache_size=0)
        async with judge("127.0.0.1:0", folder, tmp_path / "journal") as server:
            address = (await server.read()).split()[1]
            async with MixerClient(address, options=options) as client:
                traffic = Traffic(client)
                async with asyncio.TaskGroup() as group:
                    for worker in range(WORKERS):
                        group.create_task(traffic.work(worker))
                    took, slow = [], set()
                    for generation in range(1, REWRITES + 1):
                        began = time.monotonic()
                        # What a busy machine writes that slowly, nobody can tell from two versions.
                        if await write(folder, generation) >= QUIET:
                            slow.add(generation)
                        while generation not in traffic.seen:
                            if time.monotonic() - began > 10:
                                pytest.fail(f"generation {generation} did not come into force")
                            await asyncio.sleep(0.01)
                        took.append(time.monotonic() - began)
                    traffic.is_over = True
        assert sorted(traffic.seen) == list(range(REWRITES + 1))
        assert traffic.mixed <= slow, "two configurations in one answer"
        print(
            f"{traffic.seen.total()} checks over {REWRITES} rewrites, {len(slow)} of them slow: none "
            f"failed, {len(traffic.mixed)} mixed; in force after {sorted(took)[len(took) // 2]:.2f} s "
            f"(median), {max(took):.2f} s (longest)"
        )

    run_async(main(), timeout=120)
