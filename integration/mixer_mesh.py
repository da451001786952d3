"""The mesh of one workload, with a Mixer server whose one handler a test plays."""

from __future__ import annotations

import asyncio
import re
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Self

from attrs import frozen

from meshregistry.documents import RuleUnit
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.fronts import EnvoyFronts, FrontOptions
from meshregistry.mixer.server import MixerServer
from meshregistry.mixer.spi import (
    LIST_ENTRY,
    METRIC,
    QUOTA,
    CheckAnswer,
    Code,
    DirectResponse,
    Handler,
    MixerAdapter,
    QuotaAnswer,
    QuotaLimit,
    Status,
)
from mixer_workload import Workload
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mixer_workload import MakeEnvoy


@frozen(kw_only=True)
class NoParameters:
    """The adapter of this file has none."""


class Judge(Handler):
    """Denies what begins with a word, hands out so much quota, remembers reports.

    Attributes:
        denied: the word.
        checks: what it was asked; answers hold for ``valid`` seconds.
        reports: what it was told.
        response: how denials are answered, if not by their status.
    """

    def __init__(self) -> None:
        self.denied = "/forbidden"
        self.checks: list[str] = []
        self.reports: list[dict[str, Any]] = []
        self.quota_left = 0
        self.valid = 0.0
        self.response: DirectResponse | None = None

    async def check(self, instance: Any) -> CheckAnswer:
        self.checks.append(instance.value)
        if instance.value.startswith(self.denied):
            status = Status(Code.PERMISSION_DENIED, "not for you")
            return CheckAnswer(
                status=status,
                valid_duration=self.valid,
                valid_use_count=1000,
                response=self.response,
            )
        return CheckAnswer(valid_duration=self.valid, valid_use_count=1000)

    async def quota(self, instance: Any, request: Any) -> QuotaAnswer:
        granted = request.amount if self.quota_left >= request.amount else 0
        self.quota_left -= granted
        known = QuotaLimit(amount=10, window=60.0, remaining=self.quota_left)
        return QuotaAnswer(amount=granted, valid_duration=1.0, limit=known)

    async def report(self, instances: Any) -> None:
        self.reports += [dict(one.dimensions) for one in instances]

    def adapter(self) -> MixerAdapter:
        """The adapter that opens this one handler, again and again."""
        return MixerAdapter(
            name="judge",
            config_class=NoParameters,
            templates=(LIST_ENTRY, METRIC, QUOTA),
            open=lambda _config, _context: self,
        )

    async def told(self, count: int = 1, **words: object) -> list[dict[str, Any]]:
        """Wait for so many reports with these dimensions."""
        async with asyncio.timeout(20):
            while True:
                found = [one for one in self.reports if words.items() <= one.items()]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.01)


DIMENSIONS = {
    "kind": 'context.reporter.kind | "?"',
    "uid": 'context.reporter.uid | "?"',
    "protocol": 'context.protocol | "?"',
    "host": 'destination.service.host | "?"',
    "name": 'destination.service.name | "?"',
    "namespace": 'destination.service.namespace | "?"',
    "source_uid": 'source.uid | "?"',
    "destination_uid": 'destination.uid | "?"',
    "port": "destination.port | 0",
    "path": 'request.path | "?"',
    "operation": 'api.operation | "-"',
    "key": 'request.api_key | "-"',
    "principal": 'request.auth.principal | "-"',
    "user": 'request.headers["x-user"] | "?"',
    "code": "response.code | 0",
    "request_size": "request.size | 0",
    "size": "response.size | 0",
    "total_size": "response.total_size | 0",
    "took": 'response.duration | "0ms"',
    "flags": 'context.proxy_error_code | "?"',
    "hit": "check.cache_hit | false",
    "error": 'check.error_message | "-"',
    "event": 'connection.event | "-"',
    "connection": 'connection.id | "-"',
    "received": "connection.received.bytes | 0",
    "sent": "connection.sent.bytes | 0",
    "received_total": "connection.received.bytes_total | 0",
    "lasted": 'connection.duration | "0ms"',
}


def document(kind: str, name: str, spec: str) -> str:
    """One document of Mixer."""
    head = f"apiVersion: config.istio.io/v1alpha2\nkind: {kind}\n"
    head += f"metadata: {{name: {name}, namespace: istio-system}}\nspec:\n"
    return head + "".join(f"  {line}\n" for line in dedent(spec).strip().splitlines())


def texts() -> list[str]:
    """Check, quota and report at the judge, and headers for what may go on."""
    dimensions = "".join(f"    {name}: '{text}'\n" for name, text in DIMENSIONS.items())
    return [
        document("handler", "judge", "compiledAdapter: judge"),
        document(
            "instance",
            "asked",
            "compiledTemplate: listentry\nparams: {value: 'request.path | destination.service.host'}",
        ),
        document(
            "instance",
            "rate",
            "compiledTemplate: quota\nparams: {dimensions: {host: destination.service.host}}",
        ),
        document(
            "instance",
            "told",
            f"compiledTemplate: metric\nparams:\n  value: '1'\n  dimensions:\n{dimensions}",
        ),
        document("rule", "check", "actions: [{handler: judge, instances: [asked]}]"),
        document(
            "rule",
            "limit",
            "match: 'request.path == \"/limited\"'\nactions: [{handler: judge, instances: [rate]}]",
        ),
        document(
            "rule",
            "headers",
            """
            match: 'request.path == "/headers"'
            requestHeaderOperations:
            - {name: x-host, values: [destination.service.host]}
            - {name: x-namespace, values: [destination.service.namespace]}
            - {name: x-caller, values: ['source.uid | "nobody"']}
            - {name: x-secret, operation: REMOVE}
            responseHeaderOperations:
            - {name: x-answer, values: ['"yes"'], operation: APPEND}
            """,
        ),
        document("rule", "report", "actions: [{handler: judge, instances: [told]}]"),
    ]


def documents() -> list[Any]:
    """The same, parsed."""
    return [one for text in texts() for one in RuleUnit.of_text("mixer.yaml", text).documents]


def documents_of(page: Path) -> str:
    """The documents of a page that say what requests to a service are charged."""
    (text,) = re.findall(r"```yaml\n(apiVersion: config[^`]*QuotaSpec[^`]*)```", page.read_text())
    return str(text)


class Mesh(Workload):
    """The workload, and a Mixer at a port that stays the same.

    Args:
        beside: addresses of other servers, which are asked in turn with this one.
        folder: where its documents are, if a test writes more of them.
        told_first: addresses of others that reports go to, in turn likewise.
    """

    def __init__(
        self,
        make_envoy: MakeEnvoy,
        *,
        namespace: str = "shop",
        options: FrontOptions | None = None,
        beside: Sequence[str] = (),
        folder: Path | None = None,
        told_first: Sequence[str] = (),
        **mixer: Any,
    ) -> None:
        self.judge = Judge()
        self.fronts = EnvoyFronts(options)
        self.address = f"127.0.0.1:{free_port()}"
        self.server: MixerServer | None = None
        self.folder = folder
        check = ",".join((self.address, *beside))
        report = ",".join((*told_first, self.address))
        settings = {"check": check, "report": report, **mixer}
        super().__init__(make_envoy, settings, namespace=namespace)

    async def __aenter__(self) -> Self:
        await self.start_mixer()
        return await super().__aenter__()

    async def __aexit__(self, *_: object) -> None:
        try:
            await super().__aexit__()
        finally:
            await self.stop_mixer()

    async def start_mixer(self) -> None:
        """Serve Mixer, again at the same address."""
        if self.folder is not None:
            (self.folder / "judge.yaml").write_text("---\n".join(texts()))
        self.server = MixerServer(
            self.address,
            config=self.folder,
            adapters=[self.judge.adapter(), *ADAPTERS],
            fronts=[self.fronts],
            drain=0.0,
        )
        await self.server.__aenter__()
        if self.folder is None:
            await self.server.configure(documents())
        assert [] == [str(one) for one in self.server.status().faults]

    async def stop_mixer(self) -> None:
        """Take it away, with its cache."""
        server, self.server = self.server, None
        if server is not None:
            await server.__aexit__(None, None, None)
