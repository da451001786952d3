"""What one process does without a socket: joining responses, deriving, sharing."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from typing import TYPE_CHECKING

from envoy.service.discovery.v3 import discovery_pb2

from benchmarks.messages import assignment, cluster
from benchmarks.results import Benchmark, Ratio, Row
from meshregistry.ads import Response
from meshregistry.generate import Pipeline, World
from meshregistry.model import (
    ENDPOINT,
    Catalog,
    CatalogEntry,
    Endpoint,
    Hostname,
    Port,
    Protocol,
    Proxy,
    ProxyKey,
    ProxyRole,
    ResourceSet,
    Service,
    SourceId,
)
from meshregistry.server._codec import Encoder
from meshregistry.server._items import resource_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message

SOURCE = SourceId("bench")


def milliseconds(work: Callable[[int], object], rounds: int) -> float:
    """The median processor time of a call with the number of its round, without the collector."""
    times = []
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            start = time.thread_time()
            work(number)
            times.append((time.thread_time() - start) * 1e3)
    finally:
        gc.enable()
    return statistics.median(times)


def response_join(what: str, messages: list[Message], rounds: int = 50) -> Benchmark:
    """A response of many resources: joined from encoded ones, or packed and serialised."""
    resources = sorted(map(resource_of, messages), key=lambda each: each.name)
    messages = sorted(messages, key=lambda each: resource_of(each).name)
    url = resources[0].type_url
    everything = ResourceSet.of(resources).resources(url)

    def pack(number: int) -> bytes:
        made = discovery_pb2.DiscoveryResponse(version_info="v", type_url=url, nonce=str(number))
        for each in messages:
            made.resources.add().Pack(each, deterministic=True)
        return made.SerializeToString(deterministic=True)

    def response(number: int) -> Response:
        return Response(type_url=url, version="v", resources=everything, nonce=str(number))

    def join(number: int) -> bytes:
        return Encoder().encode(response(number))

    kept = Encoder()
    packed = milliseconds(pack, rounds)
    joined = milliseconds(join, rounds)
    again = milliseconds(lambda number: kept.encode(response(number)), rounds)
    parsed = discovery_pb2.DiscoveryResponse.FromString(join(7))
    if parsed != discovery_pb2.DiscoveryResponse.FromString(pack(7)):
        raise AssertionError("the joined response says something else than the packed one")
    return Benchmark(
        title=f"response of {what}, {len(join(1)) / 1e3:.0f} kB",
        rows=(
            Row(subject="pack and serialise messages", figures={"µs": packed * 1e3, "times": 1}),
            Row(
                subject="join encoded resources",
                figures={"µs": joined * 1e3, "times": packed / joined},
            ),
            Row(
                subject="the same resources again, new nonce",
                figures={"µs": again * 1e3, "times": packed / again},
            ),
        ),
        ratios=(
            Ratio(
                what=f"response of {what}: pack and serialise / join",
                value=packed / joined,
                limit=100,
                is_at_most=False,
            ),
        ),
    )


def response_joins() -> Iterator[Benchmark]:
    """Small resources, and larger ones: what is saved grows with the size of a message."""
    yield response_join("1,000 clusters", [cluster(index) for index in range(1000)])
    yield response_join("1,000 assignments of 10", [assignment(index, 10) for index in range(1000)])


def entry(index: int, *, endpoints: int, shift: int = 0) -> CatalogEntry:
    """A service with its endpoints; `shift` moves the last one's port."""
    port = Port(name="http", number=8000 + index, protocol=Protocol.HTTP)
    service = Service(host=Hostname(f"svc-{index}.shop"), ports=(port,), namespace="shop")
    listed = tuple(
        Endpoint(
            address=f"10.{index >> 8}.{index & 255}.{number + 1}",
            port=9000 + (shift if number == endpoints - 1 else 0),
            service_port="http",
        )
        for number in range(endpoints)
    )
    return CatalogEntry(
        service=service,
        endpoints=listed,
        sources=(SOURCE,),
        endpoint_sources=((SOURCE,),) * endpoints,
    )


def world(catalog: Catalog) -> World:
    """A world of nothing but services."""
    return World(catalog=catalog, source_order=(SOURCE,))


def encoded(resources: ResourceSet, *urls: str) -> int:
    """Encode everything that a new wildcard stream of these types is sent; its size."""
    encoder = Encoder()
    return sum(
        len(
            encoder.encode(
                Response(
                    type_url=url,
                    version=resources.version(url),
                    resources=resources.resources(url),
                    nonce="1",
                )
            )
        )
        for url in urls
    )


def change_to_bytes(services: int = 1000, rounds: int = 30) -> Benchmark:
    """One endpoint of 100 changes: the time until the bytes of its assignment exist."""
    entries = [entry(index, endpoints=100 if index == 0 else 10) for index in range(services)]
    catalog = Catalog.of(entries, generation=1)
    key = ProxyKey(role=ProxyRole.ROUTER)

    def everything(_: int) -> int:
        derived = Pipeline().derive(world(catalog), key).resources
        return encoded(derived, *derived.types())

    pipeline = Pipeline()
    held = pipeline.derive(world(catalog), key).resources
    encoder = Encoder()
    state = {"catalog": catalog, "held": held}

    changed_entries = [entry(0, endpoints=100, shift=1 + number) for number in range(rounds)]

    def change(number: int) -> bytes:
        changed = [changed_entries[number]]
        state["catalog"] = state["catalog"].updated(changed, (), generation=2 + number)
        derived = pipeline.derive(world(state["catalog"]), key).resources
        difference = derived.changes_since(state["held"], ENDPOINT)
        if len(difference.changed) != 1:
            raise AssertionError(f"one assignment should change, not {len(difference.changed)}")
        state["held"] = derived
        return encoder.encode(
            Response(
                type_url=ENDPOINT,
                version=derived.version(ENDPOINT),
                resources=difference.changed,
                nonce=str(number),
            )
        )

    fresh = milliseconds(everything, max(3, rounds // 10))
    changed = milliseconds(change, rounds)
    return Benchmark(
        notes=("the change begins with the merged service, after the registry and the merge",),
        title=f"one endpoint of 100 changed, {services:,} services in the set: change to bytes",
        rows=(
            Row(subject="derive and encode everything", figures={"ms": fresh, "times": 1}),
            Row(
                subject="follow the change",
                figures={"ms": changed, "times": fresh / changed},
            ),
        ),
        ratios=(
            Ratio(
                what="one endpoint changed: derive everything / follow the change",
                value=fresh / changed,
                limit=50,
                is_at_most=False,
            ),
        ),
    )


def sharing(sidecars: int = 2000, services: int = 1000) -> Benchmark:
    """Encoded outbound resources of many sidecars: held once, or once for each."""
    entries = [entry(index, endpoints=10) for index in range(services)]
    at = world(Catalog.of(entries, generation=1))
    places = [place for each in entries for place in each.endpoints][
        :: len(entries) * 10 // sidecars
    ]
    pipeline = Pipeline()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    sets = []
    start = time.thread_time()
    for number in range(sidecars):
        proxy = Proxy(
            node_id=f"sidecar~{places[number].address}~app-{number}.shop~shop.mesh.local",
            role=ProxyRole.SIDECAR,
            addresses=(places[number].address,),
            namespace="shop",
        )
        sets.append(pipeline.derive(at, pipeline.proxy_key(at, proxy)).resources)
        if number == 0:
            first = tracemalloc.get_traced_memory()[0] - before
    took = time.thread_time() - start
    traced = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    one = total(sets[:1])
    unique = total(sets)
    shared = total_shared(sets)
    return Benchmark(
        title=f"{sidecars:,} sidecars, {services:,} services: encoded resources in memory",
        rows=(
            Row(
                subject="one sidecar",
                figures={"encoded kB": one / 1e3, "held kB": first / 1e3},
            ),
            Row(
                subject=f"{sidecars:,} sidecars",
                figures={"encoded kB": unique / 1e3, "held kB": traced / 1e3},
            ),
        ),
        ratios=(
            Ratio(
                what=f"outbound resources of {sidecars:,} sidecars / of one",
                value=shared,
                limit=1.0,
                is_at_most=True,
            ),
        ),
        notes=(f"{sidecars:,} sets derived in {took:.1f} s while memory was traced",),
    )


def total(sets: list[ResourceSet]) -> int:
    """The bytes of all different objects that hold encoded resources."""
    return sum({id(each.bytes): len(each.bytes) for one in sets for each in one}.values())


def total_shared(sets: list[ResourceSet]) -> float:
    """How many encoded copies exist of a resource that every set holds, at most."""
    copies: dict[object, set[int]] = {}
    for one in sets:
        for each in one:
            copies.setdefault((each.key, each.digest), set()).add(id(each.bytes))
    return float(max(map(len, copies.values())))
