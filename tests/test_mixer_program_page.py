"""docs/how-to/mixer-in-a-program.md: its programs run, against the server of the first page."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from tests.test_mixer_page import serving

from meshregistry.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "mixer-in-a-program.md"
TEXT = PAGE.read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:9091"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(MANIFEST,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def address():
    """Where the demo server listens."""
    with serving("--demo") as (found, _):
        yield found


@pytest.fixture
def ran(address, capsys):
    """Runs a program of the page, as it stands but for the address; what it prints and defines."""

    def run(which):
        (program,) = [one for one in PROGRAMS if which in one]
        assert ADDRESS in program
        names = {"__name__": "__main__"}
        exec(compile(program.replace(ADDRESS, address), PAGE.name, "exec"), names)
        return capsys.readouterr().out, names

    return run


@pytest.mark.parametrize(
    ("which", "printed"),
    [
        (
            "ClientOptions",
            "False 403 forbidding.istio-system:nobody may see this\n",
        ),
        ("ThreadedMixerClient", "[True, False]\n"),
        ("MixerInterceptor", "checked and reported on port "),
        ("STANDARD.extended", "AttributeBag"),
    ],
)
def test_the_programs_run(ran, which, printed):
    """And print what their server says."""
    assert ran(which)[0].startswith(printed)


def test_the_application_is_guarded(ran):
    """From its first request to the end of its life, by its host's calls."""
    _, names = ran("MixerMiddleware")

    async def request(path):
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"shop")],
            "client": ("127.0.0.1", 1),
            "server": None,
        }
        await names["app"](scope, receive, send)
        return sent[0]["status"], sent[-1]["body"]

    async def host():
        come, said = asyncio.Queue(), asyncio.Queue()
        life = asyncio.create_task(names["app"]({"type": "lifespan"}, come.get, said.put))
        async with asyncio.timeout(20):
            await come.put({"type": "lifespan.startup"})
            assert "lifespan.startup.complete" == (await said.get())["type"]
            answers = [await request(path) for path in ("/", "/forbidden/fruit")]
            await come.put({"type": "lifespan.shutdown"})
            assert "lifespan.shutdown.complete" == (await said.get())["type"]
            await life
        return answers

    welcome, denied = asyncio.run(host())
    assert (200, b"welcome\n") == welcome
    assert (403, b"PERMISSION_DENIED:forbidding.istio-system:nobody may see this") == denied
    assert 2 == names["client"].statistics()["total_reports_sent"]


def test_the_manifest_is_right(tmp_path, address, capsys):
    """Also for the command, in the words of the page."""
    (tmp_path / "shop.yaml").write_text(MANIFEST, encoding="utf-8")
    assert "`meshregistry mixer ask --manifests policies/ shop.tenant=acme`" in TEXT
    words = ["--manifests", str(tmp_path), "shop.tenant=acme", "shop.items=3"]
    assert 0 == main(["mixer", "ask", "--server", address, *words])
    assert "ALLOWED\n" == capsys.readouterr().out
