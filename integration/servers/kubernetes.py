"""A real Kubernetes control plane: etcd, kube-apiserver and kube-controller-manager.

No node, no kubelet: Nodes and Pods are objects that a test writes, and the controllers make
EndpointSlices of them as in any cluster. Slices refuse loopback addresses, so pods have made-up
ones.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import ssl
import subprocess
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from servers.cache import cache_folder
from servers.ports import free_port
from servers.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
ADMIN = "admintoken"
_VIEWER = "viewertoken"
_NODE_ADDRESS = "192.168.7.1"
_CONTROLLERS = (
    "endpointslice-controller",
    "endpoints-controller",
    "endpointslice-mirroring-controller",
    "deployment-controller",
    "replicaset-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
)
_START = 60.0


def missing_program() -> str | None:
    """The first of the programs that is not in the cache folder, or None."""
    for name in PROGRAMS:
        if not (cache_folder() / "bin" / name).exists():
            return name
    return None


class Kubernetes:
    """A cluster on loopback ports; an async context manager.

    Args:
        folder: for data, certificates and logs.
        flags: further flags of the API server.

    Attributes:
        port: of the API server, the same after a restart.
    """

    def __init__(self, folder: Path, flags: tuple[str, ...] = ()) -> None:
        self.port = free_port()
        self._etcd_ports = (free_port(), free_port())
        self._manager_port = free_port()
        self._folder = folder
        self._flags = flags
        self._stack = AsyncExitStack()
        self._running: dict[str, ChildProcess] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        key, public = self._folder / "sa.key", self._folder / "sa.pub"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        subprocess.run(
            ["openssl", "rsa", "-in", key, "-pubout", "-out", public],
            check=True,
            capture_output=True,
        )
        self.write_tokens()
        try:
            await self.start_etcd()
            await self.start_server()
            self._session = aiohttp.ClientSession(
                base_url=f"https://127.0.0.1:{self.port}",
                headers={"Authorization": f"Bearer {ADMIN}"},
                connector=aiohttp.TCPConnector(ssl=self._tls()),
            )
            await self._start_manager()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
        # An API server whose etcd has gone hangs, so the order and the signal matter.
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            if name in self._running:
                await self.kill(name)

    # --- Processes ------------------------------------------------------------------

    async def kill(self, name: str = "kube-apiserver") -> None:
        """What ``kill -9`` does."""
        await self._running.pop(name).stop(signal.SIGKILL)

    def write_tokens(self, *, viewer: str = _VIEWER) -> None:
        """Say who is who; the API server reads it when it starts."""
        (self._folder / "tokens.csv").write_text(
            f'{ADMIN},admin,admin-uid,"system:masters"\n{viewer},meshregistry,mesh-uid\n',
            encoding="utf-8",
        )

    async def restart(self, *, is_wiped: bool = False) -> None:
        """Kill the API server and start it again; wiped, with an empty etcd."""
        await self.kill()
        if is_wiped:
            await self.kill("etcd")
            shutil.rmtree(self._folder / "etcd")
            await self.start_etcd()
        await self.start_server()

    async def start_etcd(self) -> None:
        """Start etcd on the data that is there."""
        client, peer = (f"http://127.0.0.1:{port}" for port in self._etcd_ports)
        process = await self._start(
            "etcd",
            f"--name=m --data-dir={self._folder / 'etcd'} --listen-client-urls={client} "
            f"--advertise-client-urls={client} --listen-peer-urls={peer} "
            f"--initial-advertise-peer-urls={peer} --initial-cluster=m={peer} "
            "--unsafe-no-fsync --log-level=warn",
        )
        await process.until(
            lambda: _is_up(f"{client}/health"), what="etcd is healthy", timeout=_START
        )

    async def start_server(self) -> None:
        """Start the API server; it is ready when this returns."""
        process = await self._start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_ports[0]} "
            f"--cert-dir={self._folder / 'certs'} --bind-address=127.0.0.1 "
            f"--advertise-address=127.0.0.1 --secure-port={self.port} "
            "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112 --allow-privileged=true "
            "--disable-admission-plugins=ServiceAccount --authorization-mode=RBAC "
            f"--service-account-issuer=https://127.0.0.1:{self.port} "
            f"--service-account-key-file={self._folder / 'sa.pub'} "
            f"--service-account-signing-key-file={self._folder / 'sa.key'} "
            f"--token-auth-file={self._folder / 'tokens.csv'} --endpoint-reconciler-type=none "
            "--enable-priority-and-fairness=false --profiling=false",
            *self._flags,
        )
        url = f"https://127.0.0.1:{self.port}/readyz"
        await process.until(lambda: _is_up(url), what="the API server is ready", timeout=_START)

    async def _start_manager(self) -> None:
        kubeconfig = self.kubeconfig(ADMIN)
        process = await self._start(
            "kube-controller-manager",
            f"--kubeconfig={kubeconfig} --leader-elect=false --bind-address=127.0.0.1 "
            f"--secure-port={self._manager_port} --cert-dir={self._folder / 'certs-manager'} "
            f"--controllers={','.join(_CONTROLLERS)} "
            f"--service-account-private-key-file={self._folder / 'sa.key'} "
            f"--root-ca-file={self._folder / 'certs' / 'apiserver.crt'} "
            "--endpointslice-updates-batch-period=0 --endpoint-updates-batch-period=0",
        )
        url = f"https://127.0.0.1:{self._manager_port}/healthz"
        await process.until(
            lambda: _is_up(url), what="the controller manager is healthy", timeout=_START
        )

    async def _start(self, name: str, line: str, *more: str) -> ChildProcess:
        command = [str(cache_folder() / "bin" / name), *line.split(), *more]
        process = ChildProcess(command, log=self._folder / f"{name}.log")
        self._running[name] = await process.__aenter__()
        return process

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._folder / "certs" / "apiserver.crt")

    # --- What tests do --------------------------------------------------------------

    def kubeconfig(self, token: str = ADMIN, *, port: int | None = None) -> Path:
        """A kubeconfig for a bearer of this token; with `port`, by way of a proxy."""
        path = self._folder / f"kubeconfig-{token}-{port or self.port}"
        certificate = self._folder / "certs" / "apiserver.crt"
        server = f"https://127.0.0.1:{port or self.port}"
        cluster = {"server": server, "certificate-authority": str(certificate)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    @property
    def viewer(self) -> Path:
        """The kubeconfig of a user without any right but those that a test grants."""
        return self.kubeconfig(_VIEWER)

    async def call(
        self, method: str, path: str, body: Any = None, *, patch: str = "strategic-merge-patch+json"
    ) -> Any:
        """A request of the administrator; the document of the answer.

        Raises:
            RuntimeError: with the server's words, if it refuses.
        """
        assert self._session is not None
        kind = f"application/{patch}" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body)
        async with self._session.request(
            method, path, data=data, headers={"Content-Type": kind}
        ) as response:
            text = await response.text()
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status} {text}")
            return json.loads(text)

    async def create(self, document: Mapping[str, Any]) -> Any:
        """Create an object; where it belongs follows from its kind and namespace."""
        return await self.call("POST", _path(document), document)

    async def node(self, name: str, **labels: str) -> None:
        """A ready node with an address."""
        await self.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        await self.call("PATCH", f"/api/v1/nodes/{name}", {"metadata": {"labels": labels}})
        status = {
            "addresses": [{"type": "InternalIP", "address": _NODE_ADDRESS}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        await self.call("PATCH", f"/api/v1/nodes/{name}/status", {"status": status})

    async def service(self, name: str, namespace: str = "default", **spec: Any) -> Any:
        """A service that selects the pods with the label ``app=<name>``."""
        spec.setdefault("selector", {"app": name})
        return await self.create(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }
        )

    async def pod(
        self,
        name: str,
        *ips: str,
        namespace: str = "default",
        node: str = "n1",
        ports: Mapping[str, int] | None = None,
        account: str = "default",
        **labels: str,
    ) -> None:
        """A running, ready pod."""
        container = {
            "name": "c",
            "image": "none",
            "ports": [{"name": name, "containerPort": at} for name, at in (ports or {}).items()],
        }
        await self.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": {
                    "nodeName": node,
                    "serviceAccountName": account,
                    "containers": [container],
                },
            }
        )
        await self.ready(name, *ips, namespace=namespace)

    async def deployment(self, name: str, namespace: str = "default") -> None:
        """A deployment of one pod with the label ``app=<name>``."""
        labels = {"app": name}
        await self.create(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {
                            "serviceAccountName": "default",
                            "containers": [{"name": "c", "image": "none"}],
                        },
                    },
                },
            }
        )

    async def run(self, pod: str, ip: str, *, node: str = "n1", namespace: str = "default") -> None:
        """Do with a pod of the controllers what scheduler and kubelet would."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        binding = {"metadata": {"name": pod}, "target": {"kind": "Node", "name": node}}
        await self.call(
            "POST", f"{path}/binding", {"apiVersion": "v1", "kind": "Binding"} | binding
        )
        at = _NODE_ADDRESS
        await self.call(
            "PATCH", f"{path}/status", {"status": {"hostIP": at, "hostIPs": [{"ip": at}]}}
        )
        await self.ready(pod, ip, namespace=namespace)

    async def ready(
        self, name: str, *ips: str, namespace: str = "default", is_ready: bool = True
    ) -> None:
        """Set a pod's addresses (if given) and whether it is ready."""
        word = "True" if is_ready else "False"
        status: dict[str, Any] = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": word}],
        }
        if ips:
            status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        await self.call("PATCH", path, {"status": status})

    async def delete_pod(self, name: str, namespace: str = "default", grace: int = 0) -> None:
        """Delete a pod; without a kubelet a grace period leaves it terminating."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        await self.call("DELETE", path, {"gracePeriodSeconds": grace})


_PLURALS = {
    "Deployment": ("/apis/apps/v1", "deployments"),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
    "ClusterRole": ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
}


def _path(document: Mapping[str, Any]) -> str:
    kind = document["kind"]
    root, plural = _PLURALS.get(kind, ("/api/v1", "endpoints" if kind == "Endpoints" else ""))
    namespace = document["metadata"].get("namespace")
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{inside}/{plural or kind.lower() + 's'}"


async def _is_up(url: str) -> bool:
    """Whether it answers 200; whose certificate it has does not matter for that."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, ssl=False, timeout=aiohttp.ClientTimeout(total=2)) as response,
        ):
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        await asyncio.sleep(0.1)
        return False
