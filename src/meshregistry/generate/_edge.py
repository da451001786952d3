"""What routers are sent: what gateways ask for, or every HTTP service if none selects them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.generate._gateway_listeners import gateway_listeners
from meshregistry.generate._gateway_routes import gateway_routes
from meshregistry.generate._listeners import router_listeners
from meshregistry.generate._routes import router_routes

if TYPE_CHECKING:
    from meshregistry.generate._output import Generated
    from meshregistry.generate._world import View


def edge_listeners(view: View) -> Generated:
    """The listeners of a router."""
    return gateway_listeners(view) if view.gateways else router_listeners(view)


def edge_routes(view: View) -> Generated:
    """The route configurations of a router."""
    return gateway_routes(view) if view.gateways else router_routes(view)
