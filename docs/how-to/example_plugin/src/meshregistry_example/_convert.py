"""From the text of a hosts file to service records; pure, so most of the tests are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.errors import RecordError
from meshregistry.model import Endpoint, Hostname, ServiceRecord

if TYPE_CHECKING:
    from meshregistry_example._config import HostsConfig


def hosts_records(text: str, config: HostsConfig) -> list[ServiceRecord | RecordError]:
    """One record for each name (hosts(5): an address, then names; ``#`` begins a comment).

    A line whose address is malformed is an error of each host that it names, so those keep
    their last good record. A name that is malformed tells nothing of who was meant: its
    error has no key, and so nothing is removed in this round.
    """
    endpoints: dict[str, list[Endpoint]] = {}
    faults: list[RecordError] = []
    for number, line in enumerate(text.splitlines(), start=1):
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            if not name.endswith(config.suffix):
                continue
            try:
                host = str(Hostname(name))
            except ValueError as error:
                faults.append(RecordError(f"line {number}: {error}"))
                continue
            try:
                endpoint = Endpoint(address=address, port=config.port)
            except ValueError as error:
                faults.append(RecordError(f"line {number}: {error}", key=host))
            else:
                endpoints.setdefault(host, []).append(endpoint)
    broken = {fault.key for fault in faults}
    records = [
        ServiceRecord.parse(host, port=config.port, protocol=config.protocol, endpoints=found)
        for host, found in endpoints.items()
        if host not in broken
    ]
    return [*records, *faults]
