"""What is shown and counted of the connected proxies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.model import Labels, Metric, type_traits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.server import HubStatistics, StreamStatus


def proxies_document(statuses: Iterable[StreamStatus]) -> dict[str, Any]:
    """Connected proxies and what each holds of each type."""
    return {
        "proxies": [
            {
                "node": status.node.id,
                "cluster": status.node.cluster,
                "role": str(status.proxy.role),
                "key": str(status.key),
                "version": " ".join(
                    filter(None, (status.node.user_agent_name, status.node.user_agent_version))
                ),
                "peer": status.peer.address,
                "identities": list(status.peer.identities),
                "protocol": "delta" if status.is_delta else "sotw",
                "types": [
                    {
                        "type": type_traits(one.type_url).name,
                        "state": str(one.state),
                        "names": list(one.names),
                        "sent": one.version_sent,
                        "acknowledged": one.version_acked,
                        "error": one.error,
                    }
                    for one in status.types
                ],
            }
            for status in statuses
        ]
    }


def proxy_metrics(figures: HubStatistics, faults: int) -> tuple[Metric, ...]:
    """The figures of the serve side, as plain values.

    Args:
        figures: of the hub.
        faults: how many resources could not be generated.
    """
    counters = {
        "opened": figures.opened,
        "refused": figures.refused,
    }
    return (
        Metric.of("meshregistry_xds_streams", "gauge", "Streams open now.", figures.streams),
        Metric.of(
            "meshregistry_xds_streams_seen",
            "counter",
            "Streams that were let in or turned away.",
            {Labels({"result": name}): float(value) for name, value in counters.items()},
        ),
        Metric.of("meshregistry_xds_pushes", "counter", "Messages written.", figures.pushes),
        Metric.of("meshregistry_xds_bytes", "counter", "Bytes written.", figures.bytes),
        Metric.of(
            "meshregistry_xds_acks",
            "counter",
            "Responses that proxies have accepted or refused.",
            {
                Labels({"result": "ack"}): float(figures.acks),
                Labels({"result": "nack"}): float(figures.nacks),
            },
        ),
        Metric.of(
            "meshregistry_xds_encodings",
            "counter",
            "Responses whose bytes existed, or had to be joined.",
            {
                Labels({"result": "shared"}): float(figures.encode_hits),
                Labels({"result": "joined"}): float(figures.encode_misses),
            },
        ),
        Metric.of(
            "meshregistry_generation_faults",
            "gauge",
            "Resources that could not be generated.",
            faults,
        ),
    )
