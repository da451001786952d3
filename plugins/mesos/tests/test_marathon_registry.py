"""Facts of the kind `marathon` over the wire, on the Marathon that lives in the test."""

from __future__ import annotations

import logging

import pytest
from aiohttp import web
from fake_marathon import FakeMarathon, app, pod, published, result, task
from mesos_attempts import Attempt

import meshregistry_mesos
from meshregistry.errors import RegistryAuthError, RegistryProtocolError, RegistryUnavailable
from meshregistry.spi import Secret
from meshregistry_mesos import MarathonConfig

KIND = meshregistry_mesos.meshregistry_register_registries()[1]
WEB = published("/web", "10.0.0.1")


def attempt(*servers, **options):
    """One attempt against some servers, impatient."""
    words = {"debounce": 0.02, "timeout": 10.0} | options
    addresses = tuple(one if isinstance(one, str) else one.address for one in servers)
    return Attempt(KIND, MarathonConfig(masters=addresses, **words))


def test_the_stream_begins_before_the_listing(run_async):
    """So that nothing is missed between them; apps and pods are listed by one call each."""

    async def main():
        async with FakeMarathon() as marathon:
            marathon.set(app("/web", task("a")))
            marathon.set_pod(pod("/shop/pod", "10.0.0.2"))
            async with attempt(marathon) as run:
                await run.until(lambda: 2 == len(run.sink.records()))
                assert ["/v2/events", "/v2/apps", "/v2/pods/::status"] == marathon.calls
                embedded = marathon.queries[1].getall("embed")
                assert {"apps.tasks", "apps.deployments", "apps.readiness"} == set(embedded)
                assert "light" == marathon.queries[0]["plan-format"]

    run_async(main())


def test_an_event_has_its_app_read_again_and_no_other(run_async):
    """Several of one app in a burst, once; an app that is gone is asked for as a pod, too."""

    async def main():
        async with FakeMarathon() as marathon:
            marathon.set(app("/web", task("a")), app("/api", task("b", ip="10.0.0.2")))
            async with attempt(marathon) as run:
                await run.shows(WEB, published("/api", "10.0.0.2"))
                marathon.calls.clear()
                for ip in ("10.0.0.7", "10.0.0.8", "10.0.0.9"):
                    marathon.set(app("/web", task("a", ip=ip)))
                await run.shows(published("/web", "10.0.0.9"), published("/api", "10.0.0.2"))
                assert ["/v2/apps/web"] == marathon.calls
                marathon.calls.clear()
                marathon.remove("/web")
                await run.shows(published("/api", "10.0.0.2"))
                assert ["/v2/apps/web", "/v2/pods/web::status"] == marathon.calls

    run_async(main())


def test_pods_come_change_and_go(run_async):
    """By events, as apps do."""

    async def main():
        async with FakeMarathon() as marathon, attempt(marathon) as run:
            await run.until(lambda: "replace" in run.sink.methods)
            marathon.set_pod(pod("/shop/pod", "10.0.0.2"))
            await run.until(lambda: ["/shop/pod"] == list(run.sink.records()))
            marathon.set_pod(pod("/shop/pod", "10.0.0.2", "10.0.0.3"))
            await run.until(lambda: 2 == len(run.sink.records()["/shop/pod"].endpoints))
            marathon.remove("/shop/pod")
            await run.shows()

    run_async(main())


def test_many_apps_at_once_are_listed(run_async):
    """Above `max_apps`; a change of a group likewise."""

    async def main():
        async with FakeMarathon() as marathon, attempt(marathon, max_apps=2) as run:
            await run.until(lambda: "replace" in run.sink.methods)
            marathon.calls.clear()
            marathon.set(*(app(f"/s{n}", task(f"t{n}")) for n in range(3)))
            await run.until(lambda: 3 == len(run.sink.records()))
            assert ["/v2/apps", "/v2/pods/::status"] == marathon.calls
            marathon.apps.clear()
            marathon.tell("group_change_success", groupId="/")
            await run.shows()

    run_async(main())


def test_what_no_event_tells_a_listing_finds(run_async):
    """Every `resync`."""

    async def main():
        async with FakeMarathon() as marathon:
            marathon.set(app("/web", task("a")))
            async with attempt(marathon, resync=0.1) as run:
                await run.shows(WEB)
                marathon.apps["/web"] = app("/web", task("a", ip="10.0.0.2"))
                await run.shows(published("/web", "10.0.0.2"))

    run_async(main())


def test_a_silent_stream_is_opened_anew(run_async):
    """And everything is listed, since nobody knows what it did not tell."""

    async def main():
        async with FakeMarathon() as marathon, attempt(marathon, silence=0.1) as run:
            await run.until(lambda: run.context.counts["listings"] > 2, "listings")
            await run.until(lambda: marathon.streams == 1, "one stream")

    run_async(main())


def test_a_standby_node_sends_the_stream_to_the_leader(run_async):
    """Which is followed without credentials, and with them only if it is named."""

    async def main():
        async with FakeMarathon() as leader, FakeMarathon() as standby:
            standby.leader = leader.address
            # A standby node passes other calls on to the leader, and so has its answers.
            standby.apps = leader.apps
            leader.set(app("/web", task("a")))
            async with attempt(standby) as run:
                await run.shows(WEB)
                leader.set(app("/web", task("a", ip="10.0.0.2")))
                await run.shows(published("/web", "10.0.0.2"))
            leader.token = standby.token = "planted"
            seen = len(leader.calls)
            async with attempt(standby, token=Secret("planted")) as run:
                assert "is not among masters" in str(await run.failure())
                assert seen == len(leader.calls)
            async with attempt(standby, leader, token=Secret("planted")) as run:
                await run.shows(published("/web", "10.0.0.2"))

    run_async(main())


def test_the_next_server_is_asked_without_a_leader(run_async):
    """502 is no statement about apps."""

    async def main():
        async with FakeMarathon() as lost, FakeMarathon() as good:
            lost.has_leader = False
            good.set(app("/web", task("a")))
            async with attempt(lost, good) as run:
                await run.shows(WEB)
            async with attempt(lost) as run:
                error = await run.failure()
                assert isinstance(error, RegistryUnavailable)
                assert "502 Could not determine the current leader" in str(error)

    run_async(main())


def test_a_stream_that_does_not_begin_is_unavailable(run_async):
    """What happens before it begins would be missed."""

    async def main():
        async with FakeMarathon() as marathon:
            marathon.greets = False
            async with attempt(marathon, timeout=0.5) as run:
                error = await run.failure()
                assert isinstance(error, RegistryUnavailable)
                assert "does not begin to tell events" in str(error)

    run_async(main())


def test_health_outlives_a_leader(run_async):
    """A new one has forgotten all results: what a task's checks last said counts, in any attempt."""

    def checked(**more):
        return app("/web", task("a", **more), healthChecks=[{"protocol": "HTTP"}])

    async def main():
        async with FakeMarathon() as marathon:
            marathon.set(checked(healthCheckResults=[result(True)]))
            async with attempt(marathon) as run:
                await run.shows(WEB)
                marathon.apps["/web"] = checked(healthCheckResults=[result(None)])
                marathon.close_streams()
                await run.failure()
                run.start()
                await run.shows(WEB)
                marathon.set(checked(healthCheckResults=[result(False)]))
                await run.until(
                    lambda: "UNHEALTHY" == str(run.sink.records()["/web"].endpoints[0].health)
                )

    run_async(main())


def test_a_virtual_address_goes_with_its_label(run_async):
    """And is kept with a service that is malformed."""

    def fronted(*tasks, **labels):
        mapping = {"containerPort": 8080, "name": "http", "labels": labels}
        return app("/web", *tasks, mappings=[mapping])

    vip = "/web|front.marathon.l4lb.thisdcos.directory"

    async def main():
        async with FakeMarathon() as marathon:
            marathon.set(fronted(task("a"), VIP_0="/front:80"))
            async with attempt(marathon) as run:
                await run.until(lambda: {"/web", vip} == run.sink.records().keys())
                marathon.set(fronted(task("a", ip="none at all"), VIP_0="/front:80"))
                await run.until(lambda: 2 == len(run.errors), "both are reported")
                await run.stop()
                run.start()
                await run.until(lambda: "replace" in run.sink.methods)
                first = run.sink.calls[0]
                assert {"/web", vip} == {one.key for one in first.faulty}
                marathon.set(fronted(task("a")))
                await run.until(lambda: {"/web"} == run.sink.records().keys())

    run_async(main())


def test_an_app_that_may_not_be_seen_leads_to_a_listing(run_async):
    """Which says what may; refused credentials would end that, too."""

    async def main():
        async with FakeMarathon() as marathon:
            marathon.set(app("/web", task("a")))
            async with attempt(marathon) as run:
                await run.shows(WEB)
                marathon.forbidden.add("/web")
                marathon.calls.clear()
                marathon.set(app("/web", task("a", ip="10.0.0.2")))
                await run.shows(published("/web", "10.0.0.2"))
                assert ["/v2/apps/web", "/v2/apps", "/v2/pods/::status"] == marathon.calls

    run_async(main())


def test_labels_and_patterns_select(run_async):
    """Labels are Marathon's to compare, for apps; an event of what is not asked for is passed over."""

    async def main():
        async with FakeMarathon() as marathon:
            marathon.set(app("/web", task("a"), labels={"mesh": "yes"}), app("/api", task("b")))
            marathon.set_pod(pod("/pod", "10.0.0.3"))
            async with attempt(marathon, label="mesh==yes", pods=False) as run:
                await run.until(lambda: {"/web"} == run.sink.records().keys())
                marathon.set(app("/api", task("b"), labels={"mesh": "yes"}))
                await run.until(lambda: {"/web", "/api"} == run.sink.records().keys())
                assert "/v2/pods/::status" not in marathon.calls
            async with attempt(marathon, apps=("/w*",)) as run:
                await run.until(lambda: {"/web"} == run.sink.records().keys())
                marathon.calls.clear()
                marathon.set(app("/api", task("b", ip="10.0.0.9")))
                marathon.set(app("/web", task("a", ip="10.0.0.2")))
                await run.until(
                    lambda: (
                        ["10.0.0.2"]
                        == [one.address for one in run.sink.records()["/web"].endpoints]
                    )
                )
                assert ["/v2/apps/web"] == marathon.calls

    run_async(main())


def test_versions_without_pods_are_followed(run_async):
    """Before 1.4 there is no such path."""

    async def main():
        async with FakeMarathon() as marathon:
            marathon.has_pods = False
            marathon.set(app("/web", task("a")))
            async with attempt(marathon) as run:
                await run.shows(WEB)

    run_async(main())


def test_an_app_without_an_id_removes_nothing(run_async):
    """Nobody knows whose it is, so nothing of the listing is gone for that reason."""

    async def main():
        async with FakeMarathon() as marathon:
            marathon.apps = {"x": {"id": 7}, "/web": app("/web", task("a"))}
            async with attempt(marathon) as run:
                await run.shows(WEB)
                assert [None] == [one.key for one in run.sink.calls[0].faulty]

    run_async(main())


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"/v2/apps": []}, "it has no apps"),
        ({"/v2/apps": {"items": []}}, "it has no apps"),
        ({"/v2/apps": {"apps": []}, "/v2/pods/::status": {}}, "it is no list"),
        ({"/v2/events": "text/html"}, "streams text/html and no events"),
    ],
)
def test_another_server_is_not_marathon(run_async, answers, reason):
    """And says so, before anything is published."""

    async def main():
        async def answer(request):
            said = answers.get(request.path, {"apps": []})
            if request.path != "/v2/events":
                return web.json_response(said)
            kind = said if isinstance(said, str) else "text/event-stream"
            response = web.StreamResponse(headers={"Content-Type": kind})
            await response.prepare(request)
            await response.write(b"event: event_stream_attached\ndata: {}\n\n")
            await request.content.read()
            return response

        application = web.Application()
        application.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with attempt(f"http://127.0.0.1:{runner.addresses[0][1]}") as run:
            error = await run.failure()
            assert isinstance(error, RegistryProtocolError), repr(error)
            assert reason in str(error)
            assert "replace" not in run.sink.methods
        await runner.cleanup()

    run_async(main())


def test_a_planted_secret_stands_nowhere(run_async, caplog):
    """Neither in logs nor in errors nor in the options as they print."""

    async def main():
        async with FakeMarathon() as marathon:
            marathon.token = "other"
            async with attempt(marathon, token=Secret("planted-9")) as run:
                error = await run.failure()
                assert isinstance(error, RegistryAuthError)
                assert "refuses the credentials" in str(error)
                return f"{error!r} {run.config!r} {run.context!r} {run.sink.calls!r}"

    with caplog.at_level(logging.DEBUG):
        said = run_async(main())
    assert "planted-9" not in said + caplog.text
