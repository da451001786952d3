"""What the settings of the server make of its listeners: certificates and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.server import GrpcLimits, GrpcListener, ServerTls, renewing_context

if TYPE_CHECKING:
    import ssl

    from meshregistry.server import Hub
    from meshregistry.settings import ServerSettings


def http_contexts(settings: ServerSettings) -> dict[str, ssl.SSLContext]:
    """The certificates of those HTTP listeners that have some."""
    found = {}
    if settings.webhook is not None:
        found["webhook"] = renewing_context(settings.webhook.certificate, settings.webhook.key)
    registration = settings.registration
    if registration is not None and registration.tls is not None:
        tls = registration.tls
        found["registration"] = renewing_context(
            tls.certificate,
            tls.key,
            client_ca=tls.client_ca,
            # Whoever has a token needs no certificate.
            is_client_needed=not registration.tokens,
        )
    return found


def grpc_listener(hub: Hub, settings: ServerSettings) -> GrpcListener | None:
    if settings.xds is None:
        return None
    own = settings.tls
    tls = None
    if own is not None:
        tls = ServerTls(certificate=own.certificate, key=own.key, client_ca=own.client_ca)
    limits = GrpcLimits(request_bytes=settings.max_message_size)
    return GrpcListener(hub, settings.xds, tls=tls, limits=limits)
