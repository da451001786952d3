"""A fast double of etcd: a real gRPC server with etcd's messages over a store in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from random import Random

import grpc
import pytest

from meshregistry import testing
from meshregistry.testing import ManualClock, RecordingSink, context, free_port
from meshregistry_etcd import EtcdConfig, meshregistry_register_registries
from meshregistry_etcd._messages import PROGRESS_REQUEST, kv, rpc

COMPACTED = "etcdserver: mvcc: required revision has been compacted"
KEPT = 50
FOLDER = "/meshregistry/services/"


class EtcdDouble(rpc.KVServicer, rpc.WatchServicer, rpc.LeaseServicer, rpc.AuthServicer):
    """One member: revisions, history, compaction, leases, tokens, watches; enter to start it.

    Attributes:
        calls: how often each method was called.
        password: of the user root; None switches authentication off.
        is_silent: questions for progress are not answered.
        is_refusing: watches are refused as not permitted.
        on_page: called before each page of a listing with the number of pages so far.
    """

    def __init__(self):
        self.calls = Counter()
        self.password = None
        self.is_silent = self.is_refusing = False
        self.on_page = lambda number: None
        self.tokens = set()
        self.port = free_port()
        self.clear()
        self._streams, self.starts = {}, {}
        self._server = None

    def clear(self):
        """Lose all data; the ids of the cluster stay, as those of a cluster of one do."""
        self.revision, self.compacted = 1, 0
        self.history, self.state, self.leases = [], {}, {}
        self._lease_ids = iter(range(7000, 8000))

    @property
    def endpoint(self):
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    async def start(self):
        """Serve, on the same port as before."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        rpc.add_KVServicer_to_server(self, self._server)
        rpc.add_WatchServicer_to_server(self, self._server)
        rpc.add_LeaseServicer_to_server(self, self._server)
        rpc.add_AuthServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.endpoint)
        await self._server.start()

    async def stop(self):
        """End every connection at once; tokens are lost."""
        self.tokens.clear()
        await self._server.stop(None)

    # --- What tests do to it ----------------------------------------------------------

    def put(self, path, value, *, lease=0, folder=FOLDER):
        """Write a key under the folder."""
        self._put((folder + path).encode(), value.encode(), lease)

    def delete(self, *paths, folder=FOLDER):
        """Delete keys in one revision."""
        self._delete([(folder + path).encode() for path in paths])

    def compact(self):
        """Forget every revision but the newest."""
        self.compacted = self.revision
        self.history = [one for one in self.history if one[0] > self.compacted]

    def expire(self, lease):
        """End a lease; its keys go with it."""
        self.leases.pop(lease)
        self._delete([key for key, pair in self.state.items() if pair.lease == lease])

    def end_watches(self, code=grpc.StatusCode.UNAVAILABLE, details="etcdserver: no leader"):
        """End every watch so."""
        for queue in self._streams.values():
            queue.put_nowait((code, details))

    @property
    def watches(self):
        """How many watches there are."""
        return len(self._streams)

    # --- The store --------------------------------------------------------------------

    def _put(self, key, value, lease):
        self.revision += 1
        before = self.state.get(key)
        pair = kv.KeyValue(
            key=key,
            value=value,
            create_revision=before.create_revision if before else self.revision,
            mod_revision=self.revision,
            version=before.version + 1 if before else 1,
            lease=lease,
        )
        self.state[key] = pair
        self._happened([kv.Event(type=kv.Event.PUT, kv=pair)])

    def _delete(self, keys):
        self.revision += 1
        for key in keys:
            del self.state[key]
        gone = [kv.KeyValue(key=key, mod_revision=self.revision) for key in keys]
        self._happened([kv.Event(type=kv.Event.DELETE, kv=one) for one in gone])

    def _happened(self, events):
        self.history.append((self.revision, events, dict(self.state)))
        if len(self.history) > KEPT:
            del self.history[:-KEPT]
            self.compacted = self.history[0][0] - 1
        for queue in self._streams.values():
            queue.put_nowait((self.revision, events))

    def _header(self):
        return rpc.ResponseHeader(cluster_id=1, member_id=1, revision=self.revision, raft_term=2)

    async def _check(self, context):
        if self.password is not None:
            token = dict(context.invocation_metadata()).get("token")
            if token is None:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: user name is empty"
                )
            if token not in self.tokens:
                await context.abort(
                    grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token"
                )

    # --- etcd's methods ---------------------------------------------------------------

    async def Range(self, request, context):  # noqa: N802 - etcd's name
        self.calls["Range"] += 1
        await self._check(context)
        self.on_page(self.calls["Range"])
        state = self.state
        if request.revision:
            if request.revision < self.compacted:
                await context.abort(grpc.StatusCode.OUT_OF_RANGE, COMPACTED)
            if request.revision < self.revision:
                older = [one for one in self.history if one[0] <= request.revision]
                state = older[-1][2] if older else {}
        # Without an end it is one key that is asked for.
        end = request.range_end or request.key + b"\0"
        found = [pair for key, pair in sorted(state.items()) if request.key <= key < end]
        page = found[: request.limit] if request.limit else found
        return rpc.RangeResponse(
            header=self._header(), kvs=page, more=len(page) < len(found), count=len(found)
        )

    async def Put(self, request, context):  # noqa: N802 - etcd's name
        self.calls["Put"] += 1
        await self._check(context)
        self._put(request.key, request.value, request.lease)
        return rpc.PutResponse(header=self._header())

    async def DeleteRange(self, request, context):  # noqa: N802 - etcd's name
        self.calls["DeleteRange"] += 1
        await self._check(context)
        if request.key in self.state:
            self._delete([request.key])
        return rpc.DeleteRangeResponse(header=self._header())

    async def Watch(self, _requests, context):  # noqa: N802 - etcd's name
        self.calls["Watch"] += 1
        metadata = dict(context.invocation_metadata())
        assert metadata["hasleader"] == "true"
        create = (await context.read()).create_request
        opened = rpc.WatchResponse(header=self._header(), created=True)
        if self.is_refusing or (
            self.password is not None and metadata.get("token") not in self.tokens
        ):
            reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
            opened.MergeFrom(rpc.WatchResponse(watch_id=-1, canceled=True, cancel_reason=reason))
            await context.write(opened)
            return
        await context.write(opened)
        if create.start_revision < self.compacted:
            await context.write(
                rpc.WatchResponse(
                    header=self._header(), canceled=True, compact_revision=self.compacted
                )
            )
            return
        queue = asyncio.Queue()
        for revision, events, _ in self.history:
            if revision >= create.start_revision:
                queue.put_nowait((revision, events))
        self.starts[queue] = create.start_revision
        reading = asyncio.ensure_future(self._requests(context, queue))
        self._streams[reading] = queue
        try:
            while True:
                what, of = await queue.get()
                if isinstance(what, grpc.StatusCode):
                    await context.abort(what, of)
                wanted = [one for one in of if create.key <= one.kv.key < create.range_end]
                if wanted or not of:
                    header = self._header()
                    header.revision = what or self.revision
                    await context.write(rpc.WatchResponse(header=header, events=wanted))
        finally:
            del self._streams[reading], self.starts[queue]
            reading.cancel()

    async def _requests(self, context, queue):
        while (request := await context.read()) is not grpc.aio.EOF:
            assert request == PROGRESS_REQUEST
            self.calls["progress"] += 1
            # etcd 3.5.8 and later are silent to a watch that begins in the future.
            if not self.is_silent and self.revision >= self.starts[queue]:
                queue.put_nowait((0, ()))

    async def LeaseGrant(self, request, context):  # noqa: N802 - etcd's name
        await self._check(context)
        lease = next(self._lease_ids)
        self.leases[lease] = request.TTL
        return rpc.LeaseGrantResponse(ID=lease, TTL=request.TTL)

    async def LeaseRevoke(self, request, context):  # noqa: N802 - etcd's name
        await self._check(context)
        if request.ID not in self.leases:
            await context.abort(grpc.StatusCode.NOT_FOUND, "etcdserver: requested lease not found")
        self.expire(request.ID)
        return rpc.LeaseRevokeResponse(header=self._header())

    async def LeaseKeepAlive(self, _requests, context):  # noqa: N802 - etcd's name
        await self._check(context)
        request = await context.read()
        ttl = self.leases.get(request.ID, 0)
        await context.write(rpc.LeaseKeepAliveResponse(ID=request.ID, TTL=ttl))

    async def Authenticate(self, request, context):  # noqa: N802 - etcd's name
        self.calls["Authenticate"] += 1
        if self.password is None:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                "etcdserver: authentication is not enabled",
            )
        if (request.name, request.password) != ("root", self.password):
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                "etcdserver: authentication failed, invalid user ID or password",
            )
        token = f"token-{self.calls['Authenticate']}"
        self.tokens.add(token)
        return rpc.AuthenticateResponse(token=token)


class Followed:
    """The registry of a source while it runs.

    Attributes:
        sink: what it has published.
        clock: its time.
        context: what it was given.
        task: its run.
    """

    def __init__(self, config, client, clock):
        self.sink, self.clock = RecordingSink(), clock
        self.context = context(clock=clock, client=client)
        self.client = client
        kind = meshregistry_register_registries()
        self.task = asyncio.create_task(kind.open(config, self.context).run(self.sink))

    async def shows(self, **expected):
        """Wait until these hosts (an underscore is a dot) have exactly these endpoints."""
        wanted = {host.replace("_", "."): sorted(found) for host, found in expected.items()}

        def is_so(sink):
            return wanted == {
                key: sorted(str(one) for one in record.endpoints)
                for key, record in sink.records().items()
            }

        await self.until(lambda: is_so(self.sink))

    async def until(self, holds):
        """Wait for a condition; if the run ends first, raise what it raised."""
        waiting = asyncio.ensure_future(_until(holds))
        await asyncio.wait({self.task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.task.done():
            self.task.result()
        await asyncio.gather(waiting, return_exceptions=True)
        assert holds(), self.sink.calls


async def _until(holds):
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - any condition, of a server or of a sink
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def following(*doubles, **options):
    """Follow these members as one cluster, with a clock that is advanced by hand."""
    clock = options.pop("clock", None) or ManualClock()
    config = EtcdConfig(endpoints=tuple(double.endpoint for double in doubles), **options)
    kind = meshregistry_register_registries()
    async with kind.connect(config, context(clock=clock, random=Random(1))) as client:
        client._index = 0
        followed = Followed(config, client, clock)
        try:
            yield followed
        finally:
            followed.task.cancel()
            await asyncio.gather(followed.task, return_exceptions=True)


@pytest.fixture(name="following")
def _following():
    return following


@pytest.fixture
def make_double():
    """The class of the double."""
    return EtcdDouble


@pytest.fixture
def document():
    """``document("10.0.0.1:80", …)``: a value of our own layout."""

    def make(*endpoints):
        ends = ", ".join(f'"{one}"' for one in endpoints)
        return f'{{"ports": [{{"port": 80}}], "endpoints": [{ends}]}}'

    return make


@pytest.fixture
def run_async():
    """Runs a coroutine on a loop of its own; a leaked task, an unhandled error, a hang fail."""
    return testing.run_async
