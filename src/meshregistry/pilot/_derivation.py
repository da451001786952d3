"""The current world and what is derived from it; needs the extra ``[server]``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from meshregistry.errors import MissingExtraError
from meshregistry.model import type_traits, type_url

try:
    from google.protobuf import json_format
    from google.protobuf.any_pb2 import Any as PackedMessage

    from meshregistry.generate import (
        Extensions,
        HttpRequest,
        Pipeline,
        World,
        decide,
        decision_document,
    )
    from meshregistry.server import resource_of
except ModuleNotFoundError as error:
    raise MissingExtraError("server", error.name or str(error)) from error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.errors import GenerationError
    from meshregistry.generate import Derived
    from meshregistry.loader import Plugins
    from meshregistry.model import Catalog, Proxy, ProxyKey, Resource, ResourceSet, SourceId
    from meshregistry.rules import MeshSettings, RuleSet


class Derivation:
    """Derives resource sets from whatever world is current; at first, from the empty one.

    Args:
        plugins: may add resources, and change them.
    """

    def __init__(self, plugins: Plugins) -> None:
        self._pipeline = Pipeline(
            extensions=Extensions(
                generators=plugins.generators(), patches=plugins.patches(), encode=resource_of
            )
        )
        self._world = World()

    def renew(
        self,
        catalog: Catalog,
        mesh: MeshSettings,
        source_order: tuple[SourceId, ...],
        rules: RuleSet,
    ) -> None:
        """Make another world current."""
        self._world = World(catalog=catalog, mesh=mesh, source_order=source_order, rules=rules)

    def key(self, proxy: Proxy) -> ProxyKey:
        """What may influence the configuration of this proxy, in the current world."""
        return self._pipeline.proxy_key(self._world, proxy)

    def decision(self, key: ProxyKey, request: HttpRequest) -> dict[str, Any]:
        """What becomes of a request at such a proxy, as JSON.

        Raises:
            LookupError: if the proxy has no HTTP listener at that port.
        """
        view = self._pipeline.view(self._world, key)
        decision = decide(view, key.role, request)
        return decision_document(view, self._world.catalog, request, decision)

    def derive(self, key: ProxyKey) -> Derived:
        """The resource set of one proxy key, with what could not be generated."""
        return self._pipeline.derive(self._world, key)


def resources_document(
    resources: ResourceSet, faults: Iterable[GenerationError], type_name: str | None
) -> dict[str, Any]:
    """A resource set as JSON, messages decoded.

    Raises:
        ValueError: if there is no such type.
    """
    urls = resources.types() if type_name is None else (type_url(type_name),)
    return {
        "types": [
            {
                "type": type_traits(url).name,
                "type_url": url,
                "version": resources.version(url),
                "resources": [_resource(one) for one in resources.resources(url)],
            }
            for url in urls
        ],
        "faults": [str(fault) for fault in faults],
    }


def _resource(resource: Resource) -> dict[str, Any]:
    packed = PackedMessage(type_url=resource.type_url, value=resource.bytes)
    message = json.loads(json_format.MessageToJson(packed, preserving_proto_field_name=True))
    message.pop("@type", None)
    return {
        "name": resource.name,
        "version": resource.digest,
        "bytes": len(resource.bytes),
        "references": [reference.name for reference in resource.references],
        "message": message,
    }
