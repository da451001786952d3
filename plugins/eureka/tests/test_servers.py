"""Facts of several servers, restarts, credentials and TLS, on doubles that live in the test."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from eureka_attempts import follower, following, started
from fake_eureka import FakeEureka, instance, published

from meshregistry.errors import RegistryAuthError, RegistryUnavailable
from meshregistry.spi import Secret
from meshregistry_eureka import EurekaConfig, open_registrar

if TYPE_CHECKING:
    from pathlib import Path


class TestStartedAgain:
    """A server that lists nothing, after there was something."""

    def test_it_is_believed_if_it_lasts(self, run_async):
        """Before, the attempt ends, and what is known is kept."""

        async def main():
            async with FakeEureka() as eureka:
                eureka.set("web", instance("web"))
                async with follower(eureka, empty_wait=30.0) as start:
                    async with start() as seen:
                        await seen.clock.sleeping()
                        eureka.wipe()
                        ended = await seen.ended()
                        assert isinstance(ended, RegistryUnavailable)
                        assert "1 instances were known" in str(ended)
                    await seen.clock.advance(20)
                    async with start() as seen:
                        assert isinstance(await seen.ended(), RegistryUnavailable)
                    await seen.clock.advance(10)
                    async with start() as seen:
                        await seen.clock.sleeping()
                        assert {} == seen.records
                        await seen.poll()
                        assert "confirm" == seen.sink.methods[-1]

        run_async(main())

    def test_a_failure_in_between_begins_the_time_anew(self, run_async):
        """For a moment at its start a server lists nothing, before it says that it is not ready."""

        async def main():
            async with FakeEureka() as eureka:
                eureka.set("web", instance("web"))
                async with follower(eureka, empty_wait=30.0) as start:
                    async with start() as seen:
                        await seen.clock.sleeping()
                        eureka.wipe()
                        await seen.ended()
                    eureka.refusals["/apps"] = 403
                    async with start() as seen:
                        await seen.ended()
                    await seen.clock.advance(300)
                    eureka.refusals.clear()
                    async with start() as seen:
                        assert "lists nothing" in str(await seen.ended())

        run_async(main())

    def test_another_server_is_followed_meanwhile(self, run_async):
        """Here one whose peer has not copied anything yet."""

        async def main():
            async with FakeEureka() as first, FakeEureka() as second:
                first.set("web", instance("web"))
                second.set("web", instance("web"))
                async with following(first, second) as seen:
                    first.wipe()
                    await seen.poll()
                    assert {"web"} == set(seen.records)
                    assert 1 == seen.counts["failovers"]

        run_async(main())

    def test_what_a_delta_takes_out_is_gone_at_once(self, run_async):
        """Also the last instance; and a registry that was always empty is just that."""

        async def main():
            async with FakeEureka() as eureka, following(eureka) as seen:
                assert {} == seen.records
                eureka.set("web", instance("web"))
                await seen.poll()
                eureka.set("web")
                await seen.poll()
                assert {} == seen.records
                for _ in range(70):
                    await seen.poll()
                assert eureka.requests["/apps"] > 1

        run_async(main())


class TestServers:
    def test_the_next_one_is_asked_when_one_fails(self, run_async):
        """And stays the one that is asked, since each change costs a full answer."""

        async def main():
            async with FakeEureka() as first, FakeEureka() as second:
                first.set("web", instance("web"))
                second.set("web", instance("web"), instance("web", "10.0.0.2"))
                async with following(first, second) as seen:
                    assert published("web", "10.0.0.1") == seen.records["web"]
                    first.refusals |= {"/apps": 500, "/apps/delta": 500}
                    await seen.poll()
                    assert published("web", "10.0.0.1", "10.0.0.2") == seen.records["web"]
                    first.refusals.clear()
                    await seen.poll()
                    assert 1 == seen.counts["failovers"]
                    assert (1, 1) == (second.requests["/apps"], second.requests["/apps/delta"])
                    assert "degrade" not in seen.sink.methods

        run_async(main())

    def test_servers_may_be_exchanged(self, run_async, tmp_path: Path):
        """In a file; one that is not in it any more is left at once."""
        file = tmp_path / "servers"

        async def main():
            async with FakeEureka() as first, FakeEureka() as second:
                second.set("web", instance("web"))
                file.write_text(first.url)
                async with following(eureka_server=Secret(file=file)) as seen:
                    file.write_text(second.url)
                    await seen.poll()
                    assert {"web"} == set(seen.records)
                    assert 0 == first.requests["/apps/delta"]

        run_async(main())

    def test_a_delta_is_asked_of_the_server_that_is_followed(self, run_async):
        """Also when a registration, by the same client, has found another one."""

        async def main():
            async with (
                FakeEureka() as first,
                FakeEureka() as second,
                following(first, second) as seen,
            ):
                first.refusals["/apps/WEB"] = 503
                config = EurekaConfig(eureka_server=Secret(f"{first.url},{second.url}"))
                registrar = open_registrar(config, seen.sink.context)
                await registrar.register(published("web", "10.0.0.1"), 10.0)
                await seen.poll()
                assert 1 == first.requests["/apps/delta"]
                assert 0 == second.requests["/apps/delta"]

        run_async(main())

    def test_if_none_answers_all_are_named(self, run_async):
        """Credentials that only one of them refuses are no reason to retry slowly."""

        async def main():
            async with (
                FakeEureka() as first,
                FakeEureka() as second,
                following(first, second) as seen,
            ):
                first.refusals |= {"/apps": 401, "/apps/delta": 401}
                second.refusals |= {"/apps": 500}
                ended = await seen.ended()
                assert RegistryUnavailable is type(ended)
                assert first.url in str(ended)
                assert second.url in str(ended)

        run_async(main())

    def test_credentials_stand_in_the_url_and_nowhere_else(self, run_async, caplog):
        """Decoded, sent as basic authentication, and in no error or log."""
        caplog.set_level("DEBUG")

        async def main():
            async with FakeEureka() as eureka:
                eureka.credentials = "me:p@ss-hidden"
                url = eureka.url.replace("://", "://me:p%40ss-hidden@")
                async with following(url) as seen:
                    eureka.credentials = "me:other"
                    ended = await seen.ended()
                    assert isinstance(ended, RegistryAuthError)
                    shown = f"{ended!r} {ended.__cause__!r} {seen.sink.calls!r} {caplog.text}"
                    assert "ss-hidden" not in shown
            async with started("http://me:p%40ss-hidden@127.0.0.1:1/eureka") as seen:
                ended = await seen.ended()
                assert isinstance(ended, RegistryUnavailable)
                assert "ss-hidden" not in f"{ended!r} {ended.__cause__!r} {caplog.text}"

        run_async(main())

    def test_credentials_are_for_the_server_that_they_are_given_for(self, run_async):
        """One to which it redirects is asked without them."""

        async def main():
            async with FakeEureka() as first, FakeEureka() as second:
                first.credentials = "me:hidden"
                first.redirect = second.url
                second.set("web", instance("web"))
                url = first.url.replace("://", "://me:hidden@")
                async with following(url) as seen:
                    assert {"web"} == set(seen.records)
                    assert ["Basic bWU6aGlkZGVu"] == first.authorizations
                    assert [""] == second.authorizations

        run_async(main())

    def test_credentials_may_be_apart(self, run_async, tmp_path: Path):
        """For servers whose URL has none; a file is read anew for each question."""
        file = tmp_path / "password"
        file.write_text("one\n")

        async def main():
            async with FakeEureka() as eureka:
                eureka.credentials = "me:one"
                options = {
                    "eureka_basic_auth_user": "me",
                    "eureka_basic_auth_password": Secret(file=file),
                }
                async with following(eureka, **options) as seen:
                    eureka.credentials = "me:two"
                    file.write_text("two\n")
                    await seen.poll()
                    assert not seen.task.done()
                    file.unlink()
                    ended = await seen.ended()
                    assert isinstance(ended, RegistryAuthError)
                    assert "eureka_basic_auth_password" in str(ended)

        run_async(main())

    def test_two_sources_do_not_meet(self, run_async):
        """Each has a client of its own, with its own credentials."""

        async def main():
            async with FakeEureka() as one, FakeEureka() as two:
                one.credentials, two.credentials = "a:1", "b:2"
                one.set("web", instance("web"))
                two.set("pay", instance("pay"))
                first = one.url.replace("://", "://a:1@")
                second = two.url.replace("://", "://b:2@")
                async with following(first) as left, following(second) as right:
                    await asyncio.gather(left.poll(), right.poll())
                    assert ({"web"}, {"pay"}) == (set(left.records), set(right.records))

        run_async(main())


def test_tls_is_checked_against_the_given_authorities(run_async, tmp_path: Path):
    """A server of another authority is not believed; one of ours is, or any if told so."""
    files = tls_files(tmp_path)

    async def main():
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(files)
        async with FakeEureka(tls) as eureka:
            async with started(eureka) as seen:
                ended = await seen.ended()
                assert isinstance(ended, RegistryUnavailable)
                assert "TLS" in str(ended)
            eureka.set("web", instance("web"))
            for options in ({"ca_file": files, "cert_file": files}, {"verify": False}):
                async with following(eureka, **options) as seen:
                    assert "web" in seen.records
            async with started(eureka, ca_file=tmp_path / "no") as seen:
                assert "ca_file" in str(await seen.ended())

    run_async(main())


def tls_files(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "eureka")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=1),
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    basic = x509.BasicConstraints(ca=True, path_length=None)
    signed = builder.add_extension(names, critical=False).add_extension(basic, critical=True)
    text = signed.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    text += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "tls.pem"
    path.write_bytes(text)
    return path
