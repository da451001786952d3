"""The answer to ``/apps`` and ``/apps/delta``, read; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from meshregistry.errors import RegistryProtocolError
from meshregistry_eureka._instance import Instance, instance_of


@frozen
class Listing:
    """What a server said.

    Attributes:
        instances: in the order of the answer.
        hash_code: of everything that the server knows; None if it does not say.
        faults: applications that cannot be read, for people.
        server_time: of the answer, in milliseconds by the server's clock; 0 if it is not said.
    """

    instances: tuple[Instance, ...]
    hash_code: str | None = None
    faults: tuple[str, ...] = ()
    server_time: int = 0


def listing_of(document: Any, *, server_time: int = 0) -> Listing:
    """Read an answer; one element of a list may stand without its list.

    Raises:
        RegistryProtocolError: if it is no answer of Eureka's.
    """
    body = document.get("applications") if isinstance(document, Mapping) else None
    if not isinstance(body, Mapping):
        msg = 'the answer has no object "applications"; is this the URL of a Eureka server?'
        raise RegistryProtocolError(msg)
    # The double underscore is how Netflix's serializer escapes a single one.
    hash_code = body.get("apps__hashcode", body.get("apps_hashcode"))
    instances: list[Instance] = []
    faults: list[str] = []
    for application in _many(body.get("application")):
        if not isinstance(application, Mapping):
            faults.append(f"an application is {application!r:.60} and not an object")
            continue
        name = application.get("name")
        instances += [
            instance_of(one, name if isinstance(name, str) else "")
            for one in _many(application.get("instance"))
        ]
    known = hash_code if isinstance(hash_code, str) else None
    return Listing(tuple(instances), known, tuple(faults), server_time)


def hash_code(statuses: Iterable[str]) -> str:
    """Eureka's hash code of instances: how many there are of each status, such as ``UP_2_``."""
    return "".join(f"{status}_{count}_" for status, count in sorted(Counter(statuses).items()))


def _many(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)
