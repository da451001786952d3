"""Documents say which requests to a service are charged, and which API they are for.

The Envoys are stock, and know nothing of it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixer_mesh import Mesh, documents_of
from mixer_workload import WEB

if TYPE_CHECKING:
    from collections.abc import Callable

    from mixer_workload import MakeEnvoy

_PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "mixer-with-envoy.md"
_FILE = "shop.yaml"


def test_documents_charge_requests_and_name_their_operation(
    run_async: Callable[..., Any], envoy: MakeEnvoy, tmp_path: Path
) -> None:
    """At the number that the page binds; a changed document is in force while all runs."""
    folder = tmp_path / "policies"
    folder.mkdir()
    text = documents_of(_PAGE)
    (folder / _FILE).write_text(text)

    async def main() -> None:
        async with Mesh(envoy, folder=folder) as mesh:
            await mesh.sidecar()
            await _runs_out(mesh)
            (folder / _FILE).write_text(text.replace("/orders/{id}", "/books/{id}"))
            await mesh.until("/orders/1", 200)
            # The quota's keeper is the same, and has nothing left.
            assert 429 == (await mesh.get("/books/1"))[0]
            assert 200 == (await mesh.get("/orders"))[0]
            await mesh.judge.told(kind="inbound", path="/books/1", operation="read-order", code=429)
            await _stays(mesh, folder / _FILE, text.replace("charge: 1", "charge: none"))
            (folder / _FILE).unlink()
            await mesh.until("/books/1", 200)

    run_async(main())


def test_a_request_through_two_envoys_is_charged_once_if_the_clause_says_so(
    run_async: Callable[..., Any], envoy: MakeEnvoy, tmp_path: Path
) -> None:
    """Router and sidecar both ask; a clause on the side counts one of them."""
    folder = tmp_path / "policies"
    folder.mkdir()
    clause = "api.operation: {exact: read-order}"
    text = documents_of(_PAGE)
    assert clause in text

    async def main(written: str, expected: list[int]) -> None:
        (folder / _FILE).write_text(written)
        async with Mesh(envoy, folder=folder) as mesh:
            await mesh.sidecar()
            await mesh.router()
            codes = [(await mesh.get(f"/orders/{number}", edge=True))[0] for number in range(4)]
            assert expected == codes
            # What the router's log says agrees with what it asked.
            code = 200 if expected[1] == 200 else 429
            known = {"uid": "edge-1", "operation": "read-order", "host": WEB}
            await mesh.judge.told(path="/orders/1", code=code, **known)

    run_async(main(text, [200, 429, 429, 429]))
    once = text.replace(clause, f"{clause}, context.reporter.kind: {{exact: inbound}}")
    run_async(main(once, [200, 200, 200, 429]))


async def _runs_out(mesh: Mesh) -> None:
    """Three of the operation, and as many of everything else as there are."""
    paths = ["/orders/1", "/orders/2?key=mine", "/free", "/orders/3", "/orders/4", "/orders/1/x"]
    codes = [(await mesh.get(path))[0] for path in paths]
    assert [200, 200, 200, 200, 429, 200] == codes
    status, body, _ = await mesh.get("/orders/5")
    assert (429, "RESOURCE_EXHAUSTED:Quota is exhausted for: orders") == (status, body)
    known = {"host": WEB, "operation": "read-order"}
    for kind in ("inbound", "outbound"):
        await mesh.judge.told(kind=kind, path="/orders/2?key=mine", key="mine", code=200, **known)
        await mesh.judge.told(kind=kind, path="/free", operation="-", key="-", code=200)
    await mesh.judge.told(kind="inbound", path="/orders/4", code=429, flags="UAEX", **known)


async def _stays(mesh: Mesh, file: Path, broken: str) -> None:
    """What a document said before it was broken is in force, and the fault is told."""
    file.write_text(broken.replace("/orders/{id}", "/books/{id}"))
    assert mesh.server is not None
    async with asyncio.timeout(20):
        while not mesh.server.status().kept:
            await asyncio.sleep(0.02)
    # The binding, too: what it names is not there as it is written.
    kept = ("QuotaSpec shop/reading", "QuotaSpecBinding shop/reading")
    assert kept == mesh.server.status().kept
    assert "must be a whole number above 0" in str(mesh.server.status().faults[0])
    assert 429 == (await mesh.get("/books/1"))[0]
    assert 200 == (await mesh.get("/free"))[0]
