"""Routing documents in a file, and a real Envoy that does what they say.

Our own equivalents of the examples that Istio documents with Bookinfo: all requests to one
version, by user, by weight, faults, mirrors, and a gateway at the edge.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Labels, Port, Protocol, ProxyRole, Service
from servers.backends import Backend, Echo, Traffic, first_answer
from servers.certificates import write_certificate
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

DOMAIN = "shop.svc.mesh.local"
SUBSETS = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
"""


def reviews(http: str) -> str:
    """The rule for the host reviews, with these routes as YAML in one line each."""
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews, namespace: shop}}
spec: {{hosts: [reviews], http: [{http}]}}
{SUBSETS}"""


def to(version: str, weight: int = 100) -> str:
    """One destination."""
    return f"{{destination: {{host: reviews, subset: {version}}}, weight: {weight}}}"


class Mesh:
    """A pilot whose rules are in a file, a sidecar, and two versions of a service."""

    def __init__(self, pilot: Pilot, rules: Path, url: str, versions: Mapping[str, Echo]) -> None:
        self.pilot = pilot
        self.url = url
        self.versions = versions
        self._rules = rules

    async def apply(self, rules: str) -> None:
        """Write the rules, and wait until every proxy has acknowledged what they say."""
        self._rules.write_text(rules)
        before = self.pilot.rules
        async with asyncio.timeout(10):
            while self.pilot.rules is before:
                await asyncio.sleep(0.01)
        await self.acknowledged()

    async def acknowledged(self) -> None:
        """Wait until every proxy has acknowledged the current world."""
        await self.pilot.published(10)
        async with asyncio.timeout(10):
            while {
                kind["state"]
                for one in self.pilot.proxies_document()["proxies"]
                for kind in one["types"]
            } != {"SYNCED"}:
                await asyncio.sleep(0.01)

    async def until(self, is_so: Callable[[int, dict[str, Any]], bool], path: str = "/") -> None:
        """Ask until the answer is so: Envoy's threads take a change one after the other."""
        async with asyncio.timeout(10):
            while not is_so(*await self.ask(path)):
                await asyncio.sleep(0.01)

    async def ask(self, path: str = "/", **headers: str) -> tuple[int, dict[str, Any]]:
        """One request to reviews: its status, and what the backend saw."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                self.url + path,
                headers={"Host": "reviews", **headers},
                allow_redirects=False,
            ) as answer,
        ):
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else {
                "text": await answer.text(),
                "location": answer.headers.get("location"),
            }

    async def counted(self, requests: int) -> Counter[str]:
        """How many requests each version answered."""
        found: Counter[str] = Counter()
        async with aiohttp.ClientSession(headers={"Host": "reviews"}) as session:
            for _ in range(requests):
                async with session.get(self.url) as answer:
                    found[(await answer.json())["version"]] += 1
        return found


@asynccontextmanager
async def mesh(envoy: MakeEnvoy, folder: Path, rules: str) -> AsyncIterator[Mesh]:
    """Start everything; the sidecar has the first rules when this returns."""
    port = free_port()
    path = folder / "rules.yaml"
    path.write_text(rules)
    settings = Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "rules": [{"kind": "file", "path": str(path)}],
            "server": {"xds": "127.0.0.1:0"},
        }
    )
    async with AsyncExitStack() as stack:
        versions = {name: await stack.enter_async_context(Echo(name)) for name in ("v1", "v2")}
        pilot = await stack.enter_async_context(Pilot(settings))
        service = Service(
            host=f"reviews.{DOMAIN}",
            namespace="shop",
            ports=[Port("http", port, Protocol.HTTP)],
        )
        endpoints = [
            Endpoint(
                address="127.0.0.1",
                port=backend.port,
                service_port="http",
                labels=Labels({"version": name}),
            )
            for name, backend in versions.items()
        ]
        pilot.memory("mine").upsert(ServiceRecord(service, endpoints))
        node = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain=DOMAIN)
        document = bootstrap(node=node, cluster="web", xds=pilot.xds_address)
        await stack.enter_async_context(envoy(document))
        made = Mesh(pilot, path, f"http://127.0.0.1:{port}", versions)
        await first_answer(f"{made.url}/", host="reviews")
        await made.acknowledged()
        yield made


ALL_V1 = reviews(f"{{route: [{to('v1')}]}}")
# Binomial bounds: so many standard deviations are exceeded less than once in a million runs.
_DEVIATIONS = 4.9


def within(count: int, requests: int, share: float) -> bool:
    """Whether a count is what a share of the requests may be by chance."""
    spread = _DEVIATIONS * (requests * share * (1 - share)) ** 0.5
    return abs(count - requests * share) <= spread


def is_from(version: str) -> Callable[[int, dict[str, Any]], bool]:
    """An answer of a version."""
    return lambda _status, seen: seen.get("version") == version


def has_status(expected: int) -> Callable[[int, dict[str, Any]], bool]:
    """An answer with a status."""
    return lambda status, _seen: status == expected


@pytest.fixture
def routed(run_async, envoy: MakeEnvoy, tmp_path: Path) -> Callable[..., None]:
    """Runs a scenario on a mesh that starts with all requests to v1."""

    def run(scenario: Callable[[Mesh], Any], rules: str = ALL_V1) -> None:
        async def main() -> None:
            async with mesh(envoy, tmp_path, rules) as made:
                await scenario(made)

        run_async(main())

    return run


def test_all_requests_to_one_version(routed):
    """Every request goes to v1, though both versions have endpoints."""

    async def scenario(made: Mesh) -> None:
        assert await made.counted(50) == {"v1": 50}

    routed(scenario)


def test_one_user_sees_the_new_version(routed):
    """By header; everybody else stays where they were."""

    async def scenario(made: Mesh) -> None:
        await made.apply(
            reviews(
                f"{{match: [{{headers: {{end-user: {{exact: jason}}}}}}], route: [{to('v2')}]}}, "
                f"{{route: [{to('v1')}]}}"
            )
        )
        async with asyncio.timeout(10):
            while (await made.ask(**{"end-user": "jason"}))[1].get("version") != "v2":
                await asyncio.sleep(0.01)
        assert (await made.ask(**{"end-user": "anna"}))[1]["version"] == "v1"
        assert await made.counted(20) == {"v1": 20}

    routed(scenario)


@pytest.mark.parametrize("share", [50, 10])
def test_requests_are_split_by_weight(routed, share: int):
    """Within the binomial bound, and back to one version in one step."""

    async def scenario(made: Mesh) -> None:
        await made.apply(reviews(f"{{route: [{to('v1', 100 - share)}, {to('v2', share)}]}}"))
        await made.until(is_from("v2"))
        found = await made.counted(400)
        assert within(found["v2"], 400, share / 100), found
        await made.apply(reviews(f"{{route: [{to('v2')}]}}"))
        await made.until(is_from("v2"))
        assert await made.counted(50) == {"v2": 50}

    routed(scenario)


def test_a_canary_fails_no_request(routed):
    """5 %, by header, a mirror, half, all, and back, while requests flow."""

    async def scenario(made: Mesh) -> None:
        header = "match: [{headers: {x-canary: {exact: 'yes'}}}]"
        steps = (
            f"{{route: [{to('v1', 95)}, {to('v2', 5)}]}}",
            f"{{{header}, route: [{to('v2')}]}}, {{route: [{to('v1')}]}}",
            f"{{route: [{to('v1')}], mirror: {{host: reviews, subset: v2}}}}",
            f"{{route: [{to('v1', 50)}, {to('v2', 50)}]}}",
            f"{{route: [{to('v2')}]}}",
            f"{{route: [{to('v1')}]}}",
        )
        async with Traffic(f"{made.url}/", host="reviews") as traffic:
            for step in steps:
                await made.apply(reviews(step))
                so_far = traffic.answers.total()
                await traffic.until(lambda n=so_far: traffic.answers.total() > n + 20)
        assert traffic.failures == []

    routed(scenario)


def test_delays_and_aborts_are_injected(routed):
    """Into the requests that match, and no others."""

    async def scenario(made: Mesh) -> None:
        await made.apply(
            reviews(
                "{match: [{uri: {prefix: /slow}}], fault: {delay: {fixedDelay: 300ms}}, "
                f"route: [{to('v1')}]}}, "
                "{match: [{uri: {prefix: /broken}}], fault: {abort: {httpStatus: 418}}, "
                f"route: [{to('v1')}]}}, {{route: [{to('v1')}]}}"
            )
        )
        await made.until(has_status(418), "/broken")
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert (await made.ask("/slow"))[0] == 200
        # Envoy counts from the start of its loop's turn, a few milliseconds before.
        assert loop.time() - started >= 0.2
        assert (await made.ask("/"))[0] == 200

    routed(scenario)


def test_requests_are_mirrored(routed):
    """The other version sees a copy of each, and the caller only the first one's answer."""

    async def scenario(made: Mesh) -> None:
        assert made.versions["v2"].seen == 0
        await made.apply(reviews(f"{{route: [{to('v1')}], mirror: {{host: reviews, subset: v2}}}}"))
        async with asyncio.timeout(10):
            while made.versions["v2"].seen == 0:
                assert (await made.ask())[1]["version"] == "v1"
        before = made.versions["v2"].seen
        assert await made.counted(30) == {"v1": 30}
        async with asyncio.timeout(10):
            while made.versions["v2"].seen < before + 30:
                await asyncio.sleep(0.01)

    routed(scenario)


def test_requests_are_changed_answered_and_sent_elsewhere(routed):
    """Rewrite, headers, redirect and direct response."""

    async def scenario(made: Mesh) -> None:
        await made.apply(
            reviews(
                "{match: [{uri: {prefix: /old}}], rewrite: {uri: /new, authority: other}, "
                "headers: {request: {set: {x-one: '1'}, remove: [x-two]}}, "
                f"route: [{to('v1')}]}}, "
                "{match: [{uri: {exact: /away}}], redirect: {uri: /there, redirectCode: 307}}, "
                "{match: [{uri: {exact: /gone}}], "
                "directResponse: {status: 410, body: {string: no more}}}, "
                f"{{match: [{{uri: {{exact: /}}}}], route: [{to('v1')}]}}"
            )
        )
        await made.until(has_status(410), "/gone")
        assert (await made.ask("/gone"))[1]["text"] == "no more"
        status, seen = await made.ask("/old/book?q=1", **{"x-two": "2"})
        assert (status, seen["path"], seen["headers"]["host"]) == (200, "/new/book?q=1", "other")
        assert seen["headers"]["x-one"] == "1"
        assert "x-two" not in seen["headers"]
        status, seen = await made.ask("/away")
        assert status == 307
        assert seen["location"].endswith("/there")
        assert (await made.ask("/nobody"))[0] == 404

    routed(scenario)


def test_a_broken_document_changes_nothing(routed):
    """Its last good version stays in force, the other document is applied, and all is told."""

    async def scenario(made: Mesh) -> None:
        good = made.pilot.rules
        made._rules.write_text(ALL_V1.replace("weight: 100", "weight: 1000"))
        async with asyncio.timeout(10):
            while not made.pilot.rule_sources()[0].errors:
                await asyncio.sleep(0.01)
        (error,) = made.pilot.rule_sources()[0].errors
        assert "rules.yaml:5" in error.message
        assert "spec.http[0].route[0].weight" in error.message
        assert made.pilot.rules is good
        assert await made.counted(10) == {"v1": 10}

    routed(scenario)


def test_a_subset_that_is_not_there_takes_its_share_along(routed):
    """The others are not given more than their weight; it is answered with 503."""

    async def scenario(made: Mesh) -> None:
        await made.apply(reviews(f"{{route: [{to('v1', 50)}, {to('none', 50)}]}}"))
        await made.until(has_status(503))
        statuses = Counter([(await made.ask())[0] for _ in range(200)])
        assert within(statuses[503], 200, 0.5), statuses
        assert set(statuses) == {200, 503}

    routed(scenario)


def rule_of_2017(name: str, precedence: int, spec: str) -> str:
    """A RouteRule for the host reviews."""
    return f"""
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {{name: {name}, namespace: shop}}
spec: {{destination: {{name: reviews}}, precedence: {precedence}, {spec}}}
"""


def test_the_documents_of_2017(routed):
    """By precedence, with subsets by labels; what no rule takes goes to the service."""
    to_v1 = "route: [{labels: {version: v1}}]"
    by_user = (
        "match: {request: {headers: {end_user: {exact: jason}}}}, "
        "route: [{labels: {version: v2}, weight: 100}]"
    )
    some = "match: {request: {headers: {uri: {prefix: /v1}}}}, " + to_v1

    async def scenario(made: Mesh) -> None:
        assert await made.counted(30) == {"v1": 30}
        await made.apply(rule_of_2017("default", 1, to_v1) + rule_of_2017("user", 2, by_user))
        async with asyncio.timeout(10):
            while (await made.ask(end_user="jason"))[1].get("version") != "v2":
                await asyncio.sleep(0.01)
        assert await made.counted(20) == {"v1": 20}
        await made.apply(rule_of_2017("some", 1, some))
        await made.until(is_from("v2"))
        assert {(await made.ask("/v1"))[1]["version"] for _ in range(20)} == {"v1"}

    routed(scenario, rule_of_2017("default", 1, to_v1))


def test_a_gateway_at_the_edge(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """Plain HTTP is sent to https, which ends here; other hosts are not found."""
    plain, secure = free_port(), free_port()
    certificate, key = write_certificate(tmp_path / "edge", "shop.example")
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  servers:
    - {{port: {{number: {plain}, protocol: HTTP}}, hosts: [shop.example], tls: {{httpsRedirect: true}}}}
    - port: {{number: {secure}, protocol: HTTPS, name: https}}
      hosts: [shop.example]
      tls: {{mode: SIMPLE, serverCertificate: {certificate}, privateKey: {key}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: shop}}
spec:
  hosts: [shop.example]
  gateways: [edge]
  http: [{{route: [{{destination: {{host: web}}}}]}}]
"""
    )
    settings = Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "rules": [{"kind": "file", "path": str(rules)}],
            "server": {"xds": "127.0.0.1:0"},
        }
    )

    async def main() -> None:
        async with AsyncExitStack() as stack:
            web = await stack.enter_async_context(Backend("web"))
            pilot = await stack.enter_async_context(Pilot(settings))
            endpoint = Endpoint(address="127.0.0.1", port=web.port)
            record = ServiceRecord.parse(f"web.{DOMAIN}", port=80, endpoints=[endpoint])
            pilot.memory("mine").upsert(record)
            document = bootstrap(node="edge-1", cluster="edge", xds=pilot.xds_address)
            await stack.enter_async_context(envoy(document))
            trust = ssl.create_default_context(cafile=str(certificate))
            session = await stack.enter_async_context(
                aiohttp.ClientSession(headers={"Host": "shop.example"})
            )
            status = 0
            async with asyncio.timeout(20):
                while status != 301:
                    try:
                        url = f"http://127.0.0.1:{plain}/a"
                        async with session.get(url, allow_redirects=False) as answer:
                            status = answer.status
                            location = answer.headers.get("location", "")
                    except aiohttp.ClientError:
                        await asyncio.sleep(0.01)
            assert location.startswith("https://shop.example")
            url = f"https://127.0.0.1:{secure}/a"
            async with session.get(url, ssl=trust, server_hostname="shop.example") as answer:
                assert (answer.status, await answer.text()) == (200, "web")
            other = {"Host": "other.example"}
            url = f"http://127.0.0.1:{plain}/a"
            async with session.get(url, headers=other) as answer:
                assert answer.status == 404

    run_async(main())
