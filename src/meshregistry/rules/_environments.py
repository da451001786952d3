"""Test environments: some requests stay among the versions that are made for them."""

from __future__ import annotations

from attrs import field, frozen

from meshregistry.model import Labels
from meshregistry.rules._matches import HttpMatch
from meshregistry.rules._origin import Origin


@frozen(kw_only=True, cache_hash=True)
class Environment:
    """An isolated environment beside the common one.

    Its endpoints are those that carry a label. They are given the requests that match, and
    no others; of services that have no such endpoint, the fallback's endpoints take those
    requests. So an environment has only the services that it changes.

    Attributes:
        name: names it for others to fall back to; also of its subsets of services.
        match: which requests are in it.
        labels: that its endpoints carry.
        fallback: name of another environment for services that this one does not have;
            empty: the common one, which is all endpoints of no environment.
        created: seconds since the epoch; of two that match the older counts.
        origin: the document.
    """

    namespace: str = ""
    name: str
    match: HttpMatch
    labels: Labels = field(factory=Labels)
    fallback: str = ""
    created: float = 0.0
    origin: Origin = field(default=Origin(), eq=False)

    @property
    def subset(self) -> str:
        """The name of its endpoints of a service, in names of clusters: ``env=alice``."""
        return ",".join(f"{key}={value}" for key, value in sorted(self.labels.items()))
