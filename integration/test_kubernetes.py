"""The kind ``kubernetes`` on a real API server with its controllers."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest
from attrs import evolve

from meshregistry import Pilot, Settings
from meshregistry.errors import RegistryAuthError
from meshregistry.mixer.adapters._workloads import by_address, by_uid
from meshregistry.model import Health, ServiceRecord
from meshregistry.spi import Condition
from meshregistry.testing import RegistryConformance, TcpProxy
from servers.kubernetes import Kubernetes, missing_program
from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

kubernetes = pytest.importorskip(
    "meshregistry_kubernetes",
    reason="the plugin is not installed: pip install -e plugins/kubernetes",
)

_ABSENT = missing_program()
pytestmark = pytest.mark.skipif(
    _ABSENT is not None, reason=f"there is no {_ABSENT}: `make integration` builds it"
)

_PODS = 5_000
_LIMIT = 150.0
_NODE = {"topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1"}
_HTTP = [{"name": "http", "port": 80, "targetPort": 8080}]
_RULES = [
    {"apiGroups": [""], "resources": ["services", "pods", "nodes"], "verbs": ["list", "watch"]},
    {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["list", "watch"],
    },
]


@asynccontextmanager
async def _following(kubeconfig: Path, **options: Any) -> AsyncIterator[Pilot]:
    source = {"id": "k", "kind": "kubernetes", "kubeconfig": str(kubeconfig), "retry_max": "1s"}
    # What the adapter says is to be seen, also when that is a loss of much.
    source["guard"] = False
    settings = {"sources": [source | options], "server": {"xds": "127.0.0.1:0"}}
    async with Pilot(Settings.from_dict(settings)) as pilot:
        yield pilot


def _record(pilot: Pilot, name: str, namespace: str = "default") -> Any:
    found = pilot.merged.find(f"{name}.{namespace}.svc.mesh.local")
    return found[0] if found else None


def _shown(pilot: Pilot, name: str, namespace: str = "default") -> set[str] | None:
    record = _record(pilot, name, namespace)
    return None if record is None else {str(one) for one in record.endpoints}


async def _until(holds: Callable[[], Any], what: str, timeout: float = 20.0) -> float:
    """Wait; the seconds that it took."""
    began = time.perf_counter()
    while not holds():
        assert time.perf_counter() - began < timeout, f"{what}: not within {timeout} s"
        await asyncio.sleep(0.001)
    return time.perf_counter() - began


async def _timed(what: str, change: Any, holds: Callable[[], Any]) -> None:
    """Make a change and print the time from its acceptance to the catalog."""
    await change
    took = await _until(holds, what)
    print(f"\n  {what}: {took * 1000:.0f} ms after the API server had accepted it", end="")


def test_a_cluster_is_followed_through_what_operators_do(run_async, tmp_path):
    """Create, scale, relabel, rename a port, roll pods, drain, delete: the catalog shows each."""

    async def main() -> None:
        async with Kubernetes(tmp_path / "k") as cluster:
            await cluster.node("n1", **_NODE)
            await cluster.service("web", ports=_HTTP)
            await cluster.pod("web-1", "10.244.0.1", app="web", version="v1")
            async with _following(cluster.kubeconfig()) as pilot:
                await pilot.synced(timeout=20)
                await _until(lambda: _shown(pilot, "web") == {"10.244.0.1:8080"}, "the first pod")
                (one,) = _record(pilot, "web").endpoints
                assert ("z1", "v1") == (one.locality.zone, one.labels["version"])
                assert one.workload_identity.endswith("/ns/default/sa/default")
                await _timed(
                    "a new service",
                    cluster.service("db", ports=[{"name": "tcp", "port": 5432}]),
                    lambda: _shown(pilot, "db") is not None,
                )
                await _timed(
                    "a new pod (controller included)",
                    cluster.pod("web-2", "10.244.0.2", app="web", version="v2"),
                    lambda: _shown(pilot, "web") == {"10.244.0.1:8080", "10.244.0.2:8080"},
                )
                await _timed(
                    "a failed readiness probe (controller included)",
                    cluster.ready("web-2", is_ready=False),
                    lambda: Health.UNHEALTHY in {e.health for e in _record(pilot, "web").endpoints},
                )
                await _timed(
                    "a pod that terminates and serves (controller included)",
                    cluster.delete_pod("web-1", grace=60),
                    lambda: Health.DRAINING in {e.health for e in _record(pilot, "web").endpoints},
                )
                for number in (3, 4):
                    await cluster.pod(f"web-{number}", f"10.244.0.{number}", app="web")
                await cluster.delete_pod("web-1")
                await _timed(
                    "a roll of the deployment",
                    cluster.delete_pod("web-2"),
                    lambda: _shown(pilot, "web") == {"10.244.0.3:8080", "10.244.0.4:8080"},
                )
                renamed = [{"name": "grpc", "port": 80, "targetPort": 8080}]
                path = "/api/v1/namespaces/default/services/web"
                await _timed(
                    "a renamed port (controller included)",
                    cluster.call(
                        "PATCH", path, {"spec": {"ports": renamed}}, patch="merge-patch+json"
                    ),
                    lambda: {e.service_port for e in _record(pilot, "web").endpoints} == {"grpc"},
                )
                zone = {"metadata": {"labels": {"topology.istio.io/subzone": "s9"}}}
                await _timed(
                    "a relabelled node",
                    cluster.call("PATCH", "/api/v1/nodes/n1", zone),
                    lambda: (
                        {e.locality.sub_zone for e in _record(pilot, "web").endpoints} == {"s9"}
                    ),
                )
                await _timed(
                    "a deleted service",
                    cluster.call("DELETE", path),
                    lambda: _shown(pilot, "web") is None,
                )

    run_async(main())


def test_pods_and_what_made_them_are_known_to_mixer(run_async, tmp_path):
    """By the address of a pod that a deployment made, and by its uid."""

    async def made(cluster: Kubernetes) -> str:
        async with asyncio.timeout(20):
            while True:
                pods = await cluster.call("GET", "/api/v1/namespaces/default/pods")
                if pods["items"]:
                    return str(pods["items"][0]["metadata"]["name"])
                await asyncio.sleep(0.02)

    async def main() -> None:
        async with Kubernetes(tmp_path / "k") as cluster:
            await cluster.node("n1", **_NODE)
            await cluster.service("web", ports=_HTTP)
            await cluster.deployment("web")
            pod = await made(cluster)
            await cluster.run(pod, "10.244.0.1")
            async with _following(cluster.kubeconfig()) as pilot:
                await pilot.synced(timeout=20)
                await _until(lambda: _shown(pilot, "web") == {"10.244.0.1:8080"}, "the pod")
                catalog = pilot.catalog
                found = by_address(catalog, b"\x0a\xf4\x00\x01")
                assert found is not None
                outputs = dict(found.outputs("source"))
                labels = outputs.pop("source_labels")
                assert ("web", "z1") == (labels["app"], labels["topology.kubernetes.io/zone"])
                assert outputs == {
                    "source_pod_uid": f"kubernetes://{pod}.default",
                    "source_pod_ip": b"\x0a\xf4\x00\x01",
                    "source_pod_name": pod,
                    "source_namespace": "default",
                    "source_service_account_name": "default",
                    "source_host_ip": b"\xc0\xa8\x07\x01",
                    "source_workload_uid": "istio://default/workloads/web",
                    "source_workload_name": "web",
                    "source_workload_namespace": "default",
                    "source_owner": "kubernetes://apis/apps/v1/namespaces/default/deployments/web",
                }
                assert found == by_uid(catalog)[f"kubernetes://{pod}.default"]

    run_async(main())


def test_two_clusters_are_two_sources(run_async, tmp_path):
    """Pods with the same address in two networks stay two endpoints, each with its cluster."""

    async def main() -> None:
        async with Kubernetes(tmp_path / "k") as cluster:
            await cluster.node("n1", **_NODE)
            await cluster.service("web", ports=_HTTP)
            await cluster.pod("web-1", "10.244.0.1", app="web")
            sources = [
                {"id": one, "kind": "kubernetes", "kubeconfig": str(cluster.kubeconfig())}
                | {"context": "x", "network": f"{one}-pods", "cluster": one}
                for one in ("east", "west")
            ]
            settings = {"sources": sources, "server": {"xds": "127.0.0.1:0"}}
            async with Pilot(Settings.from_dict(settings)) as pilot:
                await pilot.synced(timeout=20)
                await _until(
                    lambda: (
                        {(e.network, e.cluster, e.address) for e in _record(pilot, "web").endpoints}
                        == {
                            ("east-pods", "east", "10.244.0.1"),
                            ("west-pods", "west", "10.244.0.1"),
                        }
                    ),
                    "both endpoints",
                )

    run_async(main())


def test_an_api_server_that_is_killed_and_started_again(run_async, tmp_path):
    """The data stays; its watch cache begins anew, so what was watched from has expired."""

    async def main() -> None:
        async with Kubernetes(tmp_path / "k") as cluster:
            await cluster.node("n1", **_NODE)
            for name in ("stays", "goes"):
                await cluster.service(name, ports=_HTTP)
                await cluster.pod(name, f"10.244.0.{len(name)}", app=name)
            async with _following(cluster.kubeconfig()) as pilot:
                await pilot.synced(timeout=20)
                await _until(lambda: _shown(pilot, "stays") == {"10.244.0.5:8080"}, "the pods")
                listings = _listings(pilot)
                for _ in range(2):
                    await cluster.kill()
                    await _until(lambda: _condition(pilot) is Condition.STALE, "STALE")
                    assert _shown(pilot, "stays") == {"10.244.0.5:8080"}
                    await cluster.start_server()
                    took = await _until(lambda: _condition(pilot) is Condition.SYNCED, "SYNCED")
                    print(f"\n  synced {took * 1000:.0f} ms after the server was ready", end="")
                    assert _shown(pilot, "stays") == {"10.244.0.5:8080"}
                assert _listings(pilot) > listings, "nothing had expired"
                await _timed(
                    "a change after the restarts",
                    cluster.call("DELETE", "/api/v1/namespaces/default/services/goes"),
                    lambda: _shown(pilot, "goes") is None,
                )

    run_async(main(), timeout=90)


def _listings(pilot: Pilot) -> float:
    return pilot.sources()[0].counters["listings"]


def test_a_cluster_that_lost_its_state_is_believed(run_async, tmp_path):
    """What it has lost goes, what is new comes; revisions that begin anew do not stall it."""

    async def main() -> None:
        async with Kubernetes(tmp_path / "k") as cluster:
            for number in range(20):
                await cluster.service(f"old-{number}", ports=_HTTP)
            async with _following(cluster.kubeconfig()) as pilot:
                await pilot.synced(timeout=20)
                await _until(lambda: _shown(pilot, "old-19") is not None, "the services")
                await cluster.restart(is_wiped=True)
                await cluster.service("new", ports=_HTTP)
                took = await _until(lambda: _shown(pilot, "new") is not None, "the new service")
                await _until(lambda: _shown(pilot, "old-0") is None, "the old ones are gone")
                print(f"\n  the new state {took * 1000:.0f} ms after it was written", end="")

    run_async(main(), timeout=90)


def test_a_revoked_token(run_async, tmp_path):
    """FAILED with the reason, the data kept; accepted again, all goes on."""

    async def main() -> None:
        async with Kubernetes(tmp_path / "k") as cluster:
            await cluster.service("web", ports=_HTTP)
            await _grant(cluster, "ClusterRole", _RULES)
            async with _following(cluster.viewer) as pilot:
                await pilot.synced(timeout=20)
                cluster.write_tokens(viewer="another")
                await cluster.restart()
                await _until(lambda: _condition(pilot) is Condition.FAILED, "FAILED")
                assert "does not accept the credentials" in str(pilot.sources()[0].error)
                assert _shown(pilot, "web") == set()

    run_async(main(), timeout=90)


def _condition(pilot: Pilot) -> Condition:
    (source,) = pilot.sources()
    return source.condition


def test_rights(run_async, tmp_path):
    """Without any right the error names what is missing; the documented rules suffice."""

    async def main() -> None:
        async with Kubernetes(tmp_path / "k") as cluster:
            await cluster.service("web", ports=_HTTP)
            async with _following(cluster.viewer) as pilot:
                await _until(lambda: _condition(pilot) is Condition.FAILED, "FAILED")
                error = pilot.sources()[0].error
                assert isinstance(error, RegistryAuthError)
                assert "forbids to list endpointslices" in str(error)
                assert "at the cluster scope" in str(error)
            await _grant(cluster, "ClusterRole", _RULES)
            async with _following(cluster.viewer) as pilot:
                await pilot.synced(timeout=20)
                assert _shown(pilot, "web") == set()

    run_async(main())


def test_rights_of_one_namespace_suffice_for_it(run_async, tmp_path):
    """A Role instead of a ClusterRole, and nothing at cluster scope is asked."""

    async def main() -> None:
        async with Kubernetes(tmp_path / "k") as cluster:
            await cluster.service("web", ports=_HTTP)
            await _grant(cluster, "Role", _RULES, namespace="default")
            async with _following(cluster.viewer, namespaces=["default"]) as pilot:
                await pilot.synced(timeout=20)
                assert _shown(pilot, "web") == set()

    run_async(main())


async def _grant(cluster: Kubernetes, kind: str, rules: Any, namespace: str = "") -> None:
    metadata = {"name": "meshregistry"} | ({"namespace": namespace} if namespace else {})
    api = "rbac.authorization.k8s.io"
    common = {"apiVersion": f"{api}/v1", "metadata": metadata}
    await cluster.create(common | {"kind": kind, "rules": rules})
    await cluster.create(
        common
        | {
            "kind": f"{kind}Binding",
            "roleRef": {"apiGroup": api, "kind": kind, "name": "meshregistry"},
            "subjects": [{"kind": "User", "apiGroup": api, "name": "meshregistry"}],
        }
    )
    await asyncio.sleep(1)  # the authorizer learns of new rules by a watch of its own


_MEASURE = """
import asyncio, re, sys
from pathlib import Path
from meshregistry import Pilot, Settings
async def main():
    source = {"id": "k", "kind": "kubernetes", "kubeconfig": sys.argv[1]}
    settings = {"sources": [source], "server": {"xds": "127.0.0.1:0"}}
    async with Pilot(Settings.from_dict(settings)) as pilot:
        catalog = await pilot.synced(timeout=60)
        count = sum(len(one.endpoints) for one in catalog)
        # Not ru_maxrss, which begins with what the parent had before the exec.
        peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
        print(count, int(peak) / 1024, flush=True)
asyncio.run(main())
"""


def test_memory_for_five_thousand_pods(run_async, tmp_path):
    """A whole pilot that follows them stays under 150 MB at its peak."""

    async def main() -> None:
        async with Kubernetes(tmp_path / "k") as cluster:
            waiting = asyncio.Semaphore(16)

            async def pod(number: int) -> None:
                async with waiting:
                    await cluster.create(_big_pod(number))

            await asyncio.gather(*(pod(number) for number in range(_PODS)))
            for first in range(0, _PODS, 100):
                name = f"s{first}"
                await cluster.service(name, ports=_HTTP, selector=None)
                await cluster.create(_slice(name, range(first, first + 100)))
            log = tmp_path / "memory.log"
            command = [sys.executable, "-c", _MEASURE, str(cluster.kubeconfig())]
            async with ChildProcess(command, log=log) as child:
                assert await child.process.wait() == 0, child.tail()
            count, peak = (float(word) for word in log.read_text().split()[-2:])
            print(f"\n  {_PODS} pods: {peak:.0f} MB at the peak", end="")
            assert count == _PODS
            assert peak < _LIMIT

    run_async(main(), timeout=240)


def _big_pod(number: int) -> dict[str, Any]:
    """About as large as the pods of a deployment are."""
    variables = [{"name": f"VARIABLE_{n}", "value": "x" * 60} for n in range(30)]
    container = {"name": "c", "image": "none", "env": variables}
    labels = {"app": f"s{number - number % 100}", "version": "v1", "pod-template-hash": "5d4f8c7b9"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p{number}", "namespace": "default", "labels": labels},
        "spec": {"containers": [container], "serviceAccountName": "default"},
    }


def _slice(name: str, numbers: range) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-1",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [f"10.244.{number // 250}.{number % 250 + 1}"],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "namespace": "default", "name": f"p{number}"},
            }
            for number in numbers
        ],
    }


class _SharedCluster:
    """One cluster for many tests, each of which has a loop of its own."""

    def __init__(self, folder: Path) -> None:
        self.cluster = Kubernetes(folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cluster", daemon=True)

    def __enter__(self) -> Self:
        # Processes are watched without a signal handler, so they may be started in a thread.
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.cluster.__aenter__(), self._loop).result(90)
        return self

    def __exit__(self, *exc_info: object) -> None:
        asyncio.run_coroutine_threadsafe(
            self.cluster.__aexit__(None, None, None), self._loop
        ).result(90)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def call(self, *arguments: Any, **words: Any) -> Any:
        """A request of the administrator."""
        call = self.cluster.call(*arguments, **words)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self._loop))


class _Backend:
    """A real API server behind a proxy; slices are written by hand, as an operator may."""

    def __init__(self, shared: _SharedCluster) -> None:
        self._shared = shared

    async def __aenter__(self) -> Self:
        cluster = self._shared.cluster
        self.proxy = await TcpProxy("127.0.0.1", cluster.port).__aenter__()
        self.kubeconfig = cluster.kubeconfig(port=self.proxy.port)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.proxy.__aexit__(*exc_info)

    async def put(self, record: ServiceRecord) -> ServiceRecord:
        name = str(record.service.host)
        path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
        slice_ = _slice(name, range(0))
        slice_["endpoints"] = [{"addresses": [one.address]} for one in record.endpoints]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"ports": [{"name": "http", "port": 8080}]},
        }
        await self._write(f"{path}/{name}-1", slice_)
        written = await self._write(f"/api/v1/namespaces/default/services/{name}", service)
        host = f"{name}.default.svc.mesh.local"
        expected = ServiceRecord.parse(host, port=8080, port_name="http", namespace="default")
        addressed = evolve(expected.service, addresses=written["spec"]["clusterIPs"])
        return ServiceRecord(addressed, record.endpoints, key=f"default/{name}")

    async def _write(self, path: str, document: Any) -> Any:
        apply = f"{path}?fieldManager=kit&force=true"
        return await self._shared.call("PATCH", apply, document, patch="apply-patch+yaml")

    async def remove(self, key: str) -> None:
        name = key.partition("/")[2]
        for path in (
            f"/api/v1/namespaces/default/services/{name}",
            f"/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/{name}-1",
        ):
            # It may never have been there.
            with contextlib.suppress(RuntimeError):
                await self._shared.call("DELETE", path)

    def break_(self) -> None:
        self.proxy.break_()

    def truncate(self) -> None:
        self.proxy.truncate(3000)

    def silence(self) -> None:
        self.proxy.silence()

    def slow(self, seconds: float) -> None:
        self.proxy.slow(seconds)

    def heal(self) -> None:
        self.proxy.heal()

    def attempts(self) -> int:
        return self.proxy.connections


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_SharedCluster]:
    """Every test takes out what it has put in, so one cluster will do."""
    with _SharedCluster(tmp_path_factory.mktemp("cluster") / "k") as cluster:
        yield cluster


class TestConformance(RegistryConformance):
    """The rules for adapters, on the real API server."""

    kind = kubernetes.meshregistry_register_registries()
    capabilities = ("outage", "writes_in_outage", "truncate", "silence", "slow", "attempts")
    latency = 15.0
    promptness = 2.0
    changes = 400

    @pytest.fixture
    def backend(self, shared: _SharedCluster) -> _Backend:
        """A proxy for each test."""
        return _Backend(shared)

    def config(self, backend: _Backend) -> Any:
        """Impatient settings, so that tests take seconds."""
        return kubernetes.KubernetesConfig(
            kubeconfig=backend.kubeconfig, watch_timeout=1.0, request_timeout=2.5, retry_max=1.0
        )
