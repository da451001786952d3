"""The registry kind ``etcd`` on a real etcd: what operators do to it, and the catalog after it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import signal
import statistics
import sys
import time
import tracemalloc
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

pytest.importorskip(
    "meshregistry_etcd", reason="the plugin is not installed: pip install ./plugins/etcd"
)

from meshregistry import Pilot, ServiceRecord, Settings
from meshregistry.aggregate import SystemClock
from meshregistry.pilot import registered
from meshregistry.spi import Seconds, Secret
from meshregistry.testing import RegistryConformance, TcpProxy, context
from meshregistry_etcd import EtcdConfig, meshregistry_register_registries
from meshregistry_etcd._errors import Compacted
from meshregistry_etcd._messages import rpc
from servers.etcd import Etcd, find_built_etcd, install_etcd, peer_url
from servers.process import ChildProcess

FOLDER = "/meshregistry/services/"
KIND = meshregistry_register_registries()
TTL = 2


@pytest.fixture(scope="session", params=["wheel", "built"])
def etcd_program(request) -> Path:
    """The program of the wheel, and the one that was built for Kubernetes if it is there."""
    if request.param == "built":
        program = find_built_etcd()
        if program is None:
            pytest.skip("no etcd was built: building Kubernetes' servers makes one")
        return program
    try:
        return install_etcd()
    except RuntimeError as error:
        pytest.skip(str(error))


def value(*endpoints: str) -> bytes:
    """A document of our own layout."""
    ends = ", ".join(f'"{one}"' for one in endpoints)
    return f'{{"ports": [{{"port": 80}}], "endpoints": [{ends}]}}'.encode()


class Writer:
    """What operators do with etcdctl, through the messages of etcd."""

    def __init__(self, client):
        self._client, self.rpc = client, rpc

    async def put(
        self, path: str, *endpoints: str, lease: int = 0, raw: bytes | None = None
    ) -> int:
        """Write a key; the revision."""
        content = value(*endpoints) if raw is None else raw
        request = self.rpc.PutRequest(key=(FOLDER + path).encode(), value=content, lease=lease)
        return (await self._client.ask("KV.Put", request)).header.revision

    async def delete(self, path: str) -> int:
        """Remove a key; the revision."""
        request = self.rpc.DeleteRangeRequest(key=(FOLDER + path).encode())
        return (await self._client.ask("KV.DeleteRange", request)).header.revision

    async def compact(self, revision: int) -> None:
        """Forget what was before a revision."""
        request = self.rpc.CompactionRequest(revision=revision, physical=True)
        await self._client.ask("KV.Compact", request)

    async def count(self) -> int:
        """How many keys there are."""
        request = rpc.RangeRequest(key=FOLDER.encode(), range_end=b"0", count_only=True)
        return (await self._client.ask("KV.Range", request)).count

    async def grant(self, seconds: int) -> int:
        """A lease."""
        return (
            await self._client.ask("Lease.LeaseGrant", self.rpc.LeaseGrantRequest(TTL=seconds))
        ).ID

    async def enable_auth(self, password: str) -> None:
        """The user root, and authentication on."""
        rpc = self.rpc
        await self._client.ask(
            "Auth.UserAdd", rpc.AuthUserAddRequest(name="root", password=password)
        )
        await self._client.ask("Auth.RoleAdd", rpc.AuthRoleAddRequest(name="root"))
        await self._client.ask(
            "Auth.UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root")
        )
        await self._client.ask("Auth.AuthEnable", rpc.AuthEnableRequest())


@contextlib.asynccontextmanager
async def writing(*endpoints: str, **options):
    """A writer to these endpoints."""
    config = EtcdConfig(endpoints=endpoints, **options)
    async with KIND.connect(config, context(clock=SystemClock(), random=Random(0))) as client:
        yield Writer(client)


def settings(*endpoints: str, **options) -> Settings:
    """Settings of one source."""
    # What the adapter says is to be seen, also when that is a loss of much.
    source = {"id": "etcd", "kind": "etcd", "endpoints": list(endpoints), "guard": False, **options}
    return Settings.from_dict({"sources": [source]})


@contextlib.asynccontextmanager
async def following(*endpoints: str, **options):
    """A pilot that follows them."""
    async with Pilot(settings(*endpoints, **options), serve=False) as pilot:
        await pilot.synced(timeout=20)
        yield pilot


def shown(pilot) -> dict[str, list[str]]:
    """What the catalog has: endpoints by host."""
    return {
        str(entry.service.host): sorted(str(one) for one in entry.endpoints)
        for entry in pilot.merged
    }


async def until(pilot, expected, *, within: float = 20.0) -> float:
    """Wait for the catalog; the seconds that it took."""
    began = time.monotonic()
    while shown(pilot) != expected:
        if time.monotonic() - began > within:
            raise AssertionError(f"{shown(pilot)} is not {expected} after {within} s")
        await asyncio.sleep(0.001)
    return time.monotonic() - began


def test_changes_arrive_at_once(etcd_program, tmp_path, run_async):
    """Put, change, delete; the time from change to catalog is printed."""

    async def main():
        async with Etcd(etcd_program, tmp_path) as etcd, writing(etcd.endpoint) as writer:
            await writer.put("a.lab/1", "10.0.0.1:80")
            async with following(etcd.endpoint) as pilot:
                await until(pilot, {"a.lab": ["10.0.0.1:80"]})
                took = []
                for number in range(2, 102):
                    await writer.put("a.lab/1", f"10.0.0.{number}:80")
                    took.append(await until(pilot, {"a.lab": [f"10.0.0.{number}:80"]}))
                    await asyncio.sleep(0.06)  # more than the least time between two publications
                await writer.delete("a.lab/1")
                await until(pilot, {})
                print(
                    f"\netcd: change to catalog p50 {statistics.median(took) * 1000:.1f} ms, "
                    f"worst of {len(took)} {max(took) * 1000:.1f} ms"
                )
                assert statistics.median(took) < 0.5

    run_async(main())


def test_an_idle_source_asks_seldom(etcd_program, tmp_path, run_async):
    """A sign of life every ten seconds, and nothing else; requests per minute are printed."""

    async def main():
        async with Etcd(etcd_program, tmp_path) as etcd, following(etcd.endpoint):
            await asyncio.sleep(1)
            before = await etcd.received_requests()
            await asyncio.sleep(21)
            asked = await etcd.received_requests() - before
            print(f"\netcd: {asked * 60 / 21:.0f} requests a minute when idle")
            assert asked <= 3

    run_async(main())


def test_a_lease_that_ends_removes(etcd_program, tmp_path, run_async):
    """After its time, without anybody deleting anything."""

    async def main():
        async with Etcd(etcd_program, tmp_path) as etcd, writing(etcd.endpoint) as writer:
            lease = await writer.grant(1)
            await writer.put("a.lab/1", "10.0.0.1:80", lease=lease)
            async with following(etcd.endpoint) as pilot:
                await until(pilot, {"a.lab": ["10.0.0.1:80"]})
                print(f"\netcd: a lease of 1 s was gone after {await until(pilot, {}):.1f} s")

    run_async(main())


def test_a_killed_server_takes_nothing_along(etcd_program, tmp_path, run_async):
    """Kill -9: everything stays; started again: it goes on; wiped: its emptiness is believed."""

    async def main():
        async with Etcd(etcd_program, tmp_path) as etcd, writing(etcd.endpoint) as writer:
            await writer.put("a.lab/1", "10.0.0.1:80")
            async with following(etcd.endpoint) as pilot:
                await etcd.kill()
                await asyncio.sleep(1.5)
                assert {"a.lab": ["10.0.0.1:80"]} == shown(pilot)
                (status,) = pilot.sources()
                assert "STALE" == str(status.condition)
                await etcd.start()
                await writer.put("b.lab/1", "10.0.0.2:80")
                took = await until(pilot, {"a.lab": ["10.0.0.1:80"], "b.lab": ["10.0.0.2:80"]})
                print(f"\netcd: {took:.2f} s after the restart of a killed server")
                await etcd.kill()
                etcd.wipe()
                await etcd.start()
                for number in range(9):
                    await writer.put("c.lab/1", f"10.0.0.{number}:80")
                took = await until(pilot, {"c.lab": ["10.0.0.8:80"]})
                print(f"etcd: {took:.2f} s after its restart without data")

    run_async(main())


def test_a_compaction_leaves_no_gap(etcd_program, tmp_path, run_async):
    """Changed and compacted while the connection was down: the difference is found."""

    async def main():
        async with (
            Etcd(etcd_program, tmp_path) as etcd,
            TcpProxy("127.0.0.1", etcd.port) as proxy,
            writing(etcd.endpoint) as writer,
        ):
            await writer.put("a.lab/1", "10.0.0.1:80")
            await writer.put("b.lab/1", "10.0.0.2:80")
            async with following(proxy.address) as pilot:
                proxy.break_()
                await writer.delete("a.lab/1")
                await writer.compact(await writer.put("c.lab/1", "10.0.0.3:80"))
                proxy.heal()
                took = await until(pilot, {"b.lab": ["10.0.0.2:80"], "c.lab": ["10.0.0.3:80"]})
                print(f"\netcd: {took:.2f} s after an outage with a compaction")

    run_async(main())


def test_a_watch_below_the_compaction_lists_again(etcd_program, tmp_path, run_async):
    """Etcd's own answer to such a watch is understood."""

    async def main():
        async with Etcd(etcd_program, tmp_path) as etcd, writing(etcd.endpoint) as writer:
            first = await writer.put("a.lab/1", "10.0.0.1:80")
            await writer.put("a.lab/1", "10.0.0.2:80")
            await writer.compact(await writer.put("a.lab/1", "10.0.0.3:80"))
            with pytest.raises(Compacted):
                async with writer._client.watch(FOLDER, first) as watch:
                    await watch.responses()
            with pytest.raises(Compacted):
                await writer._client.ask(
                    "KV.Range",
                    writer.rpc.RangeRequest(key=b"a", range_end=b"b", revision=first),
                )

    run_async(main())


def test_a_token_that_has_ended_is_renewed(etcd_program, tmp_path, run_async):
    """Tokens live for two seconds; after an outage the source signs in again by itself."""

    async def main():
        async with (
            Etcd(etcd_program, tmp_path, "--auth-token-ttl", str(TTL)) as etcd,
            TcpProxy("127.0.0.1", etcd.port) as proxy,
        ):
            async with writing(etcd.endpoint) as writer:
                await writer.enable_auth("open sesame")
            account = {"user": "root", "password": Secret("open sesame")}
            async with writing(etcd.endpoint, **account) as writer:
                await writer.put("a.lab/1", "10.0.0.1:80")
                plain = {"user": "root", "password": "open sesame"}
                async with following(proxy.address, **plain) as pilot:
                    await until(pilot, {"a.lab": ["10.0.0.1:80"]})
                    await asyncio.sleep(2 * TTL)
                    proxy.break_()
                    proxy.heal()
                    await writer.put("b.lab/1", "10.0.0.2:80")
                    await until(pilot, {"a.lab": ["10.0.0.1:80"], "b.lab": ["10.0.0.2:80"]})
            async with Pilot(
                settings(etcd.endpoint, user="root", password="wrong"), serve=False
            ) as pilot:
                while "FAILED" != str(pilot.sources()[0].condition):
                    await asyncio.sleep(0.01)
                assert "authentication failed" in str(pilot.sources()[0].error)

    run_async(main())


def test_a_dead_member_is_passed_over(etcd_program, tmp_path, run_async):
    """Three members; the one that is followed is killed, and changes keep arriving."""

    async def main():
        peers = {f"m{n}": peer_url() for n in range(3)}
        members = [Etcd(etcd_program, tmp_path / name, name=name, peers=peers) for name in peers]
        async with contextlib.AsyncExitStack() as stack:
            for member in members:
                await member.start(is_waiting=False)
                stack.push_async_callback(member.stop)
            for member in members:
                await member.ready()
            endpoints = [member.endpoint for member in members]
            async with writing(*endpoints) as writer, following(*endpoints) as pilot:
                await writer.put("a.lab/1", "10.0.0.1:80")
                await until(pilot, {"a.lab": ["10.0.0.1:80"]})
                for number, member in enumerate(members, start=2):
                    await member.kill()
                    # With one member gone writes may wait for the election of a leader.
                    while True:
                        with contextlib.suppress(Exception):
                            await writer.put("a.lab/1", f"10.0.0.{number}:80")
                            break
                        await asyncio.sleep(0.05)
                    took = await until(pilot, {"a.lab": [f"10.0.0.{number}:80"]})
                    print(f"\netcd: {took:.2f} s after a write with a member killed")
                    await member.start()

    run_async(main(), timeout=120)


def test_a_thousand_services_of_ten(etcd_program, tmp_path, run_async):
    """Ten thousand keys in pages of one revision; time and memory are printed."""

    async def main():
        async with Etcd(etcd_program, tmp_path) as etcd, writing(etcd.endpoint) as writer:
            for number in range(1000):
                await asyncio.gather(
                    *(
                        writer.put(f"s{number}.lab/{n}", f"10.{number >> 8}.{number & 255}.{n}:80")
                        for n in range(10)
                    )
                )
            tracemalloc.start()
            try:
                began = time.monotonic()
                async with following(etcd.endpoint) as pilot:
                    took = time.monotonic() - began
                    assert 1000 == len(pilot.merged)
                    assert {10} == {len(entry.endpoints) for entry in pilot.merged}
                    held, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            print(f"\netcd: 1,000 services of 10: {took:.1f} s (traced), {held / 1e6:.1f} MB")
            assert held < 60e6

    run_async(main(), timeout=120)


def test_tls_with_certificates_of_both_sides(etcd_program, tmp_path, run_async):
    """The server's is checked against ca_cert, the client's is sent."""
    ca, cert, key = certificate(tmp_path)
    arguments = ["--cert-file", cert, "--key-file", key, "--trusted-ca-file", ca]
    files = {"ca_cert": Path(ca), "cert_cert": Path(cert), "cert_key": Path(key)}

    async def main():
        async with Etcd(etcd_program, tmp_path / "etcd", *arguments, "--client-cert-auth") as etcd:
            async with writing(etcd.endpoint, **files) as writer:
                await writer.put("a.lab/1", "10.0.0.1:80")
            texts = {option: str(path) for option, path in files.items()}
            async with following(f"https://{etcd.endpoint}", **texts) as pilot:
                await until(pilot, {"a.lab": ["10.0.0.1:80"]})

    run_async(main())


class TestRegistrar:
    """What is registered, and how it ends."""

    def test_it_is_gone_when_the_process_dies(self, etcd_program, tmp_path, run_async):
        """SIGTERM takes it back at once; kill -9 leaves it to the lease."""

        async def main():
            async with Etcd(etcd_program, tmp_path / "etcd") as etcd:
                mesh = tmp_path / "mesh.yaml"
                mesh.write_text(
                    f"sources: [{{id: etcd, kind: etcd, endpoints: ['{etcd.endpoint}']}}]\n"
                )
                command = [
                    *(sys.executable, "-m", "meshregistry", "register", "etcd", "reviews.shop"),
                    *("--port", "9080", "--endpoint", "10.0.0.1:9080", "--label", "version=v1"),
                    *("--ttl", "2s", "-c", str(mesh)),
                ]
                async with following(etcd.endpoint) as pilot:
                    there = {"reviews.shop": ["10.0.0.1:9080"]}
                    process = ChildProcess(command, log=tmp_path / "log")
                    async with process:
                        await until(pilot, there)
                        await asyncio.sleep(5)
                        assert there == shown(pilot), "renewed beyond its time to live"
                        assert 0 == await process.stop()
                        took = await until(pilot, {})
                        print(f"\netcd: deregistered {took * 1000:.0f} ms after SIGTERM")
                    async with ChildProcess(command, log=tmp_path / "log") as process:
                        await until(pilot, there)
                        await process.stop(signal.SIGKILL)
                        print(f"etcd: gone {await until(pilot, {}):.1f} s after kill -9, ttl 2 s")

        run_async(main())

    def test_it_survives_a_server_without_data(self, etcd_program, tmp_path, run_async):
        """A renewal that finds no lease registers anew; the context takes it back."""

        async def main():
            record = ServiceRecord.parse("reviews.shop", port=80, endpoints=["10.0.0.1:80"])
            async with (
                Etcd(etcd_program, tmp_path) as etcd,
                writing(etcd.endpoint) as writer,
                following(etcd.endpoint) as pilot,
            ):
                async with registered(settings(etcd.endpoint), "etcd", record, ttl=2.0):
                    await until(pilot, {"reviews.shop": ["10.0.0.1:80"]})
                    await etcd.kill()
                    etcd.wipe()
                    await etcd.start()
                    while await writer.count() == 0:
                        await asyncio.sleep(0.05)
                    await until(pilot, {"reviews.shop": ["10.0.0.1:80"]})
                await until(pilot, {})

        run_async(main())


def certificate(folder: Path) -> tuple[str, str, str]:
    """A certificate for 127.0.0.1 that is its own authority, for both sides; and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd test")])
    now = dt.datetime.now(dt.UTC)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage(usages), False)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(cert), str(cert), str(secret)


class Backend:
    """A real etcd behind a proxy, for the contract of every registry."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._etcd = Etcd(program, folder)

    async def __aenter__(self):
        await self._stack.enter_async_context(self._etcd)
        self._proxy = await self._stack.enter_async_context(TcpProxy("127.0.0.1", self._etcd.port))
        self._writer = await self._stack.enter_async_context(writing(self._etcd.endpoint))
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    @property
    def address(self) -> str:
        return self._proxy.address

    async def put(self, record):
        (endpoints,) = [tuple(str(one) for one in record.endpoints)]
        raw = value(*endpoints).replace(b'"port": 80', b'"port": 8080')
        await self._writer.put(f"{record.key}/1", raw=raw)
        return record

    async def remove(self, key):
        await self._writer.delete(f"{key}/1")

    async def garble(self, key):
        await self._writer.put(f"{key}/1", raw=b'{"ports": 1}')

    async def wipe(self):
        await self._etcd.kill()
        self._etcd.wipe()
        await self._etcd.start()

    def break_(self):
        self._proxy.break_()

    def heal(self):
        self._proxy.heal()

    def slow(self, seconds):
        self._proxy.slow(seconds)

    def silence(self):
        self._proxy.silence()

    def truncate(self):
        self._proxy.truncate(1500)

    def attempts(self):
        return self._proxy.connections


class TestContract(RegistryConformance):
    """Every rule of the kit, on the real server."""

    kind = KIND
    capabilities = {  # noqa: RUF012 - read only
        *("garble", "outage", "writes_in_outage", "truncate", "silence", "slow"),
        *("wipe", "attempts", "atomic"),
    }
    timeout = 240.0
    changes = 2_000

    @pytest.fixture
    def backend(self, etcd_program, tmp_path):
        return Backend(etcd_program, tmp_path)

    def config(self, backend):
        return EtcdConfig(
            endpoints=(backend.address,), timeout=Seconds(1.5), probe_interval=Seconds(1.0)
        )
