"""``kubernetesenv``: finds out about both sides of a call, from the catalog of a pilot."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from attrs import frozen

from meshregistry.documents import Seconds
from meshregistry.mixer.adapters._workloads import Workload, by_address, by_uid
from meshregistry.mixer.spi import KUBERNETES, Handler, MixerAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meshregistry.mixer.spi import HandlerContext, InstanceTypes, Kubernetes, Value
    from meshregistry.model import Catalog

_SERVICE = "catalog"


@frozen(kw_only=True)
class KubernetesenvConfig:
    """Parameters of ``kubernetesenv``.

    Attributes:
        kubeconfig_path: refused: pods come from the sources of the pilot, and not from a watch
            of the adapter's own.
        cluster_registries_namespace: refused, likewise: each cluster is a source of the pilot.
        cache_refresh_duration: how often uids are looked for in a catalog that has changed, at
            most; what goes by addresses is never out of date.
    """

    kubeconfig_path: str = ""
    cluster_registries_namespace: str = ""
    cache_refresh_duration: Seconds = Seconds(1.0)


def _faults(config: KubernetesenvConfig, _instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    for name in ("kubeconfig_path", "cluster_registries_namespace"):
        if getattr(config, name):
            yield f"{name}: has no effect; take it out, and give the pilot a source of this cluster"


class KubernetesenvHandler(Handler):
    """Looks workloads up."""

    def __init__(self, config: KubernetesenvConfig, context: HandlerContext) -> None:
        self._config = config
        self._context = context
        self._catalog: Callable[[], Catalog] | None = context.service(_SERVICE)
        self._indexed: Catalog | None = None
        self._index: Mapping[str, Workload] = {}
        self._again = -math.inf
        self._indexing = asyncio.Lock()

    async def start(self) -> None:
        if self._catalog is None:
            self._context.logger.warning(
                "there is no catalog to find workloads in: run the server in a pilot, or offer "
                "services={'catalog': …}; nothing is found out until then"
            )

    async def generate(self, instance: Kubernetes) -> Mapping[str, Value]:
        if self._catalog is None:
            return {}
        catalog = self._catalog()
        source = await self._found(catalog, instance.source_uid, instance.source_ip)
        destination = await self._found(catalog, instance.destination_uid, instance.destination_ip)
        return {
            **(source.outputs("source") if source else {}),
            **(destination.outputs("destination") if destination else {}),
        }

    async def _found(self, catalog: Catalog, uid: str, address: bytes) -> Workload | None:
        """By its uid if that is known, else by its address."""
        if not (uid or any(address)):
            return None
        found = (await self._by_uid(catalog)).get(uid) if uid else None
        found = found or by_address(catalog, address)
        self._context.count("found" if found else "not_found")
        return found

    async def _by_uid(self, catalog: Catalog) -> Mapping[str, Workload]:
        async with self._indexing:
            now = self._context.now()
            if catalog is not self._indexed and now >= self._again:
                # Large catalogs take a while, and the loop has other things to do.
                self._index = await self._context.in_thread(by_uid, catalog)
                self._indexed = catalog
                self._again = now + self._config.cache_refresh_duration
        return self._index


KUBERNETESENV: Final = MixerAdapter(
    name="kubernetesenv",
    config_class=KubernetesenvConfig,
    templates=(KUBERNETES,),
    open=KubernetesenvHandler,
    check=_faults,
    summary="finds out about both sides of a call, from the catalog of a pilot",
)
