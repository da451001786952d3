"""The load without Go: as its counterpart in Go, on grpc.aio; the driver starts several."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from benchmarks.subjects.lines import standard_input

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
LARGEST = 1 << 26


class Round:
    """One response of each stream."""

    def __init__(self, streams: int) -> None:
        self.streams = streams
        self.arm()

    def arm(self) -> None:
        """Start to count anew."""
        self.times: dict[int, int] = {}
        self.bytes = self.extra = 0
        self.done = asyncio.Event()

    def arrived(self, stream: int, size: int) -> None:
        """A response has come on a stream."""
        if stream in self.times:
            self.extra += 1
            return
        self.times[stream] = time.time_ns()
        self.bytes += size
        if len(self.times) == self.streams:
            self.done.set()


async def follow(
    number: int, options: argparse.Namespace, round_: Round, slots: asyncio.Semaphore
) -> None:
    """One stream on a connection of its own: every response is acknowledged."""
    names = [options.name] if options.name else []
    channel = grpc.aio.insecure_channel(
        options.address,
        options=[
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", LARGEST),
        ],
    )
    async with slots:
        call = channel.stream_stream(METHOD)()
        first = discovery_pb2.DiscoveryRequest(type_url=options.type_url, resource_names=names)
        first.node.id, first.node.cluster = f"load-{number}", "load"
        await call.write(first.SerializeToString())
        body = await call.read()
    while body is not grpc.aio.EOF:
        round_.arrived(number, len(body))
        seen = discovery_pb2.DiscoveryResponse.FromString(body)
        ack = discovery_pb2.DiscoveryRequest(
            type_url=options.type_url,
            resource_names=names,
            version_info=seen.version_info,
            response_nonce=seen.nonce,
        )
        await call.write(ack.SerializeToString())
        body = await call.read()


def cpu() -> int:
    """Processor time of this process in nanoseconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


async def main(options: argparse.Namespace) -> None:
    """Connect, then measure rounds until the input ends."""
    round_ = Round(options.streams)
    slots = asyncio.Semaphore(50)
    streams = [
        asyncio.create_task(follow(number, options, round_, slots))
        for number in range(options.streams)
    ]
    commands = await standard_input()
    await round_.done.wait()
    print("READY", flush=True)
    while await commands.readline():
        round_.arm()
        before = cpu()
        print("ARMED", flush=True)
        await round_.done.wait()
        used = cpu() - before
        times = sorted(round_.times.values())
        found = {
            "first": times[0],
            "median": times[len(times) // 2],
            "last": times[-1],
            "bytes": round_.bytes,
            "cpu": used,
            "extra": round_.extra,
        }
        print(json.dumps(found), flush=True)
    for stream in streams:
        stream.cancel()


def parse() -> argparse.Namespace:
    """The same options as the load in Go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-address", required=True)
    parser.add_argument("-streams", type=int, default=100)
    parser.add_argument("-type-url", required=True)
    parser.add_argument("-name", default="")
    return parser.parse_args()


asyncio.run(main(parse()))
