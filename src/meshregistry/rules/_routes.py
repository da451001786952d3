"""Where requests and connections go, and what happens to them on the way."""

from __future__ import annotations

import enum

from attrs import field, frozen

from meshregistry.documents import Seconds
from meshregistry.model import Hostname
from meshregistry.rules._matches import ConnectionMatch, HttpMatch, TextMatch
from meshregistry.rules._origin import Origin

MESH = "mesh"
"""The word for all sidecars, where a rule names gateways."""


@frozen(cache_hash=True)
class Destination:
    """A service, or a subset of it.

    Attributes:
        host: whole; short names have been completed by the dialect.
        subset: as a destination policy of the host names it; empty: all endpoints.
        port: of the service; None: its only one, or the one that was called.
        asker: ``kind/namespace`` of a document that may name it only if somebody grants
            it; empty: it may. Nobody has granted those that a `RuleSet` still has.
    """

    host: Hostname
    subset: str = ""
    port: int | None = None
    asker: str = ""

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.host}{port}" + (f" subset {self.subset}" if self.subset else "")


@frozen(kw_only=True, cache_hash=True)
class HeaderOperations:
    """Changes of headers: first `remove`, then `set` (replaces), then `add` (appends)."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.set or self.add or self.remove)


@frozen(kw_only=True, cache_hash=True)
class WeightedDestination:
    """A share of the traffic: its weight by the sum of the route's weights."""

    destination: Destination
    weight: int = 1
    request: HeaderOperations = HeaderOperations()
    response: HeaderOperations = HeaderOperations()


@frozen(kw_only=True, cache_hash=True)
class Rewrite:
    r"""Changes of path and authority before forwarding.

    Attributes:
        path: replaces the part that the match's exact text or prefix matched; None: none.
        whole_path: replaces the whole path; None: none.
        pattern: RE2; with `substitution` (``\1`` refers to a group) rewrites the path.
        substitution: see `pattern`.
        authority: replaces the Host header; empty: none.
    """

    path: str | None = None
    whole_path: str | None = None
    pattern: str = ""
    substitution: str = ""
    authority: str = ""


class RedirectPort(enum.Enum):
    """A redirect's port if no number is given.

    PROTOCOL: the default of the scheme. REQUEST: the one of the request.
    """

    PROTOCOL = "FROM_PROTOCOL_DEFAULT"
    REQUEST = "FROM_REQUEST_PORT"


@frozen(kw_only=True, cache_hash=True)
class Redirect:
    """Answers with another place to go to; what is not given stays as requested.

    Attributes:
        path: the whole new path; None: unchanged.
        prefix: replaces the matched prefix instead; None: unchanged.
        authority: the new host; empty: unchanged.
        scheme: ``http`` or ``https``; empty: unchanged.
        port: the new port, or how to choose it; None: REQUEST's.
        status: 301, 302, 303, 307 or 308.
    """

    path: str | None = None
    prefix: str | None = None
    authority: str = ""
    scheme: str = ""
    port: int | RedirectPort | None = None
    status: int = 301


@frozen(kw_only=True, cache_hash=True)
class DirectResponse:
    """Answers without forwarding."""

    status: int
    body: bytes = b""


@frozen(kw_only=True, cache_hash=True)
class Retry:
    """Tries again.

    Attributes:
        attempts: further tries at most; 0 switches retries off.
        per_try_timeout: seconds; None: the route's timeout.
        retry_on: Envoy's words for conditions and status codes as text; empty: the mesh's
            default conditions.
        is_to_other_localities: whether later tries prefer other localities.
        is_previous_host_avoided: whether a try prefers hosts that were not tried yet.
        backoff: seconds before the first retry, doubled for each; None: Envoy's 25 ms.
    """

    attempts: int
    per_try_timeout: Seconds | None = None
    retry_on: tuple[str, ...] = ()
    is_to_other_localities: bool = False
    is_previous_host_avoided: bool = True
    backoff: Seconds | None = None


@frozen(kw_only=True, cache_hash=True)
class Delay:
    """Holds a percentage (0 to 100, fractions allowed) of the requests for some seconds."""

    seconds: Seconds
    percent: float = 100.0


@frozen(kw_only=True, cache_hash=True)
class Abort:
    """Answers a percentage of the requests with an HTTP or a gRPC status instead."""

    http_status: int | None = None
    grpc_status: int | None = None
    percent: float = 100.0


@frozen(kw_only=True, cache_hash=True)
class FaultInjection:
    """Faults that are injected for testing."""

    delay: Delay | None = None
    abort: Abort | None = None


@frozen(kw_only=True, cache_hash=True)
class Mirror:
    """Sends copies of a percentage of the requests elsewhere; answers are thrown away."""

    destination: Destination
    percent: float = 100.0


@frozen(kw_only=True, cache_hash=True)
class Cors:
    """Cross-origin resource sharing (Fetch standard); each as the headers of that name."""

    origins: tuple[TextMatch, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age: Seconds | None = None
    is_credentials_allowed: bool | None = None
    is_unmatched_forwarded: bool | None = None


@frozen(kw_only=True, cache_hash=True)
class HttpRoute:
    """What happens to requests that one of the matches takes (none given: all requests).

    Exactly one of destinations, redirect, response and delegate is given.

    Attributes:
        delegate: ``namespace/name`` of a rule without hosts that takes over; a `RuleSet`
            has none.
        timeout: seconds for the whole answer; None: none (Istio's default).
        is_websocket: whether upgrades are asked for explicitly (2017 rules); they always
            pass.
    """

    name: str = ""
    matches: tuple[HttpMatch, ...] = ()
    destinations: tuple[WeightedDestination, ...] = ()
    redirect: Redirect | None = None
    response: DirectResponse | None = None
    delegate: str = ""
    rewrite: Rewrite | None = None
    timeout: Seconds | None = None
    retry: Retry | None = None
    fault: FaultInjection | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors: Cors | None = None
    request: HeaderOperations = HeaderOperations()
    response_headers: HeaderOperations = HeaderOperations()
    is_websocket: bool = False
    origin: Origin = field(default=Origin(), eq=False)


@frozen(kw_only=True, cache_hash=True)
class ConnectionRoute:
    """Where connections go that one of the matches takes (none given: all)."""

    matches: tuple[ConnectionMatch, ...] = ()
    destinations: tuple[WeightedDestination, ...] = ()
    origin: Origin = field(default=Origin(), eq=False)


@frozen(kw_only=True, cache_hash=True)
class RouteRule:
    """All routes for some hosts, from one document (or, for 2017 rules, several).

    Attributes:
        namespace: of the document; short names were completed with it.
        name: of the document.
        hosts: whole host names, ``*.suffix`` or ``*``; not only of services. None: its
            routes are for rules that hand over to it.
        gateways: ``namespace/name`` of gateways, or `MESH`.
        http: in order; the first that matches decides.
        tls: for connections that stay encrypted, by server name.
        tcp: for all other connections.
        export_to: namespaces whose proxies it is for; ``*`` all, ``.`` its own.
        created: seconds since the epoch; the older document wins; 0 if unknown.
        precedence: if given, the routes of all rules for the same host that have one are
            tried together, those of higher precedence first (2017 rules); None: the oldest
            rule for a host is the only one.
        origin: the document.
    """

    namespace: str = ""
    name: str = ""
    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = (MESH,)
    http: tuple[HttpRoute, ...] = ()
    tls: tuple[ConnectionRoute, ...] = ()
    tcp: tuple[ConnectionRoute, ...] = ()
    export_to: tuple[str, ...] = ("*",)
    created: float = 0.0
    precedence: int | None = None
    origin: Origin = field(default=Origin(), eq=False)
