"""What a running pilot can be asked: the state of its sources, and documents made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshregistry.aggregate import differences
from meshregistry.errors import MeshRegistryError
from meshregistry.model import Node, Proxy, SourceId
from meshregistry.pilot._documents import about, difference_document, explain_document, remarks
from meshregistry.pilot._drained import served
from meshregistry.pilot._identity import identity_document, naming_steps
from meshregistry.pilot._requests import http_ports, request_words
from meshregistry.rules import Decisions, RuleSet

if TYPE_CHECKING:
    from meshregistry.aggregate import SourceStatus
    from meshregistry.model import Catalog, CatalogEntry, Endpoint, Health
    from meshregistry.pilot._core import Core
    from meshregistry.pilot._derivation import Derivation
    from meshregistry.pilot._rule_book import RuleStatus


class Reading:
    """The questions that change nothing and wait for nothing; a `Pilot` answers them."""

    _core: Core | None = None

    def _running(self) -> Core:
        if self._core is None:
            raise RuntimeError("the pilot is not running: use it inside 'async with'")
        return self._core

    # --- State --------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """The current, published catalog; frozen."""
        return self._running().publisher.catalog

    @property
    def merged(self) -> Catalog:
        """What the sources say at this moment, published or not."""
        return self._running().supervisor.catalog

    def serving(self, endpoint: Endpoint) -> dict[str, Health]:
        """The services that lead to an endpoint, in the published catalog or in the next.

        With the health that it has there, published.
        """
        return dict([*served(self.merged, endpoint), *served(self.catalog, endpoint)])

    def sources(self) -> tuple[SourceStatus, ...]:
        """Condition, age, counts and last error of each source."""
        return self._running().supervisor.statuses()

    def source_order(self) -> tuple[SourceId, ...]:
        """The ids of all sources, in order of precedence."""
        return self._running().source_order()

    def unsynced(self) -> tuple[str, ...]:
        """The sources and rule sources that have not synced yet, required or not."""
        rules = self._running().rules.book.unsynced
        return (*(str(one.id) for one in self.sources() if not one.is_synced), *rules)

    @property
    def rules(self) -> RuleSet:
        """The routing configuration in force, from the rule sources of the settings."""
        return RuleSet() if self._core is None else self._core.rules.book.rules

    @property
    def decisions(self) -> Decisions:
        """What operators have decided about the catalog, from the same rule sources."""
        return Decisions() if self._core is None else self._core.rules.book.decisions

    def rule_sources(self) -> tuple[RuleStatus, ...]:
        """What each rule source has, and what is wrong with it."""
        return () if self._core is None else self._core.rules.statuses()

    def remarks(self) -> tuple[str, ...]:
        """What is not as it should be, and yet no reason to send no traffic here."""
        return tuple(remarks(self.sources(), self.rule_sources()))

    # --- Documents ----------------------------------------------------------------

    def resources_document(self, node_id: str, type_name: str | None = None) -> dict[str, Any]:
        """What a proxy with that node id would be sent, as ``/debug/resources`` shows it.

        Raises:
            ValueError: if the node id or the type is wrong.
            MissingExtraError: if the Envoy messages are not installed.
        """
        from meshregistry.pilot._derivation import resources_document  # noqa: PLC0415 - an extra

        derivation = self._derivation()
        derived = derivation.derive(derivation.key(self._proxy(node_id)))
        return resources_document(derived.resources, derived.faults, type_name)

    def explain(
        self, host: str, node_id: str | None = None, request: str | None = None
    ) -> dict[str, Any]:
        """Which sources and decisions led to what is known of a host, or ``host:port``.

        Args:
            host: of a service; with a request, any that the proxy routes.
            node_id: as this proxy sees it; needed with a request.
            request: such as ``GET /a -H 'x: y'``: the routing decision is walked, too.

        Raises:
            LookupError: if no source knows the host, or the proxy routes nothing there.
            ValueError: if the host, node id or request is malformed.
        """
        if request is not None:
            return self._explain_request(host, node_id, request)
        document = explain_document(self.merged, host, self.sources(), self._reasons)
        if node_id is not None:
            hosts = (str(entry.service.host) for entry in self.merged.find(host.partition(":")[0]))
            document["resources"] = about(self.resources_document(node_id), hosts)
        return document

    def diff(self, first: str, second: str) -> dict[str, Any]:
        """What two sources say differently, before the merge, as ``meshregistry diff`` shows it.

        Raises:
            LookupError: if there is no such source.
        """
        supervisor = self._running().supervisor
        known = [str(one) for one in self.source_order()]
        for name in (first, second):
            if name not in known:
                raise LookupError(f"there is no source {name!r}; there are: {', '.join(known)}")
        found = differences(*(supervisor.records(SourceId(one)) for one in (first, second)))
        return difference_document(first, second, found)

    def _reasons(self, entry: CatalogEntry) -> list[dict[str, Any]]:
        """What a service is merged by, before what came of it."""
        supervisor = self._running().supervisor
        policy = str(self._running().policy(entry.key))
        said = [{"what": "merge", "value": policy, "from": "the policy"}] if policy else []
        traces = (trace for source in entry.sources for trace in supervisor.traces(source))
        return [*said, *naming_steps(entry, traces)]

    def identity_document(self) -> dict[str, Any]:
        """Which records of several sources are one service, as ``--explain-identity`` shows it."""
        supervisor = self._running().supervisor
        return identity_document(
            trace for source in self.source_order() for trace in supervisor.traces(source)
        )

    def _explain_request(self, host: str, node_id: str | None, text: str) -> dict[str, Any]:
        from meshregistry.generate import HttpRequest  # noqa: PLC0415 - an extra

        if node_id is None:
            raise ValueError("a request is routed by a proxy: name one with --proxy NODE_ID")
        name, _, number = host.partition(":")
        if number and not number.isdecimal():
            raise ValueError(f"{number!r} is not a port: write HOST:PORT")
        known = self.merged.find(name)
        port = int(number) if number else min(http_ports(known), default=None)
        request = HttpRequest(host=name, port=port, **request_words(text))
        derivation = self._derivation()
        document = (
            explain_document(self.merged, host, self.sources(), self._reasons)
            if known
            else {"services": []}
        )
        decision = derivation.decision(derivation.key(self._proxy(node_id)), request)
        return {**document, "decision": decision}

    def _proxy(self, node_id: str) -> Proxy:
        try:
            return self._running().plugins.identify(Node(id=node_id))
        except MeshRegistryError as error:
            raise ValueError(str(error)) from error

    def _derivation(self) -> Derivation:
        """Of what the sources say at this moment."""
        from meshregistry.pilot._derivation import Derivation  # noqa: PLC0415 - an extra

        core = self._running()
        derivation = Derivation(core.plugins)
        derivation.renew(self.merged, core.settings.mesh, self.source_order(), self.rules)
        return derivation
