"""What is said of the services of a whole configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.mixer import vocabulary as v
from meshregistry.mixer._attributes import StringMap
from meshregistry.mixer.services._api import Api
from meshregistry.mixer.services._quota_rules import QuotaRules
from meshregistry.mixer.services._selecting import Binding

if TYPE_CHECKING:
    from meshregistry.mixer._attributes import AttributeBag


@frozen(kw_only=True)
class ServiceSpecs:
    """APIs and charges by the services that requests are for.

    Attributes:
        apis: by their full names.
        api_bindings: for which services they are, in the order of the documents.
        quotas: what requests are charged, by full names.
        quota_bindings: likewise.
    """

    apis: Mapping[str, Api] = field(factory=dict)
    api_bindings: tuple[Binding, ...] = ()
    quotas: Mapping[str, QuotaRules] = field(factory=dict)
    quota_bindings: tuple[Binding, ...] = ()
    # By names: there are as many as there are combinations that bindings make.
    _merged: dict[tuple[str, ...], Api] = field(init=False, factory=dict, eq=False, repr=False)

    def api(self, service: AttributeBag) -> Api | None:
        """What is bound to a service as one API; None: nothing is.

        It can be given as ``api=`` to what is ready-made for programs.

        Args:
            service: attributes with ``destination.service.…``, such as those of a request.
        """
        names = _bound(self.api_bindings, service)
        if not names:
            return None
        found = self._merged.get(names)
        if found is None:
            found = self._merged[names] = Api.merged(self.apis[name] for name in names)
        return found

    def described(self, request: AttributeBag) -> AttributeBag:
        """A request of HTTP with the attributes of its API; anything else stays as it is."""
        api = self.api(request) if self.api_bindings else None
        path = request.get(v.REQUEST_URL_PATH)
        if api is None or not isinstance(path, str):
            return request
        method = request.get(v.REQUEST_METHOD)
        more = api.describe(
            method if isinstance(method, str) else "",
            path,
            _map(request.get(v.REQUEST_QUERY_PARAMS)),
            _map(request.get(v.REQUEST_HEADERS)),
        )
        return request.updated(more)

    def charges(self, request: AttributeBag) -> dict[str, int]:
        """What a request or a connection is charged, by the names of quotas; it all adds up.

        It can be given as ``quotas=`` to what is ready-made for programs.
        """
        amounts: dict[str, int] = {}
        for name in _bound(self.quota_bindings, request) if self.quota_bindings else ():
            for quota, amount in self.quotas[name](request).items():
                amounts[quota] = amounts.get(quota, 0) + amount
        return amounts


def _bound(bindings: tuple[Binding, ...], bag: AttributeBag) -> tuple[str, ...]:
    """The specs for a request; one that is bound twice counts once."""
    return tuple(dict.fromkeys(name for one in bindings if one.is_match(bag) for name in one.specs))


def _map(value: object) -> Mapping[str, str]:
    return value if isinstance(value, StringMap) else {}
