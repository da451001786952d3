"""A plugin of a third party: built, installed beside the wheel of the core, served with."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from servers.backends import Backend, Traffic, first_answer
from servers.ours import serving
from servers.ports import free_port

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "docs" / "how-to" / "example_plugin"
CONSTRAINTS = ROOT / "constraints.txt"
HOST = "reviews.shop"


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """A command's output; what it said if it failed."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
    return done.stdout


def wheel(source: Path, folder: Path) -> Path:
    """Build one wheel into an empty folder."""
    run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation"),
        *("--outdir", folder, source),
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """The command ``meshregistry`` of a fresh environment that has the plugin, too."""
    folder = tmp_path_factory.mktemp("third-party")
    core = wheel(ROOT, folder / "core")
    plugin = wheel(PLUGIN, folder / "plugin")
    run(sys.executable, "-m", "venv", folder / "venv")
    run(
        *(folder / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile"),
        *("--disable-pip-version-check", "--constraint", CONSTRAINTS),
        *(f"meshregistry[server,cli] @ {core.as_uri()}", plugin),
    )
    return folder / "venv" / "bin" / "meshregistry"


def test_the_plugin_is_listed_with_its_distribution(program, tmp_path):
    """`meshregistry plugins` names the kind and where it comes from."""
    listed = json.loads(run(program, "plugins", "-o", "json", cwd=tmp_path))
    found = next(one for one in listed["plugins"] if one["name"] == "hosts")
    assert (found["distribution"], found["loaded"]) == ("meshregistry-example", True)
    assert "hosts" in [kind["name"] for kind in listed["kinds"]]


def test_a_mistake_in_its_options_is_explained(program, tmp_path):
    """Options of a foreign kind are checked as strictly as our own."""
    settings = tmp_path / "mesh.yaml"
    settings.write_text("sources:\n  - {id: lab, kind: hosts, path: hosts, prot: 80}\n")
    done = subprocess.run(
        [program, "check", "-c", settings], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "prot" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_envoy_follows_its_registry(program, envoy, tmp_path, run_async):
    """The file that only the plugin can read leads a real Envoy, also after a change."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            one = await enter(Backend("v1"))
            await enter(Backend("v2", address="127.0.0.2", port=one.port))
            hosts = tmp_path / "hosts"
            hosts.write_text(f"127.0.0.1 {HOST}\n")
            listener = free_port()
            settings = tmp_path / "mesh.yaml"
            settings.write_text(f"""
sources:
  - {{id: lab, kind: hosts, path: hosts, port: {one.port}, interval: 100ms}}
mesh:
  router: {{http_port: {listener}}}
server: {{xds: "127.0.0.1:0", http: "127.0.0.1:0"}}
""")
            addresses = await enter(serving(program, settings, log=tmp_path / "serve.log"))
            bootstrap = run(
                *(program, "bootstrap", "router", "-c", settings, "-o", "json"),
                *("--xds", addresses["xds"], "--admin", "127.0.0.1:0"),
            )
            proxy = await enter(envoy(json.loads(bootstrap)))
            await proxy.ready()
            url = f"http://127.0.0.1:{listener}/"
            authority = f"{HOST}:{one.port}"
            assert await first_answer(url, host=authority) == "v1"
            traffic = await enter(Traffic(url, host=authority))
            await traffic.only("v1")
            hosts.write_text(f"127.0.0.2 {HOST}\n")
            await traffic.only("v2")
            assert traffic.failures == []

    run_async(main())
