"""The contract of every registry, on the double of etcd behind a TCP proxy."""

from __future__ import annotations

import asyncio
import inspect
import threading

import grpc
import pytest

from meshregistry.spi import Seconds, Secret
from meshregistry.testing import RegistryConformance, TcpProxy
from meshregistry_etcd import EtcdConfig, meshregistry_register_registries
from meshregistry_etcd._convert import document

PASSWORD = "open sesame"


class Backend:
    """The double of etcd, behind a proxy; on a loop of its own, for its tasks come and go."""

    def __init__(self, double):
        self.double = double
        self.double.password = PASSWORD
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    async def there(self, call, *arguments, **words):
        """Call something where the double runs."""

        async def made():
            result = call(*arguments, **words)
            return await result if inspect.isawaitable(result) else result

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(made(), self._loop))

    async def __aenter__(self):
        self._thread.start()
        await self.there(self.double.start)
        self.proxy = TcpProxy("127.0.0.1", self.double.port)
        await self.proxy.__aenter__()
        return self

    async def __aexit__(self, *_):
        await self.proxy.__aexit__(None, None, None)
        await self.there(self.double.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def put(self, record):
        await self.there(self.double.put, f"{record.key}/1", document(record).decode())
        return record

    async def remove(self, key):
        if f"/meshregistry/services/{key}/1".encode() in self.double.state:
            await self.there(self.double.delete, f"{key}/1")

    async def garble(self, key):
        await self.there(self.double.put, f"{key}/1", '{"ports": [{"port": "many"}]}')

    def break_(self):
        self.proxy.break_()

    def heal(self):
        self.proxy.heal()
        self.double.password = PASSWORD

    def slow(self, seconds):
        self.proxy.slow(seconds)

    def silence(self):
        self.proxy.silence()

    def truncate(self):
        self.proxy.truncate(1500)

    def refuse_credentials(self):
        self.double.password = "another"
        self.double.tokens.clear()
        self.double.end_watches()

    def wipe(self):
        self.double.clear()
        self.double.end_watches(grpc.StatusCode.UNAVAILABLE, "the server is stopping")

    def attempts(self):
        return self.proxy.connections


class TestEtcd(RegistryConformance):
    """Our own key layout."""

    kind = meshregistry_register_registries()
    capabilities = {  # noqa: RUF012 - read only
        *("garble", "outage", "writes_in_outage", "truncate", "silence", "slow"),
        *("credentials", "wipe", "attempts"),
    }
    changes = 300  # ten thousand on the real server

    @pytest.fixture
    def backend(self, make_double):
        return Backend(make_double())

    def config(self, backend):
        return EtcdConfig(
            endpoints=(backend.proxy.address,),
            user="root",
            password=Secret(PASSWORD),
            timeout=Seconds(1.5),
            probe_interval=Seconds(1.0),
        )
