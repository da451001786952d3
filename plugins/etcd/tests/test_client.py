"""The client of etcd where its connection is closed under what others do with it."""

from __future__ import annotations

import asyncio

import pytest

from meshregistry.errors import RegistryUnavailable
from meshregistry.spi import Seconds
from meshregistry.testing import context, free_port
from meshregistry_etcd import EtcdConfig, meshregistry_register_registries


async def _kept_alive(client):
    await client.keep_alive(1)


async def _watched(client):
    async with client.watch("/folder/", 1):
        pass


@pytest.mark.parametrize("call", [_kept_alive, _watched])
def test_who_writes_when_the_connection_is_given_up_is_told(run_async, call):
    """At whatever moment, else a lease would never be renewed again, or a prefix never followed.

    A question that finds the endpoint dead closes the channel for all; a write that waits
    for its call to begin is then not told by gRPC.
    """

    async def main():
        config = EtcdConfig(endpoints=(f"127.0.0.1:{free_port()}",), timeout=Seconds(0.1))
        kind = meshregistry_register_registries()
        async with kind.connect(config, context()) as client:
            for turns in range(8):
                calling = asyncio.create_task(call(client))
                for _ in range(turns):
                    await asyncio.sleep(0)
                await client.give_up(client.target)
                with pytest.raises(RegistryUnavailable):
                    async with asyncio.timeout(5):
                        await calling

    run_async(main())
