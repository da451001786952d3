"""What routing rules cost: deriving everything, one weight, one endpoint, many sidecars."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from attrs import evolve

from benchmarks.encoding import SOURCE, encoded, milliseconds
from benchmarks.results import Benchmark, Ratio, Row
from meshregistry.generate import Pipeline, World
from meshregistry.model import (
    ENDPOINT,
    ROUTE,
    Catalog,
    CatalogEntry,
    Endpoint,
    Hostname,
    Labels,
    Port,
    Protocol,
    ProxyKey,
    ProxyRole,
    Service,
)
from meshregistry.rules import (
    Destination,
    DestinationPolicy,
    HttpRoute,
    RouteRule,
    RuleSet,
    Subset,
    WeightedDestination,
)

SERVICES, SUBSETS, ENDPOINTS, RULES, SIDECARS = 1000, 3, 10, 200, 2000
KEY = ProxyKey(role=ProxyRole.SIDECAR, namespace="shop")


def host(index: int) -> Hostname:
    """The host of a service."""
    return Hostname(f"svc-{index}.shop")


def entry(index: int, *, shift: int = 0) -> CatalogEntry:
    """A service whose endpoints are of three versions; `shift` moves the last one's port."""
    port = Port(name="http", number=8000 + index % 20, protocol=Protocol.HTTP)
    endpoints = tuple(
        Endpoint(
            address=f"10.{index >> 8}.{index & 255}.{number + 1}",
            port=9000 + (shift if number == ENDPOINTS - 1 else 0),
            service_port="http",
            labels=Labels({"version": f"v{number % SUBSETS}"}),
        )
        for number in range(ENDPOINTS)
    )
    return CatalogEntry(
        service=Service(host=host(index), ports=(port,), namespace="shop"),
        endpoints=endpoints,
        sources=(SOURCE,),
        endpoint_sources=((SOURCE,),) * ENDPOINTS,
    )


def policies() -> list[DestinationPolicy]:
    """The subsets of each service."""
    subsets = tuple(
        Subset(name=f"v{number}", labels=Labels({"version": f"v{number}"}))
        for number in range(SUBSETS)
    )
    return [
        DestinationPolicy(name=f"p{index}", namespace="shop", host=host(index), subsets=subsets)
        for index in range(SERVICES)
    ]


def rule(index: int, weight: int) -> RouteRule:
    """A canary: so many of a hundred requests go to the second version."""
    shares = tuple(
        WeightedDestination(destination=Destination(host(index), name), weight=share)
        for name, share in (("v0", 100 - weight), ("v1", weight))
    )
    return RouteRule(
        name=f"r{index}",
        namespace="shop",
        hosts=(host(index),),
        http=(HttpRoute(destinations=shares),),
    )


def world(every: list[DestinationPolicy], first_weight: int) -> World:
    """The world, with the weight of one of its canaries."""
    rules = [rule(index, first_weight if index == 0 else 5) for index in range(RULES)]
    return World(
        catalog=Catalog.of(map(entry, range(SERVICES)), generation=1),
        rules=RuleSet.of([*every, *rules]),
        source_order=(SOURCE,),
    )


def routing_cost(rounds: int = 20) -> Benchmark:
    """Derive it whole, follow one weight and one endpoint, and do it for many sidecars."""
    every = policies()
    at = world(every, 5)

    def everything(_: int) -> int:
        derived = Pipeline().derive(at, KEY).resources
        return encoded(derived, *derived.types())

    pipeline = Pipeline()
    held = pipeline.derive(at, KEY).resources
    ruled = [
        evolve(
            at,
            rules=RuleSet.of([*every, *(rule(i, 50 - n if i == 0 else 5) for i in range(RULES))]),
        )
        for n in range(rounds)
    ]

    def weight(number: int) -> None:
        nonlocal held
        derived = pipeline.derive(ruled[number], KEY).resources
        changed = derived.changes_since(held, ROUTE).changed
        if len(changed) != 1:
            raise AssertionError(f"one route configuration should change, not {len(changed)}")
        held = derived

    catalog = at.catalog

    def endpoint(number: int) -> None:
        nonlocal held, catalog
        catalog = catalog.updated([entry(0, shift=1 + number)], (), generation=2 + number)
        derived = pipeline.derive(evolve(ruled[-1], catalog=catalog), KEY).resources
        changed = derived.changes_since(held, ENDPOINT).changed
        if len(changed) != 2:
            raise AssertionError(f"two assignments should change, not {len(changed)}")
        held = derived

    fresh = milliseconds(everything, 5)
    by_weight, by_endpoint = milliseconds(weight, rounds), milliseconds(endpoint, rounds)
    # Sidecars differ by where their own workload listens.
    start = time.thread_time()
    for number in range(SIDECARS):
        address = f"10.{number % SERVICES >> 8}.{number % SERVICES & 255}.{1 + number // SERVICES}"
        pipeline.derive(evolve(ruled[-1], catalog=catalog), evolve(KEY, addresses=(address,)))
    keys = (time.thread_time() - start) * 1e3
    return Benchmark(
        title=f"{SERVICES:,} services, {SUBSETS} subsets each, {RULES} canaries, one sidecar",
        rows=(
            Row(subject="derive and encode everything", figures={"ms": fresh, "times": 1}),
            Row(subject="one weight", figures={"ms": by_weight, "times": fresh / by_weight}),
            Row(subject="one endpoint", figures={"ms": by_endpoint, "times": fresh / by_endpoint}),
            Row(
                subject=f"{SIDECARS:,} further sidecars, each",
                figures={"ms": keys / SIDECARS, "times": fresh * SIDECARS / keys},
            ),
        ),
        ratios=(
            Ratio(
                what="one endpoint changed among rules: derive everything / follow",
                value=fresh / by_endpoint,
                limit=50,
                is_at_most=False,
            ),
        ),
        notes=(
            (
                f"a process that holds it for one sidecar has {peak():.0f} MB at its peak, one that "
                f"holds nothing {peak('nothing'):.0f} MB"
            ),
        ),
    )


def peak(what: str = "world") -> float:
    """The peak memory of a process of its own that derives the world once, in MB."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.routing", what],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def _report(what: str) -> None:
    if what == "world":
        Pipeline().derive(world(policies(), 5), KEY)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    sys.stdout.write(str(int(line.split()[1]) / 1e3))


if __name__ == "__main__":
    _report(sys.argv[1])
