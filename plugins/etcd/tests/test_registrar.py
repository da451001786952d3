"""Registering in a double of etcd: leases, renewals, the end."""

from __future__ import annotations

from inspect import signature
from random import Random

import pytest

from meshregistry.errors import RegistryUnavailable
from meshregistry.model import EndpointKey, Hostname, ServiceKey, ServiceRecord
from meshregistry.testing import context
from meshregistry_etcd import EtcdConfig, meshregistry_register_registries

KEY = b"/meshregistry/services/shop/reviews.shop/10.0.0.1:80"


@pytest.fixture
def register(make_double, run_async):
    """``register(body)``: runs ``body(double, lease)`` with a registration of 2.5 s."""
    record = ServiceRecord.parse(
        "reviews.shop", port=80, endpoints=["10.0.0.1:80"], namespace="shop"
    )
    kind = meshregistry_register_registries()

    def call(body):
        async def main():
            async with make_double() as double:
                config = EtcdConfig(endpoints=(double.endpoint,))
                made = context(random=Random(0))
                async with kind.connect(config, made) as client:
                    registrar = kind.registrar(config, context(client=client))
                    lease = await registrar.register(record, 2.5)
                    wants_all = "registrar" in signature(body).parameters
                    await body(double, lease, *([registrar] if wants_all else []))

        run_async(main())

    return call


def test_a_registration_is_a_key_with_a_lease(register):
    """Of at least the time that was asked for, in whole seconds."""

    async def body(double, lease):
        assert {lease.id: 3} == double.leases
        assert (KEY, lease.id) == (KEY, double.state[KEY].lease)

    register(body)


def test_what_is_registered_is_followed(register, following):
    """Both ends speak the same layout."""

    async def body(double, lease):
        async with following(double) as source:
            await source.until(lambda: "shop/reviews.shop" in source.sink.records())
            await lease.deregister()
            await source.shows()

    register(body)


def test_a_renewal_keeps_it(register):
    """And writes nothing."""

    async def body(double, lease):
        before = double.revision
        await lease.renew()
        assert before == double.revision

    register(body)


def test_a_renewal_after_its_end_registers_anew(register):
    """Under a new lease."""

    async def body(double, lease):
        old = lease.id
        double.expire(old)
        await lease.renew()
        assert old != lease.id == double.state[KEY].lease

    register(body)


def test_it_ends_once(register):
    """A second time, or after its time, is no error."""

    async def body(double, lease):
        await lease.deregister()
        assert {} == double.state
        await lease.deregister()

    register(body)


def test_a_server_that_is_away_is_unavailable(register):
    """Whoever renews tries again."""

    async def body(double, lease):
        await double.stop()
        with pytest.raises(RegistryUnavailable):
            await lease.renew()
        await double.start()
        await lease.renew()

    register(body)


def test_whoever_registers_the_same_takes_it_over(register):
    """A renewal under the first lease writes the key again, so that it does not end with the other."""

    async def body(double, lease, registrar):
        record = ServiceRecord.parse(
            "reviews.shop", port=80, endpoints=["10.0.0.1:80"], namespace="shop"
        )
        other = await registrar.register(record, 10)
        assert other.id == double.state[KEY].lease
        await lease.renew()
        assert lease.id == double.state[KEY].lease != other.id
        double.expire(other.id)
        assert [KEY] == list(double.state)

    register(body)


def test_anybody_can_end_it(register):
    """By the identities of service and endpoint, without the lease; once is enough."""

    async def body(double, _lease, registrar):
        service = ServiceKey("shop", Hostname("reviews.shop"))
        await registrar.deregister(service, [EndpointKey("", "10.0.0.2", 80, "http")])
        assert [KEY] == list(double.state)
        for _ in range(2):
            await registrar.deregister(service, [EndpointKey("", "10.0.0.1", 80, "http")])
            assert {} == double.state

    register(body)
