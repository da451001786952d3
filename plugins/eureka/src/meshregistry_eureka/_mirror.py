"""What is known of a server: its instances, and who has which name; pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from meshregistry_eureka._listing import hash_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meshregistry_eureka._config import EurekaConfig
    from meshregistry_eureka._instance import Instance, Key


def names_of(instance: Instance, config: EurekaConfig) -> Mapping[str, frozenset[str]]:
    """The hosts under which an instance is published, each with its ports: plain, secure.

    A VIP address names the plain port and a secure one the secure port; the name of the
    application is that of both.
    """
    names: dict[str, frozenset[str]] = {}
    if config.apps and not any(fnmatchcase(instance.app, one.upper()) for one in config.apps):
        return names
    for kind, own, ports in (
        ("app", (instance.app.lower(),) if instance.app else (), ("plain", "secure")),
        ("vip", instance.vips, ("plain",)),
        ("secure_vip", instance.secure_vips, ("secure",)),
    ):
        if kind in config.names:
            for name in own:
                host = config.hostname.format(name=name).lower().removesuffix(".")
                names[host] = names.get(host, frozenset()).union(ports)
    return names


class Mirror:
    """The instances of one server.

    Args:
        config: says what has which name.

    Attributes:
        instances: all of them, also those that cannot be used: the hash code counts them.
    """

    def __init__(self, config: EurekaConfig) -> None:
        self.instances: dict[Key, Instance] = {}
        self._config = config
        self._named: dict[str, dict[Key, None]] = {}

    def replace(self, instances: Iterable[Instance], *, is_same_server: bool) -> set[str]:
        """Take over a full answer; the names of which something has changed.

        The server caches full answers and deltas apart from each other, so an instance in
        a full answer may be older than what a delta has said; the newer one counts. Two
        servers have no common clock, so after a change of servers the answer counts.
        """
        listed = {one.key: one for one in instances if not one.is_deleted}
        changed: set[str] = set()
        for key in [*self.instances]:
            if key not in listed:
                changed |= self._drop(key)
        for key, one in listed.items():
            known = self.instances.get(key)
            if not is_same_server or known is None or not _is_older(one, known):
                changed |= self._put(one)
        return changed

    def apply(self, instances: Iterable[Instance]) -> set[str]:
        """Apply a delta, in its order; the names of which something has changed.

        A delta repeats itself for minutes, and its entries have the state of now: both
        must not matter.
        """
        changed: set[str] = set()
        for one in instances:
            known = self.instances.get(one.key)
            if known is not None and _is_older(one, known):
                continue
            changed |= self._drop(one.key) if one.is_deleted else self._put(one)
        return changed

    def named(self, name: str) -> list[Instance]:
        """The instances that have this name, in order of their keys."""
        return [self.instances[key] for key in sorted(self._named.get(name, ()))]

    @property
    def hash_code(self) -> str:
        """As the server should compute it."""
        return hash_code(one.status for one in self.instances.values())

    def expired(self, now: int, grace: float) -> Iterator[Instance]:
        """Instances that a server keeps although their lease has run out.

        Args:
            now: by the server's clock, in milliseconds.
            grace: seconds beyond the lease that are no news.
        """
        for one in self.instances.values():
            # The server itself waits twice as long as the lease says (Lease.isExpired).
            limit = 1000 * (2 * one.duration + grace)
            if one.state == "UP" and one.renewed and now - one.renewed > limit:
                yield one

    def _put(self, one: Instance) -> set[str]:
        known = self.instances.get(one.key)
        self.instances[one.key] = one
        if known == one:
            return set()
        before = names_of(known, self._config).keys() if known is not None else set[str]()
        after = names_of(one, self._config).keys()
        for name in before - after:
            self._forget(name, one.key)
        for name in after:
            self._named.setdefault(name, {})[one.key] = None
        return {*before, *after}

    def _drop(self, key: Key) -> set[str]:
        known = self.instances.pop(key, None)
        if known is None:
            return set()
        names = {*names_of(known, self._config)}
        for name in names:
            self._forget(name, key)
        return names

    def _forget(self, name: str, key: Key) -> None:
        named = self._named[name]
        del named[key]
        if not named:
            del self._named[name]


def _is_older(one: Instance, known: Instance) -> bool:
    return 0 < one.updated < known.updated
