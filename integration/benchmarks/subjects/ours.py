"""The subject: `XdsServer` with one group; a push updates one resource of it."""

from __future__ import annotations

import asyncio
import sys
import time

from benchmarks.messages import WORKLOADS, assignment, changed, cluster
from benchmarks.subjects.lines import standard_input
from meshregistry.server import XdsServer


async def main(workload_name: str) -> None:
    """Serve until the input ends."""
    workload = WORKLOADS[workload_name]
    commands = await standard_input()
    async with XdsServer("127.0.0.1:0", group=lambda node: "all") as server:
        clusters = [cluster(index) for index in range(workload.clusters)]
        endpoints = [assignment(i, workload.endpoints) for i in range(workload.clusters)]
        server.publish("all", [*clusters, *endpoints])
        print("READY", server.address, flush=True)
        version = 0
        while await commands.readline():
            version += 1
            message = changed(workload, version)
            start = time.time_ns()
            server.update("all", changed=[message])
            print("PUSHED", start, flush=True)


asyncio.run(main(sys.argv[1]))
