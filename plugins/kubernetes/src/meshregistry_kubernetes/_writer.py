"""Operators' decisions as custom resources, one for each document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.errors import RegistryProtocolError
from meshregistry_kubernetes._client import ClusterClient
from meshregistry_kubernetes._collection import Collection
from meshregistry_kubernetes._rules import resources_of
from meshregistry_kubernetes._status import CONFLICT, NOT_FOUND, Refused

if TYPE_CHECKING:
    from meshregistry.spi import OutgoingDocument, RuleContext
    from meshregistry_kubernetes._config import KubernetesConfig, KubernetesRulesConfig

_NAMESPACE = "default"
_CONNECTIONS = 2
_TRIES = 3


class KubernetesRuleWriter:
    """Writes custom resources of a cluster (`spi.RuleWriter`).

    Args:
        config: of the rule source.
        context: of the rule source; its registry's configuration says where the cluster is.
    """

    def __init__(self, config: KubernetesRulesConfig, context: RuleContext) -> None:
        del config
        self._context = context
        self._registry: KubernetesConfig = context.registry_config

    async def put(self, document: OutgoingDocument) -> str:
        """Make the object, or replace its spec.

        Raises:
            RegistryError: if its kind is not installed, or the server refuses it.
        """
        async with self._client() as client:
            collection = await _collection(client, document)
            body = document.value
            body["metadata"]["namespace"] = collection.namespace
            for attempt in range(1, _TRIES + 1):
                try:
                    await _written(client, collection, body)
                    break
                except Refused as refused:
                    # Somebody else has written it in between: once more on top of that.
                    if refused.status.code != CONFLICT or attempt == _TRIES:
                        raise refused.status.error(collection, "write") from None
            return _place(collection, document)

    async def delete(self, document: OutgoingDocument) -> bool:
        """Take the object away."""
        async with self._client() as client:
            collection = await _collection(client, document)
            try:
                await client.change("DELETE", collection, document.name)
            except Refused as refused:
                if refused.status.code == NOT_FOUND:
                    return False
                raise refused.status.error(collection, "delete") from None
            return True

    def _client(self) -> ClusterClient:
        return ClusterClient(self._registry, self._context, connections=_CONNECTIONS)


async def _written(client: ClusterClient, collection: Collection, body: dict[str, Any]) -> None:
    name = body["metadata"]["name"]
    try:
        found = await client.change("GET", collection, name)
    except Refused as refused:
        if refused.status.code != NOT_FOUND:
            raise
        await client.change("POST", collection, body=body)
        return
    await client.change("PUT", collection, name, {**found, "spec": body["spec"]})


async def _collection(client: ClusterClient, document: OutgoingDocument) -> Collection:
    """Where objects of the document's kind are.

    Raises:
        RegistryProtocolError: if their definition is not installed.
    """
    plural = (await resources_of(client, document.group, document.version)).get(document.kind)
    if plural is None:
        msg = (
            f"the cluster does not know {document.kind} of {document.group}/{document.version}; "
            "install it: python -m meshregistry_kubernetes.definitions | kubectl apply -f -"
        )
        raise RegistryProtocolError(msg)
    return Collection(
        resource=plural,
        group=document.group,
        version=document.version,
        namespace=document.namespace or _NAMESPACE,
    )


def _place(collection: Collection, document: OutgoingDocument) -> str:
    resource = f"{collection.resource}.{collection.group}"
    return f"kubernetes:{resource}/{collection.namespace}/{document.name}"
