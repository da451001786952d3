"""Typed calls to the hooks that are asked while a Pilot runs.

Each implementation is called by itself: pluggy stops at the first exception, and one bad
plugin must not silence the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.errors import AdsError, PluginError
from meshregistry.model import MergePolicy, Proxy, Verdict

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Sequence

    import pluggy

    from meshregistry.errors import RegistryError
    from meshregistry.model import Node, Peer, ServiceKey, SourceId
    from meshregistry.spi import Condition

_IDENTIFY = "meshregistry_identify_proxy"
_POLICY = "meshregistry_merge_policy"
_ADMIT = "meshregistry_admit_proxy"
_CHANGED = "meshregistry_source_changed"
_REJECTED = "meshregistry_resources_rejected"


@frozen
class _Implementation:
    plugin: str
    call: Callable[..., Any]


class HookCalls:
    """The hooks of one manager, as functions with types.

    Args:
        manager: with every good plugin registered under its place in `names`.
        names: of the plugins, in order of precedence.
        logger: for faults of plugins.
    """

    def __init__(
        self, manager: pluggy.PluginManager, names: Sequence[str], logger: logging.Logger
    ) -> None:
        self._logger = logger
        self._told: set[tuple[str, str, str]] = set()
        self.faults: Counter[tuple[str, str]] = Counter()
        self._by_hook = {
            hook: tuple(_implementations(manager, hook, names))
            for hook in (_IDENTIFY, _POLICY, _ADMIT, _CHANGED, _REJECTED)
        }

    def identify(self, node: Node) -> Proxy:
        """Who a client is: the first answer wins.

        A plugin that fails is not passed over, since the next one could take the client
        for somebody else.

        Raises:
            RemoteAdsError: if the node's claims are malformed.
            PluginError: if a plugin fails, answers nonsense, or nobody answers.
        """
        for one in self._by_hook[_IDENTIFY]:
            try:
                proxy = one.call(node=node)
            except AdsError:
                raise
            except Exception as error:
                self._fault(one, _IDENTIFY, error)
                msg = f"the plugin {one.plugin!r} failed to identify the node {node.id!r}: {error}"
                raise PluginError(msg, plugin=one.plugin) from error
            if isinstance(proxy, Proxy):
                return proxy
            if proxy is not None:
                msg = f"the plugin {one.plugin!r} answered {_IDENTIFY} with {type(proxy).__name__}; return a Proxy or None"
                wrong = PluginError(msg, plugin=one.plugin)
                self._fault(one, _IDENTIFY, wrong)
                raise wrong
        msg = f"no plugin identifies the node {node.id!r}; register the built-in plugins too"
        raise PluginError(msg, plugin="")

    def merge_policy(self, key: ServiceKey) -> MergePolicy:
        """How to merge one service: the first answer wins.

        A plugin that fails is counted and the next one is asked: a service must not
        vanish because of a decision about it.
        """
        for one in self._by_hook[_POLICY]:
            try:
                policy = one.call(key=key)
            except Exception as error:  # noqa: BLE001 - foreign code; logged and counted
                self._fault(one, _POLICY, error)
                continue
            if isinstance(policy, MergePolicy):
                return policy
            if policy is not None:
                self._fault(one, _POLICY, _wrong(policy, "a MergePolicy or None"))
        return MergePolicy()

    def admit(self, proxy: Proxy, peer: Peer) -> Verdict:
        """Whether a proxy may come in: everybody is asked, any refusal wins.

        A plugin that fails or answers nonsense refuses.
        """
        reasons = []
        for one in self._by_hook[_ADMIT]:
            try:
                (verdict,) = one.call(proxy=proxy, peer=peer) or (None,)
            except Exception as error:  # noqa: BLE001 - foreign code; logged, counted, and a refusal
                self._fault(one, _ADMIT, error)
                reasons.append(f"the plugin {one.plugin!r} failed to decide")
                continue
            if verdict is None:
                continue
            if not isinstance(verdict, Verdict):
                self._fault(one, _ADMIT, _wrong(verdict, "a Verdict or None"))
                reasons.append(f"the plugin {one.plugin!r} failed to decide")
            elif not verdict.is_allowed:
                reasons.append(verdict.reason or f"the plugin {one.plugin!r} refuses it")
        return Verdict.refuse("; ".join(reasons)) if reasons else Verdict.allow()

    def source_changed(
        self, source: SourceId, condition: Condition, error: RegistryError | None
    ) -> None:
        """Tell everybody that a source's condition has changed."""
        self._tell(_CHANGED, source=source, condition=condition, error=error)

    def resources_rejected(self, proxy: Proxy, type_url: str, version: str, error: str) -> None:
        """Tell everybody that a proxy has refused resources."""
        self._tell(_REJECTED, proxy=proxy, type_url=type_url, version=version, error=error)

    def _tell(self, hook: str, **facts: object) -> None:
        for one in self._by_hook[hook]:
            try:
                one.call(**facts)
            except Exception as error:  # noqa: BLE001 - foreign code; logged and counted
                self._fault(one, hook, error)

    def _fault(self, one: _Implementation, hook: str, error: Exception) -> None:
        self.faults[one.plugin, hook] += 1
        told = (one.plugin, hook, type(error).__name__)
        # A fault that comes with every service or proxy is told once; the rest is in the counter.
        if told not in self._told:
            self._told.add(told)
            self._logger.error(
                "the hook %s of the plugin %r failed; update or disable it",
                hook,
                one.plugin,
                exc_info=error,
            )


def _wrong(answer: object, wanted: str) -> TypeError:
    return TypeError(f"it answered with {type(answer).__name__}; return {wanted}")


def _implementations(
    manager: pluggy.PluginManager, hook: str, names: Sequence[str]
) -> Iterator[_Implementation]:
    """One caller for each plugin that implements a hook, in order of precedence."""
    found = sorted(getattr(manager.hook, hook).get_hookimpls(), key=_precedence)
    for own in dict.fromkeys(one.plugin_name for one in found):
        others = [plugin for other, plugin in manager.list_name_plugin() if other != own]
        yield _Implementation(names[int(own)], manager.subset_hook_caller(hook, others))


def _precedence(one: pluggy.HookImpl) -> tuple[int, int]:
    # pluggy reverses the order of registration for all but trylast; ours is the same for all.
    rank = 0 if one.tryfirst else 2 if one.trylast else 1
    return rank, int(one.plugin_name)
