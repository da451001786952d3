"""What runs beside a proxy: its bootstrap document."""

from meshregistry.agent._bootstrap import XDS_CLUSTER, bootstrap, node_id

__all__ = ["XDS_CLUSTER", "bootstrap", "node_id"]
