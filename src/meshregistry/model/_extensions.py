"""What plugins add to the resources that are derived, and what they change in them.

Plain values. They say which facts of a proxy they read, so that proxies which do not differ
in those share what is made; all else is blank to them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any, Final

from attrs import evolve, field, frozen

from meshregistry.model._proxy import ProxyKey, ProxyRole
from meshregistry.model._resource_types import TYPE_TRAITS, type_url

KEY_FACTS: Final = ("namespace", "addresses", "network", "locality")
"""What a patch may read of a proxy's key beside its role and its labels."""


class Removal(enum.Enum):
    """The type of `REMOVED`."""

    REMOVED = "removed"


REMOVED: Final = Removal.REMOVED
"""What a patch returns to take a resource away."""


def _always(_key: ProxyKey) -> bool:
    return True


def _words(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        msg = f"give several names, not the text {names!r}: write ({names!r},)"
        raise TypeError(msg)
    return tuple(sorted(set(names)))


def _is_named(_self: object, _attribute: object, name: str) -> None:
    if not name:
        raise ValueError("it needs a name: it is what messages call it")


@frozen(kw_only=True, eq=False)
class ResourcePatch:
    """A last change to the resources of one type; what an EnvoyFilter is in Istio.

    Pure: the same message and key give the same result, on every replica. The message is a
    copy, so `apply` may change it and give it back.

    Attributes:
        name: unique within its plugin.
        type_url: of the resources, such as `meshregistry.model.LISTENER`; a short name such
            as ``lds`` is taken, too.
        apply: the message and the proxy's key in; the message out, or `REMOVED`. A message
            of another type or name, and no message at all, are faults.
        applies: whether it has to do with proxies of this key.
        order: patches with a lower number come first; equal ones by plugin, then by name.
        reads: the facts of the key that the two functions look at, of `KEY_FACTS`; the
            role is always there.
        labels: the keys of the workload labels that they look at.
        is_required: what becomes of a resource for which it fails: it is left out if true
            (for what guards something), else it stays as it was.
    """

    name: str = field(validator=_is_named)
    type_url: str = field(converter=type_url)
    apply: Callable[[Any, ProxyKey], Any]
    applies: Callable[[ProxyKey], bool] = _always
    order: int = 0
    reads: tuple[str, ...] = field(default=(), converter=_words)
    labels: tuple[str, ...] = field(default=(), converter=_words)
    is_required: bool = False

    @type_url.validator
    def _is_a_known_type(self, _attribute: object, value: str) -> None:
        if value not in TYPE_TRAITS:
            names = ", ".join(traits.name for traits in TYPE_TRAITS.values())
            msg = f"resources of the type {value} are never made: use one of {names}"
            raise ValueError(msg)

    @reads.validator
    def _are_known_facts(self, _attribute: object, value: tuple[str, ...]) -> None:
        for name in value:
            if name not in KEY_FACTS:
                facts = ", ".join(KEY_FACTS)
                msg = f"a patch cannot read {name!r}: use {facts}; name labels in labels="
                raise ValueError(msg)

    def reduced(self, key: ProxyKey) -> ProxyKey:
        """The key with nothing but what this patch reads."""
        blank = ProxyKey(
            role=key.role,
            labels={name: key.labels[name] for name in self.labels if name in key.labels},
        )
        return evolve(blank, **{name: getattr(key, name) for name in self.reads})


@frozen(kw_only=True, eq=False)
class ResourceGenerator:
    """Further resources for proxies, beside those that services and rules give.

    Attributes:
        name: unique within its plugin.
        generate: a `meshregistry.generate.View` in, resources out: messages of Envoy's, or
            `Resource` values. Pure. One that has the type and name of another resource of
            the same proxy is left out, and reported.
        roles: the proxies that get them.
        reads: the facts of the view that it looks at; the others are blank. As for
            `meshregistry.generate.ScopeGenerator`.
    """

    name: str = field(validator=_is_named)
    generate: Callable[[Any], Iterable[Any]]
    roles: frozenset[ProxyRole] = field(
        default=frozenset({ProxyRole.SIDECAR, ProxyRole.ROUTER}), converter=frozenset
    )
    reads: tuple[str, ...] = field(default=(), converter=_words)
