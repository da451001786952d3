"""What a request or a connection must be like for a route to take it."""

from __future__ import annotations

import enum

from attrs import field, frozen

from meshregistry.model import Labels


class TextMatchKind(enum.Enum):
    """How a text is compared.

    SEGMENTS compares whole path segments from the start: ``/a`` takes ``/a`` and ``/a/b``,
    not ``/ab`` (PathPrefix of the Kubernetes Gateway API). REGEX must match the whole text,
    in RE2 syntax.
    """

    EXACT = "exact"
    PREFIX = "prefix"
    SEGMENTS = "segments"
    SUFFIX = "suffix"
    REGEX = "regex"
    PRESENT = "present"


@frozen(cache_hash=True)
class TextMatch:
    """Compares a text; PRESENT has no value."""

    kind: TextMatchKind
    value: str = ""

    def __str__(self) -> str:
        return (
            self.kind.value
            if self.kind is TextMatchKind.PRESENT
            else f"{self.kind.value} {self.value}"
        )


@frozen(cache_hash=True)
class NamedMatch:
    """Compares the header or query parameter of a name; inverted, it must not match.

    An inverted match of a header also takes requests that do not have it.
    """

    name: str
    match: TextMatch
    is_inverted: bool = False


@frozen(kw_only=True, cache_hash=True)
class CallerMatch:
    """Which proxies a route is for. Decided while generating; never sent to a proxy.

    Attributes:
        port: of the service that is called, or of the gateway's server; None: any.
        source_labels: that the calling workload must have.
        source_namespace: of the calling workload; empty: any.
        gateways: ``namespace/name`` of gateways, or ``mesh`` for sidecars; empty: those of
            the rule.
    """

    port: int | None = None
    source_labels: Labels = field(factory=Labels)
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


@frozen(kw_only=True, cache_hash=True)
class HttpMatch:
    """A condition on a request; all that is given must hold, nothing given takes all.

    Attributes:
        name: for logs and statistics.
        path: of the URI, without the query.
        is_case_ignored: whether EXACT, PREFIX and SEGMENTS of the path ignore case.
        scheme, method, authority: each as text.
        headers: all must match.
        query: parameters; all must match.
        caller: which proxies it is for.
        stat_prefix: of statistics for requests that match.
    """

    name: str = ""
    path: TextMatch | None = None
    is_case_ignored: bool = False
    scheme: TextMatch | None = None
    method: TextMatch | None = None
    authority: TextMatch | None = None
    headers: tuple[NamedMatch, ...] = ()
    query: tuple[NamedMatch, ...] = ()
    caller: CallerMatch = CallerMatch()
    stat_prefix: str = ""

    @property
    def is_catch_all(self) -> bool:
        """Whether every request matches that comes from a proxy it is for."""
        takes_any_path = self.path is None or (
            self.path.kind in {TextMatchKind.PREFIX, TextMatchKind.SEGMENTS}
            and self.path.value in {"", "/"}
        )
        others = (self.scheme, self.method, self.authority)
        return takes_any_path and not self.headers and not self.query and others == (None,) * 3


@frozen(kw_only=True, cache_hash=True)
class ConnectionMatch:
    """A condition on a connection; all that is given must hold.

    Attributes:
        server_names: of TLS (SNI); ``*.x`` takes what ends in ``.x``; empty: any, or none.
        destination_subnets: in CIDR form or single addresses, of where the caller connects
            to.
        caller: which proxies it is for.
    """

    server_names: tuple[str, ...] = ()
    destination_subnets: tuple[str, ...] = ()
    caller: CallerMatch = CallerMatch()
