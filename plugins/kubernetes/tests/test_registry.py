"""The run of a source against the API server that lives in the test."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fake_api_server import FakeApiServer, endpoint, node, pod, service, slice_, status

from meshregistry.errors import RegistryAuthError, RegistryProtocolError, RegistryUnavailable
from meshregistry.testing import RecordingSink, SystemClock, context
from meshregistry_kubernetes import KubernetesConfig, meshregistry_register_registries
from meshregistry_kubernetes._config import check


@pytest.fixture
def cluster(tmp_path):
    """A cluster with one service, one pod and one node, and its kubeconfig."""

    @asynccontextmanager
    async def start():
        async with FakeApiServer() as server:
            server.kubeconfig(tmp_path / "kubeconfig")
            server.put("services", service("a"))
            server.put("endpointslices", slice_("a", endpoint("10.0.0.1", "p", "n")))
            server.put("pods", pod("p", version="v1"))
            server.put("nodes", node("n", topology_kubernetes_io__zone="z"))
            yield server

    return start


def opened(**options):
    """A registry as the core opens it; relative paths are relative to the settings file."""
    base_path = options.pop("base_path")
    kind = meshregistry_register_registries()
    words = {"kubeconfig": Path("kubeconfig"), "retry_max": 0.2, **options}
    return kind.open(KubernetesConfig(**words), context(clock=SystemClock(), base_path=base_path))


@asynccontextmanager
async def followed(base_path, **options):
    """The sink of a registry that runs; a fault of the run is raised on leaving."""
    sink = RecordingSink()
    task = asyncio.create_task(opened(base_path=base_path, **options).run(sink))
    try:
        await sink.wait_for(lambda sink: task.done() or "replace" in sink.methods)
        yield sink
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def addresses(sink, key="default/a"):
    """What is held of a service."""
    record = sink.records().get(key)
    return None if record is None else [one.address for one in record.endpoints]


def leaf(group):
    """The one error in nested groups."""
    while isinstance(group, BaseExceptionGroup):
        (group,) = group.exceptions
    return group


def refused(run_async, cluster, base_path, prepare, **options):
    """The error with which a run ends."""

    async def main():
        async with cluster() as server:
            prepare(server)
            await opened(base_path=base_path, **options).run(RecordingSink())

    with pytest.raises(Exception) as caught:  # noqa: PT011 - the tests look at its leaf
        run_async(main())
    return leaf(caught.value)


class TestFollowing:
    def test_a_listing_is_published_whole_and_changes_after_it(self, run_async, cluster, tmp_path):
        """One replace with labels and locality joined, then whole records."""

        async def main():
            async with cluster() as server, followed(tmp_path, page_size=1) as sink:
                assert "replace" == sink.methods[0]
                (one,) = sink.calls[0].value[0].endpoints
                assert ("v1", "z") == (one.labels["version"], one.locality.zone)
                server.put("services", service("b"))
                server.put("endpointslices", slice_("a", endpoint("10.0.0.2")))
                server.remove("services", "b")
                await sink.wait_for(lambda sink: addresses(sink) == ["10.0.0.2"])
                await sink.wait_for(lambda sink: "default/b" not in sink.records())
                assert 1 == sink.methods.count("replace")

        run_async(main())

    def test_pages_of_a_big_listing_make_one_publication(self, run_async, cluster, tmp_path):
        """However many pages there are."""

        async def main():
            async with cluster() as server:
                for number in range(25):
                    server.put("services", service(f"s{number}"))
                async with followed(tmp_path, page_size=10) as sink:
                    assert 26 == len(sink.records())
                    assert 2 == sum("continue" in q for r, q in server.requests if r == "services")

        run_async(main())

    @pytest.mark.parametrize("is_strict", [True, False])
    def test_expiry_leads_to_the_net_difference(self, run_async, cluster, tmp_path, is_strict):
        """Refused by HTTP or inside the watch: listed anew, deletions found, nothing flaps."""

        async def main():
            async with cluster() as server, followed(tmp_path) as sink:
                server.put("services", service("gone"))
                await sink.wait_for(lambda sink: "default/gone" in sink.records())
                await server.watched(4)
                server.is_strict = is_strict
                calls = len(sink.calls)
                server.remove("services", "gone")
                server.put("endpointslices", slice_("a", endpoint("10.0.0.9")))
                server.expire()
                await sink.wait_for(lambda sink: "default/gone" not in sink.records())
                await sink.wait_for(lambda sink: addresses(sink) == ["10.0.0.9"])
                told = {call.method for call in sink.calls[calls:]}
                assert told <= {"upsert", "remove", "confirm"}

        run_async(main())

    def test_a_restart_is_bridged_without_a_new_listing(self, run_async, cluster, tmp_path):
        """What changed meanwhile comes from the history; data is stale, then confirmed."""

        async def main():
            async with cluster() as server, followed(tmp_path) as sink:
                await server.watched(4)
                listings = server.asked("services", limit="500")
                await server.down()
                server.put("endpointslices", slice_("a", endpoint("10.0.0.5")))
                await sink.wait_for(lambda sink: "degrade" in sink.methods)
                assert isinstance(
                    next(c.value for c in sink.calls if c.method == "degrade"), RegistryUnavailable
                )
                calls = len(sink.calls)
                await server.up()
                await sink.wait_for(lambda sink: addresses(sink) == ["10.0.0.5"])
                await sink.wait_for(lambda sink: "confirm" in sink.methods[calls:])
                assert listings == server.asked("services", limit="500")

        run_async(main())

    def test_bookmarks_confirm(self, run_async, cluster, tmp_path):
        """A quiet cluster is no stale one."""

        async def main():
            async with cluster() as server, followed(tmp_path) as sink:
                await server.watched(4)
                await sink.wait_for(lambda sink: "confirm" in sink.methods)
                calls = len(sink.calls)
                server.bookmark()
                await sink.wait_for(lambda sink: len(sink.calls) > calls)
                assert {"confirm"} == set(sink.methods[calls:])

        run_async(main())

    def test_a_busy_server_is_waited_for(self, run_async, cluster, tmp_path):
        """429 and 500 in the middle of life: the same place is asked again."""

        async def main():
            async with cluster() as server, followed(tmp_path) as sink:
                await server.watched(4)
                listings = server.asked("services", limit="500")
                server.refusals["services"] = [status(500), status(503)]
                server.close_watches()
                server.put("services", service("late"))
                await sink.wait_for(lambda sink: "default/late" in sink.records())
                assert listings == server.asked("services", limit="500")

        run_async(main())

    def test_a_token_that_was_renewed_is_read_again(self, run_async, cluster, tmp_path):
        """Refused once, the kubeconfig is read anew; nobody notices."""

        async def main():
            async with cluster() as server, followed(tmp_path) as sink:
                await server.watched(4)
                server.token = "renewed"
                server.kubeconfig(tmp_path / "kubeconfig", token="renewed")
                server.close_watches()
                server.put("services", service("late"))
                await sink.wait_for(lambda sink: "default/late" in sink.records())
                assert "degrade" not in sink.methods

        run_async(main())


class TestChoosing:
    def test_the_server_chooses(self, run_async, cluster, tmp_path):
        """Selectors and namespaces are in the requests, so what is not wanted is not sent."""

        async def main():
            async with cluster() as server:
                server.put("services", service("b", labels={"mesh": "yes"}))
                server.put("services", service("c", "other", labels={"mesh": "yes"}))
                options = {"label_selector": "mesh=yes", "exclude_namespaces": ("other",)}
                async with followed(tmp_path, **options) as sink:
                    assert {"default/b"} == set(sink.records())
                    outside = "metadata.namespace!=other"
                    assert server.asked("services", labelSelector="mesh=yes", fieldSelector=outside)
                    assert server.asked(
                        "endpointslices",
                        labelSelector="kubernetes.io/service-name",
                        fieldSelector=outside,
                    )

        run_async(main())

    def test_named_namespaces_need_no_right_at_cluster_scope(self, run_async, cluster, tmp_path):
        """Each is listed by itself, and nodes are not read."""

        async def main():
            async with cluster() as server:
                server.put("services", service("b", "other"))
                async with followed(tmp_path, namespaces=("default", "other")) as sink:
                    assert {"default/a", "other/b"} == set(sink.records())
                    assert 0 == server.asked("nodes")
                    await server.watched(6)

        run_async(main())

    def test_namespaces_may_be_selected_by_label(self, run_async, cluster, tmp_path):
        """One that enters the selection brings its services."""

        async def main():
            selected = followed(tmp_path, namespace_selector="mesh=yes")
            async with cluster() as server, selected as sink:
                assert {} == sink.records()
                labels = {"mesh": "yes"}
                server.put("namespaces", {"metadata": {"name": "default", "labels": labels}})
                await sink.wait_for(lambda sink: set(sink.records()) == {"default/a"})

        run_async(main())

    def test_endpoints_are_read_where_slices_are_absent(self, run_async, cluster, tmp_path):
        """A server before 1.21 does not know the group."""

        async def main():
            async with cluster() as server:
                server.absent.add("endpointslices")
                subset = {"addresses": [{"ip": "10.0.0.7"}], "ports": [{"name": "http", "port": 1}]}
                metadata = {"name": "a", "namespace": "default"}
                server.put("endpoints", {"metadata": metadata, "subsets": [subset]})
                async with followed(tmp_path) as sink:
                    assert ["10.0.0.7"] == addresses(sink)

        run_async(main())


class TestRefusals:
    def test_a_missing_right_is_named(self, run_async, cluster, tmp_path):
        """Verb, resource and what the server said."""

        def prepare(server):
            server.refusals["pods"] = [status(403, "Forbidden", 'User "x" cannot list pods')] * 9

        error = refused(run_async, cluster, tmp_path, prepare)
        assert isinstance(error, RegistryAuthError)
        assert 'forbids to list pods at the cluster scope: User "x" cannot list pods' in str(error)

    def test_refused_credentials(self, run_async, cluster, tmp_path):
        """Reading them again did not help."""

        def prepare(server):
            server.token = "other"

        error = refused(run_async, cluster, tmp_path, prepare)
        assert isinstance(error, RegistryAuthError)
        assert "does not accept the credentials" in str(error)

    def test_a_start_in_an_outage_ends_the_run(self, run_async, cluster, tmp_path):
        """The core tries again."""

        def prepare(server):
            server.refusals["services"] = [status(503)] * 9

        assert isinstance(refused(run_async, cluster, tmp_path, prepare), RegistryUnavailable)

    def test_a_wrong_selector_is_not_retried_here(self, run_async, cluster, tmp_path):
        """Asking again would not mend it."""

        def prepare(server):
            server.refusals["services"] = [status(400, "BadRequest", "unable to parse")]

        error = refused(run_async, cluster, tmp_path, prepare, label_selector="=")
        assert isinstance(error, RegistryProtocolError)
        assert "unable to parse" in str(error)

    @pytest.mark.parametrize("options", [{"kubeconfig": Path("absent")}, {"context": "absent"}])
    def test_a_wrong_kubeconfig_says_what_is_missing(self, run_async, cluster, tmp_path, options):
        """And which options name it."""
        error = refused(run_async, cluster, tmp_path, lambda _: None, **options)
        assert isinstance(error, RegistryUnavailable)
        assert "correct kubeconfig and context" in str(error)

    def test_a_pod_without_a_service_account_says_so(
        self, run_async, cluster, tmp_path, monkeypatch
    ):
        """Inside a pod, and without a kubeconfig, the service account is the way in."""
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
        error = refused(run_async, cluster, tmp_path, lambda _: None, kubeconfig=None)
        assert "Service token file does not exist" in str(error)


class TestConfig:
    def test_a_kubeconfig_that_is_not_there_is_found_before_anything_runs(self, tmp_path):
        """`meshregistry check` reports it."""
        (fault,) = check(KubernetesConfig(kubeconfig=Path("absent")), tmp_path)
        assert "there is no file 'absent'" in str(fault)
        (tmp_path / "there").touch()
        assert [] == [*check(KubernetesConfig(kubeconfig=Path("there")), tmp_path)]
        assert [] == [*check(KubernetesConfig(), tmp_path)]

    def test_nodes_are_read_unless_namespaces_are_named(self):
        """They exist at cluster scope only; saying so explicitly wins."""
        assert KubernetesConfig().reads_nodes
        assert not KubernetesConfig(namespaces=("a",)).reads_nodes
        assert KubernetesConfig(namespaces=("a",), nodes=True).reads_nodes
        assert not KubernetesConfig(nodes=False).reads_nodes

    def test_the_client_is_not_loaded_with_the_plugin(self):
        """It is heavy; only a source that runs may load it."""
        import subprocess  # noqa: PLC0415 - only here
        import sys  # noqa: PLC0415 - only here

        code = "import sys, meshregistry_kubernetes; print('kubernetes' in sys.modules, 'aiohttp' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert "False False" == done.stdout.strip()
