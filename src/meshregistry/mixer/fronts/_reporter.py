"""Which proxy a log comes from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from meshregistry.errors import RemoteAdsError
from meshregistry.mixer import vocabulary as v
from meshregistry.mixer.fronts._reading import INBOUND, OUTBOUND, struct_of
from meshregistry.model import Node, Proxy

if TYPE_CHECKING:
    from meshregistry.mixer import BagBuilder

_ID_PART = 2


@frozen(kw_only=True)
class Reporter:
    """A proxy that reports.

    Attributes:
        node_id: as it says.
        uid: the platform's id of its workload; empty if it does not say.
        namespace: of its workload.
        labels: of its workload.
        kind: ``inbound`` or ``outbound`` if its log's name says so; else empty.
    """

    node_id: str = ""
    uid: str = ""
    namespace: str = ""
    labels: Mapping[str, str] = field(factory=dict)
    kind: str = ""

    @classmethod
    def of(cls, identifier: Any) -> Reporter:
        """Read the identifier of a log stream. It never fails."""
        node = identifier.node
        kind = identifier.log_name if identifier.log_name in {INBOUND, OUTBOUND} else ""
        uid = node.id
        if "~" in uid:
            # The original says this of proxies on any platform.
            name = uid.split("~")[_ID_PART:]
            uid = f"kubernetes://{name[0]}" if name and name[0] else uid
        metadata = struct_of(node.metadata)
        try:
            proxy = Proxy.identify(Node(id=node.id, metadata=metadata))
        except RemoteAdsError:
            return cls(node_id=node.id, uid=uid, kind=kind)
        return cls(
            node_id=node.id,
            uid=uid,
            namespace=proxy.namespace,
            labels=dict(proxy.labels),
            kind=kind,
        )

    def describe(self, builder: BagBuilder, *, is_inbound: bool) -> None:
        """Say who reports, and which side it stands at."""
        builder.set(v.CONTEXT_REPORTER_UID, self.uid or None)
        names = (
            (v.DESTINATION_UID, v.DESTINATION_NAMESPACE, v.DESTINATION_LABELS)
            if is_inbound
            else (v.SOURCE_UID, v.SOURCE_NAMESPACE, v.SOURCE_LABELS)
        )
        for name, value in zip(names, (self.uid, self.namespace, self.labels), strict=True):
            builder.set(name, value or None)
