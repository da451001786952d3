"""What operators say about the mesh: settings of the whole, later routing rules."""

from meshregistry.rules._mesh import MeshSettings, OutboundTrafficPolicy, RouterSettings

__all__ = ["MeshSettings", "OutboundTrafficPolicy", "RouterSettings"]
