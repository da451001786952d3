"""The reference page about the adapters: the last measured tables, and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.page import table
from benchmarks.results import shown

if TYPE_CHECKING:
    from benchmarks.results import Benchmark

HEAD = """# What the adapters cost

Measured by `make bench-adapters`, which starts a real Consul, etcd and Kubernetes API server,
a pilot and a real Envoy, and writes the same figures to `build/adapters.json`. It takes about
four minutes. This page is rewritten by
`make bench-adapters BENCH='--page docs/reference/adapters.md'`. All adapters have their default
options; the kind `file` stands beside them for comparison. Figures of different machines do not
compare; the medians of one run do.
"""

FRESHNESS = """The one endpoint of a service moves between two backends. The registries take turns, and the next
change comes when the last has arrived everywhere.

- *write*: how long the registry's own API took to accept the change: a registration at the
  Consul agent, a transaction in etcd, a patch of an EndpointSlice in Kubernetes, a renamed file.
- *to catalog*: from that acceptance until `pilot.catalog` has the new endpoint. News that
  overtake the answer to the writer count as 0. A burst is slower: see `min_interval` of Consul.
- *to Envoy*: from the same acceptance until a request through Envoy is answered by the new
  backend. It contains *to catalog*.

Both are asked every millisecond, and an Envoy answers in about one. A change of a service itself,
not only of its endpoints, waits 0.1 s longer, until no more changes come.
"""

AMONG_MANY = """A new instance takes the place of the only one of a service, in registries that are filled as
below, and one pilot follows all four, which is 4,000 services. In Consul the new instance is registered with a check and
the old one is deregistered; time runs from the acceptance of the latter. Of changes that neither
a check nor a node tells, such as another address under the same id, a sweep of Consul does not
learn whose they are: they are found within `refresh`, 30 s.
"""

COST = """- *requests/min*: what the registry's server counts itself while nothing changes: answered HTTP
  requests of Consul, received messages of etcd, requests in the audit log of the API server.
  Waiting queries and watches last for minutes, so that 0 means less than about one a minute.
  For etcd it is the sign of life that is asked for every `probe_interval`. Consul with more than
  `max_watches` services is swept: the first 30 s (`refresh`), in which every service is asked for
  once more, are over when counting begins, and the safety round, a request for each service
  spread over 30 s, comes every ten minutes, which is 100 a minute on average for 1,000 services.
- *memory of these*: by how much the resident memory of a process with one pilot and one source
  is larger than that of one that knows three services, when all has been listed and garbage has
  been collected: adapter, client library and catalog, and what the first listing needed for a while
  if the system has not taken it back. No proxy is connected. Endpoints of Kubernetes are slices
  without pods here; with 5,000 pods the whole process stays under 150 MB, which
  `make integration` checks.
- *whole process*: the same process, interpreter and libraries included.
- *first complete catalog*: from the start of the pilot, import of the client library included.
"""


TAIL = """## Adapters that are not in these tables

[What each kind can do](registries.md) is a table of its own. The READMEs say what was measured on
the servers that there are.

- [Cloud Foundry](../../plugins/cloudfoundry/README.md): `gorouter` has no requests to count, and
  its first complete catalog takes two register intervals by its nature; the API behind `capi` cannot
  be had as a server.
- [Eureka](../../plugins/eureka/README.md): it is polled, so that times are the interval that is set,
  5 s unless it is shorter, and what the server's own cache adds.
- [Mesos and Marathon](../../plugins/mesos/README.md): tasks are started by a framework of ours,
  one at a time, on a real master; no Marathon can be had as a server.
"""


def adapters_page(machine: dict[str, Any], benchmarks: list[Benchmark]) -> str:
    """The whole page, in Markdown."""
    versions = ", ".join(
        f"{name} {number}" for name, number in (machine["servers"] | machine["packages"]).items()
    )
    parts = [
        HEAD,
        (
            f"Python {machine['python']}, {versions}; {machine['cores']} cores, whose load was "
            f"{machine['load']:.1f} when the run began; requests were counted for "
            f"{machine['idle']:.0f} s.\n"
        ),
    ]
    for benchmark, text in zip(benchmarks, (FRESHNESS, AMONG_MANY, COST), strict=True):
        columns = list(benchmark.rows[0].figures)
        rows = ((row.subject, *map(shown, row.figures.values())) for row in benchmark.rows)
        parts += [f"## {benchmark.title[0].upper()}{benchmark.title[1:]}\n"]
        parts += [table(("", *columns), rows), text]
    return "\n".join([*parts, TAIL])
