"""What `explain` says of a request is what the real Envoy does with it."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from yarl import URL

from meshregistry import Endpoint, Pilot, ServiceRecord, Settings
from meshregistry.agent import bootstrap, node_id
from meshregistry.model import Labels, Port, Protocol, ProxyRole, Service
from servers.backends import Echo, first_answer
from servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from servers.envoy import Envoy

    MakeEnvoy = Callable[[Mapping[str, Any]], Envoy]

DOMAIN = "shop.svc.mesh.local"
NODE = node_id(ProxyRole.SIDECAR, address="127.0.0.9", name="web", domain=DOMAIN)
VERSIONS = ("v1", "v2", "v3")
SUBSETS = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"name": "reviews", "namespace": "shop"},
    "spec": {
        "host": "reviews",
        "subsets": [{"name": name, "labels": {"version": name}} for name in VERSIONS],
    },
}

# Few words, so that conditions and requests meet often.
PIECES = st.sampled_from(["a", "b", "ab", "A", ""])
PATHS = st.lists(PIECES, max_size=3).map(lambda some: "/" + "/".join(filter(None, some)))
VALUES = st.sampled_from(["1", "2", "12", ""])
NAMES = st.sampled_from(["x-one", "x-two"])
PARAMETERS = st.sampled_from(["p", "q"])
EXPRESSIONS = st.sampled_from(["1", "1?2?", "[12]+", ".*", "2.*"])
TEXTS = st.one_of(
    st.builds(lambda value: {"exact": value}, VALUES),
    st.builds(lambda value: {"prefix": value}, st.sampled_from(["1", "2"])),
    st.builds(lambda value: {"regex": value}, EXPRESSIONS),
)
URIS = st.one_of(
    st.builds(lambda path: {"exact": path}, PATHS),
    st.builds(lambda path: {"prefix": path}, PATHS),
    st.sampled_from([{"regex": "/a.*"}, {"regex": "/[ab]/?"}, {"regex": "/(a|b)(/.*)?"}]),
)
MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "uri": URIS,
        "ignoreUriCase": st.booleans(),
        "method": st.sampled_from([{"exact": "GET"}, {"regex": "P.*"}]),
        "headers": st.dictionaries(NAMES, st.one_of(TEXTS, st.just({})), min_size=1, max_size=2),
        "withoutHeaders": st.dictionaries(NAMES, st.one_of(TEXTS, st.just({})), max_size=1),
        "queryParams": st.dictionaries(PARAMETERS, TEXTS, min_size=1, max_size=1),
        "authority": st.sampled_from([{"exact": "reviews"}, {"prefix": "rev"}, {"exact": "other"}]),
    },
)


def forwarded(version: str) -> dict[str, Any]:
    """All requests to one version."""
    return {"route": [{"destination": {"host": "reviews", "subset": version}}]}


ACTIONS = st.one_of(
    st.sampled_from(VERSIONS).map(forwarded),
    st.sampled_from([{"directResponse": {"status": 418}}, {"directResponse": {"status": 410}}]),
    st.just({"redirect": {"uri": "/there", "redirectCode": 307}}),
    st.just(forwarded("missing")),
)
ROUTES = st.builds(
    lambda action, matches: {**action, **({"match": matches} if matches else {})},
    ACTIONS,
    st.lists(MATCHES, max_size=2),
)
REQUESTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "PUT"]),
        "path": PATHS,
        "query": st.lists(st.tuples(PARAMETERS, VALUES), max_size=2),
        "headers": st.dictionaries(NAMES, VALUES, max_size=2),
    }
)


def target(request: dict[str, Any]) -> str:
    """Path and query."""
    query = "&".join(f"{name}={value}" for name, value in request["query"])
    return request["path"] + (f"?{query}" if query else "")


def words(request: dict[str, Any]) -> str:
    """The request as `explain` takes it."""
    headers = "".join(f" -H '{name}: {value}'" for name, value in request["headers"].items())
    return f"{request['method']} {target(request)}{headers}"


class Compared:
    """A sidecar, and what is explained of it.

    Attributes:
        count: of rule sets that were compared.
    """

    def __init__(
        self, pilot: Pilot, rules: Path, port: int, session: aiohttp.ClientSession
    ) -> None:
        self.count = 0
        self._pilot = pilot
        self._rules = rules
        self._port = port
        self._session = session
        self._marks = itertools.cycle(range(201, 500))

    async def explained(self, request: dict[str, Any]) -> tuple[int, str]:
        """What is said of a request: status, and who answers or where to."""
        found = self._pilot.explain(f"reviews:{self._port}", NODE, words(request))["decision"]
        if found["redirect"]:
            return found["status"], found["redirect"]
        if found["status"]:
            return found["status"], ""
        return 200, found["clusters"][0]["cluster"].split("|")[2]

    async def done(self, request: dict[str, Any]) -> tuple[int, str]:
        """What becomes of it."""
        encoded = quote(target(request), safe="/?&=")
        url = URL(f"http://127.0.0.1:{self._port}{encoded}", encoded=True)
        headers = {"Host": "reviews", **request["headers"]}
        async with self._session.request(
            request["method"], url, headers=headers, allow_redirects=False
        ) as answer:
            if answer.status == 200:
                return 200, (await answer.json())["version"]
            return answer.status, answer.headers.get("location", "")

    async def apply(self, routes: list[dict[str, Any]]) -> None:
        """Write the rules, and wait until Envoy answers by them: a first route tells."""
        mark = next(self._marks)
        told = {"match": [{"uri": {"exact": "/-mark"}}], "directResponse": {"status": mark}}
        rule = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "reviews", "namespace": "shop"},
            "spec": {"hosts": ["reviews"], "http": [told, *routes]},
        }
        self._rules.write_text(yaml.safe_dump_all([SUBSETS, rule]))
        marked = {"method": "GET", "path": "/-mark", "query": [], "headers": {}}
        async with asyncio.timeout(10):
            while (await self.done(marked))[0] != mark:
                await asyncio.sleep(0.01)

    async def compare(self, routes: list[dict[str, Any]], requests: list[dict[str, Any]]) -> None:
        """Hold one against the other."""
        await self.apply(routes)
        for request in requests:
            assert await self.done(request) == await self.explained(request), (routes, request)
        self.count += 1


def test_explained_is_done(run_async, envoy: MakeEnvoy, tmp_path: Path):
    """For generated rules and requests: who answers, with what status, or where to."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(SUBSETS))
    port = free_port()
    values = {
        "sources": [{"id": "mine", "kind": "memory"}],
        "rules": [{"kind": "file", "path": str(path)}],
        "server": {"xds": "127.0.0.1:0"},
    }

    async def main() -> int:
        async with AsyncExitStack() as stack:
            pilot = await stack.enter_async_context(Pilot(Settings.from_dict(values)))
            endpoints = [
                Endpoint(
                    address="127.0.0.1",
                    port=(await stack.enter_async_context(Echo(version))).port,
                    service_port="http",
                    labels=Labels({"version": version}),
                )
                for version in VERSIONS
            ]
            service = Service(
                host=f"reviews.{DOMAIN}",
                namespace="shop",
                ports=[Port("http", port, Protocol.HTTP)],
            )
            pilot.memory("mine").upsert(ServiceRecord(service, endpoints))
            document = bootstrap(node=NODE, cluster="web", xds=pilot.xds_address)
            await stack.enter_async_context(envoy(document))
            await first_answer(f"http://127.0.0.1:{port}/", host="reviews")
            session = await stack.enter_async_context(aiohttp.ClientSession())
            compared = Compared(pilot, path, port, session)
            loop = asyncio.get_running_loop()

            # Hypothesis calls from a thread of its own, the pilot lives on this loop.
            @seed(20171204)
            @settings(
                max_examples=40,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(
                st.lists(ROUTES, min_size=1, max_size=5),
                st.lists(REQUESTS, min_size=10, max_size=20),
            )
            def hold(routes: list[dict[str, Any]], requests: list[dict[str, Any]]) -> None:
                comparing = compared.compare(routes, requests)
                asyncio.run_coroutine_threadsafe(comparing, loop).result(50)

            await asyncio.to_thread(hold)
            return compared.count

    assert run_async(main(), timeout=180) >= 40
