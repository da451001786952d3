"""The id of a registration: its identity itself, so that every replica can read it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING

from meshregistry.model import AddressKind, Endpoint, Hostname, ServiceKey, address_kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshregistry.model import EndpointKey, ServiceRecord


def encode_id(records: Iterable[ServiceRecord]) -> str:
    """Namespace, host and endpoints of each record; equal for equal identities."""
    identity = [
        [
            record.service.namespace or "",
            str(record.service.host),
            [list(endpoint.key) for endpoint in record.endpoints],
        ]
        for record in records
    ]
    text = json.dumps(identity, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_id(key: str) -> list[tuple[ServiceKey, list[EndpointKey]]]:
    """The services and endpoints that an id stands for.

    Raises:
        ValueError: if it is no id.
    """
    try:
        text = base64.b64decode(key + "=" * (-len(key) % 4), altchars=b"-_", validate=True)
        found = [
            (
                ServiceKey(_namespace(namespace), Hostname(host)),
                # Made, so that nothing but an address passes as one to a backend.
                [
                    Endpoint(network=network, address=address, port=port, service_port=name).key
                    for network, address, port, name in endpoints
                ],
            )
            for namespace, host, endpoints in json.loads(text)
        ]
    except (binascii.Error, TypeError, RecursionError) as error:
        raise ValueError(f"{key!r} is no id") from error
    if not found or not all(
        address_kind(one.address) is AddressKind.IP for _, keys in found for one in keys
    ):
        raise ValueError(f"{key!r} is no id")
    return found


def _namespace(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]*", text):
        raise ValueError(f"{text!r} is no namespace")
    return text
