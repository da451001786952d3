"""The original's client with our server."""

from __future__ import annotations

import json

import pytest

from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.server import MixerServer
from mixer_both import documents
from mixer_original_documents import POLICY, logging
from servers.original_mixer import ask_with_original


@pytest.fixture
def config(tmp_path):
    """Makes a folder with these documents."""

    def make(*given):
        folder = tmp_path / "config"
        folder.mkdir()
        (folder / "mixer.yaml").write_text(documents(*given))
        return folder

    return make


def test_the_original_client_checks_with_our_server(original, config, run_async):
    """It prints the verdict, how long it holds, what it was made of, and quota."""
    folder = config(*POLICY)

    async def main():
        async with MixerServer("127.0.0.1:0", config=folder, adapters=ADAPTERS) as server:

            async def ask(*arguments):
                return await ask_with_original(original, "check", "-m", server.address, *arguments)

            denied = await ask("--stringmap_attributes", "request.headers=x-user:eve")
            assert "status was PERMISSION_DENIED (deny.istio-system:not you)" in denied
            assert "Valid use count: 3, valid duration: 1m0s" in denied
            assert "request.headers::x-user EXACT" in denied
            allowed = await ask("-s", "request.path=/hello,source.name=ann")
            assert "status was OK" in allowed
            assert "Valid use count: 10000, valid duration: 1m0s" in allowed
            lines = {line.strip() for line in allowed.splitlines()}
            assert {
                "context.reporter.kind ABSENCE",
                "destination.namespace ABSENCE",
                "request.headers ABSENCE",
                "request.path EXACT",
                "source.name EXACT",
            } <= lines
            quotas = [await ask("-s", "source.name=ben", "-q", "calls=20") for _ in "123"]
            granted = [one.split("Duration\n")[1].split()[:2] for one in quotas]
            assert [["calls", "20"], ["calls", "10"], ["calls", "0"]] == granted

    run_async(main())


def test_the_original_client_reports_to_our_server(original, config, run_async, tmp_path):
    """In batches; every type that it has arrives."""
    log = tmp_path / "log"
    folder = config(*logging(log))

    async def main():
        async with MixerServer("127.0.0.1:0", config=folder, adapters=ADAPTERS) as server:
            said = await ask_with_original(
                original,
                *("report", "-m", server.address, "-s", "source.name=ann"),
                *("-i", "response.code=200", "-b", "connection.mtls=true"),
                *("-t", "request.time=2026-03-04T05:06:07Z"),
                *("--duration_attributes", "response.duration=1.5s"),
                *("--bytes_attributes", "source.ip=a:0:0:1"),
                *("--stringmap_attributes", "request.headers=x-user:eve;x-more:1"),
                *("--repeat", "5", "--report_batch_size", "3"),
            )
            assert ["Report RPC returned OK"] * 2 == said.split("\n")[:2]

    run_async(main())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert 5 == len(lines)
    (written,) = {json.dumps(one) for one in lines}
    assert {
        "level": "warn",
        "time": "2026-03-04T05:06:07.000000Z",
        "instance": "entry.instance.istio-system",
        "at": "2026-03-04T05:06:07.000000Z",
        "code": 200,
        "ip": "10.0.0.1",
        "tls": True,
        "took": "1.5s",
        "user": "eve",
        "who": "ann",
    } == json.loads(written)
