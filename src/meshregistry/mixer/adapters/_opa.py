"""``opa``: asks a running Open Policy Agent, over HTTP."""

from __future__ import annotations

import asyncio
import math
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from attrs import field, frozen

from meshregistry.documents import Seconds
from meshregistry.errors import MixerError
from meshregistry.mixer.adapters._extra import imported
from meshregistry.mixer.adapters._stdio import plain
from meshregistry.mixer.adapters._trouble import Trouble
from meshregistry.mixer.spi import (
    AUTHORIZATION,
    CheckAnswer,
    Code,
    Handler,
    MixerAdapter,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshregistry.mixer.spi import (
        Action,
        Authorization,
        HandlerContext,
        InstanceTypes,
        Subject,
        Value,
    )

_EXTRA = "mixer-server"
_METHOD = re.compile(r"data(\.[A-Za-z_][A-Za-z0-9_]*)+")
_RETRY = 1.0
"""Seconds between two attempts to bring policies into OPA."""
_GUESS = 1.0
"""Seconds for which clients may keep an answer that OPA did not give."""
_OK = 200


@frozen(kw_only=True)
class OpaConfig:
    """Parameters of ``opa``.

    Attributes:
        address: of OPA's HTTP API, such as ``http://127.0.0.1:8181``. The original had Rego
            built in; here OPA runs beside it.
        policy: modules in Rego that are brought into OPA, in place of former ones of this
            handler. None: OPA has its policies from elsewhere.
        check_method: the rule that is asked, such as ``data.mixerauthz.allow``; it says true or
            false.
        fail_close: deny if OPA cannot be asked or has no answer; otherwise, allow.
        caching_interval: how long clients may keep an answer; 0: a denial not at all, a
            permission as long as one to which no handler has anything to say.
        caching_use_count: how often clients may use an answer that they may keep.
        timeout: how long OPA may take.
    """

    address: str = ""
    policy: list[str] = field(factory=list)
    check_method: str
    fail_close: bool = False
    caching_interval: Seconds = Seconds(0.0)
    caching_use_count: int = 10_000
    timeout: Seconds = Seconds(1.0)


def _faults(config: OpaConfig, _instances: Mapping[str, InstanceTypes]) -> Iterable[str]:
    url = urlsplit(config.address)
    if url.scheme not in {"http", "https"} or not url.hostname:
        yield (
            "address: must be that of a running OPA; start `opa run --server` and write "
            "address: http://127.0.0.1:8181"
        )
    if not _METHOD.fullmatch(config.check_method):
        yield f"check_method: {config.check_method!r} is no rule; write data.<package>.<rule>"
    if config.caching_use_count < 0:
        yield "caching_use_count: must not be negative"
    if config.timeout <= 0:
        yield "timeout: must be more than 0"


class OpaHandler(Handler):
    """Asks OPA."""

    def __init__(self, config: OpaConfig, context: HandlerContext) -> None:
        self._config = config
        self._context = context
        self._aiohttp = imported("aiohttp", _EXTRA)
        self._session: Any = None
        base = config.address.rstrip("/")
        self._query = f"{base}/v1/{config.check_method.replace('.', '/')}"
        self._policies = f"{base}/v1/policies"
        self._prefix = f"meshregistry/{context.name}/"
        self._is_loaded = not config.policy
        self._retry_at = self._loaded_at = -math.inf
        self._loading = asyncio.Lock()
        self._trouble = Trouble(context)

    async def start(self) -> None:
        timeout = self._aiohttp.ClientTimeout(total=self._config.timeout)
        self._session = self._aiohttp.ClientSession(timeout=timeout)
        try:
            await self._load()
        except MixerError as error:
            self._failed(error)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def check(self, instance: Authorization) -> CheckAnswer:
        try:
            is_allowed = await self._asked(instance)
        except MixerError as error:
            self._failed(error)
            if self._config.fail_close:
                return CheckAnswer(status=_REJECTED)
            return CheckAnswer(valid_duration=_GUESS)
        self._trouble.is_over("OPA answers again")
        interval = self._config.caching_interval
        return CheckAnswer(
            status=Status() if is_allowed else _REJECTED,
            valid_duration=interval,
            valid_use_count=self._config.caching_use_count if interval else 0,
        )

    def _failed(self, error: MixerError) -> None:
        self._context.count("failures")
        self._trouble.is_there(str(error))

    # --- OPA ------------------------------------------------------------------------------

    async def _asked(self, instance: Authorization) -> bool:
        """What the rule says.

        Raises:
            MixerError: if there is no answer, or one that is neither true nor false.
        """
        await self._load()
        asked = {"input": input_of(instance.subject, instance.action)}
        answer = await self._call("POST", self._query, json=asked)
        age = self._context.now() - self._loaded_at
        if "result" not in answer and self._config.policy and age >= _RETRY:
            # One that was started anew has forgotten them.
            self._is_loaded = False
            await self._load()
            answer = await self._call("POST", self._query, json=asked)
        result = answer.get("result")
        if not isinstance(result, bool):
            raise MixerError(
                f"{self._config.check_method} is {result!r} in OPA, and not true or false"
                if "result" in answer
                else f"{self._config.check_method} is not defined in OPA"
            )
        return result

    async def _load(self) -> None:
        """Bring the policies into OPA, if they are not there.

        Raises:
            MixerError: if that fails; for a while it is not tried again.
        """
        if self._is_loaded:
            return
        async with self._loading:
            if self._is_loaded:
                return
            if self._context.now() < self._retry_at:
                raise MixerError("the policies are not in OPA")
            self._retry_at = self._context.now() + _RETRY
            names = [f"{self._prefix}{number}" for number in range(len(self._config.policy))]
            for name, text in zip(names, self._config.policy, strict=True):
                await self._call("PUT", self._policy(name), data=text.encode())
            there = (await self._call("GET", self._policies)).get("result") or ()
            for one in there:
                if one["id"].startswith(self._prefix) and one["id"] not in names:
                    await self._call("DELETE", self._policy(one["id"]))
            self._is_loaded = True
            self._retry_at, self._loaded_at = -math.inf, self._context.now()
            self._context.count("loads")

    def _policy(self, name: str) -> str:
        return f"{self._policies}/{quote(name)}"

    async def _call(self, method: str, url: str, **body: Any) -> dict[str, Any]:
        try:
            async with self._session.request(method, url, **body) as response:
                if response.status == _OK:
                    found = await response.json()
                    return found if isinstance(found, dict) else {}
                reason = (await response.text())[:500]
                raise MixerError(f"OPA answers {response.status} to {method} {url}: {reason}")
        except (self._aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise MixerError(f"OPA cannot be asked, {method} {url}: {reason}") from error


_REJECTED = Status(Code.PERMISSION_DENIED, "opa: request was rejected")


def input_of(subject: Subject, action: Action) -> dict[str, Any]:
    """What a policy sees as ``input``; what is empty is not there."""
    return {
        "subject": _filled(
            {
                "user": subject.user,
                "groups": [subject.groups] if subject.groups else [],
                "properties": _plain(subject.properties),
            }
        ),
        "action": _filled(
            {
                "namespace": action.namespace,
                "service": action.service,
                "method": action.method,
                "path": action.path,
                "properties": _plain(action.properties),
            }
        ),
    }


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _plain(values: Mapping[str, Value]) -> dict[str, Any]:
    return {name: plain(value) for name, value in values.items()}


OPA: Final = MixerAdapter(
    name="opa",
    config_class=OpaConfig,
    templates=(AUTHORIZATION,),
    open=OpaHandler,
    check=_faults,
    summary="asks a running Open Policy Agent",
)
