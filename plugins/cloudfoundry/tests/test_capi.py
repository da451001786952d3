"""Facts of the records of ``capi``, on the double that lives in the test."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from attrs import evolve
from fake_capi import DOMAIN, INTERNAL, TCP, FakeCapi

from meshregistry.model import Health, Protocol, Resolution
from meshregistry.spi import Secret
from meshregistry.testing import RecordingSink, context
from meshregistry_cloudfoundry import CapiConfig, connect_capi, open_capi

PLANTED = "planted-secret"


class QuickClock:
    """Time as it is; whoever sleeps is noted and woken early."""

    def __init__(self):
        self.slept = []

    def now(self):
        return time.monotonic()

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(min(seconds, 0.02))


@contextlib.asynccontextmanager
async def following(capi, **options):
    """The sink of a registry that runs, and the task."""
    given = {"user": "admin", "password": Secret("good"), "timeout": 2.0, **options}
    if "client_secret" in options or "refresh_token" in options:
        given = {key: given[key] for key in given if key not in ("user", "password")}
    config = CapiConfig(api=capi.address, **given)
    made = context(clock=QuickClock())
    async with connect_capi(config, made) as client:
        made = evolve(made, client=client)
        sink = RecordingSink()
        sink.context = made
        task = asyncio.create_task(open_capi(config, made).run(sink))
        try:
            yield sink, task
        finally:
            task.cancel()
            await asyncio.wait([task])


async def ended(task):
    """What ended it."""
    async with asyncio.timeout(5):
        await asyncio.wait([task])
    return task.exception()


async def listed(capi, **options):
    """Records and faults of the first listing."""
    async with following(capi, **options) as (sink, _):
        await sink.wait_for(lambda sink: sink.calls)
        first = sink.calls[0]
        return {one.key: one for one in first.value}, {one.key: str(one) for one in first.faulty}


def endpoints(record):
    """As text."""
    return [f"{one} {one.service_port}" for one in record.endpoints]


class TestRouter:
    """Without addresses of instances: gorouter is where services answer."""

    def test_a_route_answers_at_its_own_name_or_at_the_router(self, run_async):
        """A route without a started app answers nowhere."""

        async def main():
            async with FakeCapi() as capi:
                capi.route("cart", capi.push("cart", "10.0.0.1"))
                capi.route("cart", capi.push("cart-v2", "10.0.0.2"), path="/v2")
                capi.route("off", capi.push("off", "10.0.0.3", state="STOPPED"))
                records, faults = await listed(capi)
                assert {} == faults
                assert ["cart.apps.example:80 http"] == endpoints(records["cart.apps.example"])
                assert Resolution.DNS is records["cart.apps.example"].service.resolution
                path = records["cart.apps.example/v2"]
                assert "v2._path.cart.apps.example" == path.service.host
                assert ("/v2", "cart-v2") == (
                    path.service.labels["path"],
                    path.service.labels["apps"],
                )
                assert [] == endpoints(records["off.apps.example"])
                records, _ = await listed(capi, router="10.9.9.9:8081")
                assert ["10.9.9.9:8081 http"] == endpoints(records["cart.apps.example"])
                assert Resolution.EDS is records["cart.apps.example"].service.resolution
                # Nobody asks for instances then.
                assert not [path for _, path in capi.asked if "processes" in path]

        run_async(main())

    def test_internal_routes_are_names_of_containers(self, run_async):
        """No router knows them; the platform's DNS does, and the port is the container's."""

        async def main():
            async with FakeCapi() as capi:
                app = capi.push("cart", "10.0.0.1")
                capi.route("cart", app, domain=INTERNAL)
                capi.route("old", {"app": app, "port": 9000}, domain=INTERNAL)
                records, _ = await listed(capi, router="10.9.9.9")
                assert ["cart.apps.internal:8080 http"] == endpoints(records["cart.apps.internal"])
                assert ["old.apps.internal:9000 http-9000"] == endpoints(
                    records["old.apps.internal"]
                )

        run_async(main())

    def test_tcp_routes_of_a_domain_are_ports_of_one_service(self, run_async):
        """They differ in nothing else."""

        async def main():
            async with FakeCapi() as capi:
                app = capi.push("db", "10.0.0.1")
                for port in (1024, 1025):
                    capi.route("", app, domain=TCP, protocol="tcp", port=port)
                records, _ = await listed(capi)
                (record,) = records.values()
                assert ["tcp-1024", "tcp-1025"] == [one.name for one in record.service.ports]
                assert {Protocol.TCP} == {one.protocol for one in record.service.ports}
                assert {"tcp.example:1024 tcp-1024", "tcp.example:1025 tcp-1025"} == set(
                    endpoints(record)
                )

        run_async(main())

    def test_a_wildcard_needs_a_router(self, run_async):
        """It is no address; the error says what to write."""

        async def main():
            async with FakeCapi() as capi:
                capi.route("*", capi.push("all", "10.0.0.1"))
                _, faults = await listed(capi)
                assert "write router" in faults["*.apps.example"]
                records, _ = await listed(capi, router="10.9.9.9")
                assert ["10.9.9.9:80 http"] == endpoints(records["*.apps.example"])

        run_async(main())

    def test_organizations_and_spaces_choose(self, run_async):
        """By name."""

        async def main():
            async with FakeCapi() as capi:
                capi.route("cart", capi.push("cart", "10.0.0.1"))
                for options, expected in (
                    ({"organizations": ("shop",), "spaces": ("prod",)}, 1),
                    ({"organizations": ("other",)}, 0),
                    ({"spaces": ("other",)}, 0),
                ):
                    records, _ = await listed(capi, **options)
                    assert expected == len(records)

        run_async(main())


class TestInstances:
    """With `endpoints: instances`: cells and ports, for credentials that may see them."""

    def test_states_become_health(self, run_async):
        """What cannot answer is left out, what does not yet is UNHEALTHY."""

        async def main():
            async with FakeCapi() as capi:
                app = capi.push("cart", *(f"10.0.0.{n}" for n in range(1, 8)))
                for index, changes in enumerate(
                    (
                        {},
                        {"routable": False},
                        {"routable": None},
                        {"state": "STARTING"},
                        {"state": "STOPPING"},
                        {"state": "CRASHED"},
                        {"state": "DOWN", "host": None},
                    )
                ):
                    capi.stats["process-cart"][index] |= changes
                capi.route("cart", app)
                records, _ = await listed(capi, endpoints="instances")
                assert [
                    Health.HEALTHY,
                    Health.UNHEALTHY,
                    Health.HEALTHY,
                    Health.UNHEALTHY,
                    Health.DRAINING,
                ] == [one.health for one in records["cart.apps.example"].endpoints]

        run_async(main())

    def test_weights_of_destinations_are_spread_over_their_instances(self, run_async):
        """80 to 20, however many instances each has."""

        async def main():
            async with FakeCapi() as capi:
                old = capi.push("old", "10.0.0.1", "10.0.0.2")
                new = capi.push("new", "10.0.1.1", "10.0.1.2", "10.0.1.3")
                capi.route("cart", {"app": old, "weight": 80}, {"app": new, "weight": 20})
                records, _ = await listed(capi, endpoints="instances")
                record = records["cart.apps.example"]
                by_app = {"old": 0, "new": 0}
                for one in record.endpoints:
                    by_app[one.labels["app_name"]] += one.weight
                assert 4.0 == pytest.approx(by_app["old"] / by_app["new"], rel=0.01)
                assert ("old,new", "80,20") == (
                    record.service.labels["apps"],
                    record.service.labels["weights"],
                )

        run_async(main())

    def test_ports_are_those_of_the_destination(self, run_async):
        """Of the cell, of its TLS proxy if that is asked for, or of the container inside."""

        async def main():
            async with FakeCapi() as capi:
                app = capi.push("cart", "10.0.0.1")
                capi.route("cart", {"app": app, "protocol": "http2"})
                capi.route("cart", app, domain=INTERNAL)
                capi.route("nowhere", {"app": app, "port": 9999})
                capi.route("", app, domain=TCP, protocol="tcp", port=1024)
                records, faults = await listed(capi, endpoints="instances")
                assert ["10.0.0.1:61001 http"] == endpoints(records["cart.apps.example"])
                assert Protocol.HTTP2 is records["cart.apps.example"].service.port("http").protocol
                assert ["10.255.0.1:8080 http"] == endpoints(records["cart.apps.internal"])
                assert ["10.0.0.1:61001 tcp-1024"] == endpoints(records["tcp.example"])
                assert "has no port 9999" in faults["nowhere.apps.example"]
                records, _ = await listed(capi, endpoints="instances", instance_tls=True)
                (one,) = records["cart.apps.example"].endpoints
                assert (61003, "true") == (one.port, one.labels["tls"])

        run_async(main())

    def test_addresses_that_may_not_be_seen_are_reported(self, run_async):
        """Of some roles the API hides them; that is no app without instances."""

        async def main():
            async with FakeCapi() as capi:
                app = capi.push("cart", "10.0.0.1", host=None, instance_ports=None)
                capi.route("cart", app)
                capi.route("good", capi.push("good", "10.0.0.2"))
                records, faults = await listed(capi, endpoints="instances")
                assert {"good.apps.example"} == set(records)
                assert "Space Developer" in faults["cart.apps.example"]

        run_async(main())

    def test_what_changes_between_two_requests_is_reported_and_kept(self, run_async):
        """An app or a process that is gone already: the next poll knows more."""

        async def main():
            async with FakeCapi() as capi:
                capi.route("cart", capi.push("cart", "10.0.0.1"))
                capi.route("gone", capi.push("gone", "10.0.0.2"))
                del capi.stats["process-cart"], capi.apps["app-gone"]
                records, faults = await listed(capi, endpoints="instances")
                assert {} == records
                assert "CF-ResourceNotFound" in faults["cart.apps.example"]
                assert "app-gone" in faults["gone.apps.example"]

        run_async(main())

    @pytest.mark.parametrize(
        "garbage",
        [
            {"destinations": "nonsense"},
            {"destinations": [{"app": None}]},
            {"destinations": [7]},
            {"port": "x", "protocol": "tcp"},
            {"options": ["a"]},
            {"metadata": "x"},
            {"host": "not a host"},
            {"path": "/" + "x" * 64},
            {"destinations": [{"app": {"guid": "app-cart"}, "port": "8080"}]},
            {"relationships": {"domain": {"data": {"guid": "unknown"}}}},
        ],
    )
    def test_a_malformed_route_harms_no_other(self, run_async, garbage):
        """It is named by its URL."""

        async def main():
            async with FakeCapi() as capi:
                app = capi.push("cart", "10.0.0.1")
                capi.route("good", app)
                capi.routes[capi.route("bad", app)] |= garbage
                records, faults = await listed(capi, endpoints="instances")
                assert {"good.apps.example"} == set(records)
                assert {"bad.apps.example"} == set(faults)

        run_async(main())


def test_the_domains_of_the_double_are_what_they_are_called():
    """Or the tests above would not test internal and TCP routes."""
    assert [False, True, False] == [
        FakeCapi().domains[one]["internal"] for one in (DOMAIN, INTERNAL, TCP)
    ]
