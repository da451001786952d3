"""``meshregistry mixer``: documents are checked, a server is asked."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import click
import grpc
import pytest
from attrs import frozen

from meshregistry.cli import Exit
from meshregistry.cli._mixer_attributes import attributes
from meshregistry.errors import MixerError
from meshregistry.mixer import AttributeBag
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.server import MixerServer, MixerServerTls
from meshregistry.mixer.spi import (
    CHECK_NOTHING,
    REPORT_NOTHING,
    CheckAnswer,
    Code,
    Handler,
    MixerAdapter,
    Status,
)

RULE = """
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: r, namespace: istio-system}
spec: {match: MATCH, actions: [{handler: h, instances: [i]}]}
"""
GOOD = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: h, namespace: istio-system}
spec: {compiledAdapter: noop}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: i, namespace: istio-system}
spec: {compiledTemplate: checknothing}
---
"""


SERVICES = """
services:
  - host: reviews.shop
    ports: [{port: 9080, protocol: HTTP}]
    endpoints:
      - {address: 10.0.0.1, port: 9080, labels: {app: bad}}
      - {address: 10.0.0.2, port: 9080, labels: {app: good}}
"""
CATALOG = """
apiVersion: config.istio.io/v1alpha2
kind: kubernetesenv
metadata: {name: env, namespace: istio-system}
spec: {}
---
apiVersion: config.istio.io/v1alpha2
kind: kubernetes
metadata: {name: who, namespace: istio-system}
spec:
  source_ip: source.ip | ip("0.0.0.0")
  attribute_bindings: {source.labels: $out.source_labels | emptyStringMap()}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: who, namespace: istio-system}
spec: {actions: [{handler: env.kubernetesenv, instances: [who.kubernetes]}]}
---
apiVersion: config.istio.io/v1alpha2
kind: denier
metadata: {name: no, namespace: istio-system}
spec: {status: {code: 7, message: not from there}}
---
apiVersion: config.istio.io/v1alpha2
kind: checknothing
metadata: {name: any, namespace: istio-system}
spec: {}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: bad, namespace: istio-system}
spec:
  match: source.labels["app"] == "bad"
  actions: [{handler: no.denier, instances: [any.checknothing]}]
"""


TOLD = """\
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: other, namespace: istio-system}
spec: {compiledAdapter: noop}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: told, namespace: istio-system}
spec: {compiledTemplate: reportnothing}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: told, namespace: istio-system}
spec: {actions: [{handler: h, instances: [told]}, {handler: other, instances: [told]}]}
"""
CHARGE = """\
apiVersion: config.istio.io/v1alpha2
kind: quota
metadata: {name: orders, namespace: shop}
spec: {}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpec
metadata: {name: limit, namespace: shop}
spec: {rules: [{quotas: [{quota: orders, charge: 1}]}]}
"""


class TestCheck:
    """Documents without a server."""

    def test_good_documents(self, run, tmp_path):
        """Exit code 0, and their number."""
        (tmp_path / "a.yaml").write_text(GOOD + RULE.replace("MATCH", "request.path == `/`"))
        ran = run("mixer", "check", str(tmp_path))
        assert (ran.code, ran.out) == (0, "")
        assert ran.err == "no faults in 3 documents\n"

    def test_a_fault_has_its_place(self, run, tmp_path):
        """File, line, field, reason, and a caret under the column."""
        file = tmp_path / "a.yaml"
        file.write_text(GOOD + RULE.replace("MATCH", "request.pth == `/`"))
        ran = run("mixer", "check", str(file))
        assert ran.code == Exit.WRONG_INPUT
        first, text, caret = ran.out.splitlines()[:3]
        assert first.startswith(f"{file}:16:")
        assert "spec.match: unknown attribute request.pth: did you mean request.path?" in first
        assert text.index("request") == caret.index("^")

    def test_a_charge_for_nobody_is_told_and_no_fault(self, run, tmp_path):
        """With its place and what to add."""
        file = tmp_path / "a.yaml"
        file.write_text(CHARGE)
        ran = run("mixer", "check", str(tmp_path))
        assert (ran.code, ran.err) == (0, "no faults in 2 documents\n")
        assert ran.out == (
            f"{file}:6:1: QuotaSpec shop/limit is bound to no service; "
            "add a QuotaSpecBinding that names it\n"
        )

    def test_a_place_without_documents_is_a_warning(self, run, tmp_path):
        """A folder with nothing for us in it, and an empty file; not what has a fault."""
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "notes.txt").write_text("later")
        (tmp_path / "none.yaml").write_text("# later\n")
        (tmp_path / "good" / "below").mkdir(parents=True)
        (tmp_path / "good" / "below" / "a.yaml").write_text(GOOD)
        ran = run(
            "mixer", "check", *(str(tmp_path / one) for one in ("empty", "none.yaml", "good"))
        )
        assert (ran.code, ran.err) == (0, "no faults in 2 documents\n")
        first, second = ran.out.splitlines()
        assert first.startswith(f"warning: {tmp_path / 'empty'}: there is no document in it; ")
        assert second.startswith(f"warning: {tmp_path / 'none.yaml'}: there is no document in it; ")
        (tmp_path / "none.yaml").write_text("a: [")
        ran = run("mixer", "check", str(tmp_path / "none.yaml"))
        assert (ran.code, len(ran.out.splitlines())) == (Exit.WRONG_INPUT, 1)

    def test_a_plugin_that_cannot_be_loaded(self, run, tmp_path, monkeypatch):
        """Is told, before its adapter is said not to be there; it is no fault of the documents."""
        info = tmp_path / "meshregistry_office-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: office\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text("[meshregistry]\noffice = no_such_module\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "a.yaml").write_text(GOOD)
        ran = run("mixer", "check", str(tmp_path / "a.yaml"))
        assert (ran.code, ran.out.count("\n")) == (0, 1)
        assert ran.out.startswith(
            "warning: the plugin 'office' cannot be imported from no_such_module: "
        )

    def test_what_is_not_there(self, run, tmp_path):
        """Is named."""
        ran = run("mixer", "check", str(tmp_path / "nope"))
        assert ran.code == Exit.WRONG_INPUT
        assert "nope" in ran.err

    def test_the_standard_configuration(self, run, tmp_path):
        """Rules may refer to it."""
        (tmp_path / "a.yaml").write_text(
            GOOD
            + RULE.replace("MATCH", "'true'").replace("instances: [i]", "instances: [accesslog]")
        )
        assert run("mixer", "check", str(tmp_path)).code == Exit.WRONG_INPUT
        assert run("mixer", "check", "--standard", str(tmp_path)).code == 0


class TestAttributes:
    """Words of the command line."""

    def test_values_by_type(self):
        """Numbers, booleans, times, durations, addresses, entries of maps."""
        words = [
            "request.path=/a=b",
            "request.size=5",
            "connection.mtls=true",
            "response.duration=12ms",
            "request.time=2026-01-02T03:04:05+00:00",
            "source.ip=10.0.0.1",
            "request.headers[a]=1",
            "request.headers[b]=",
        ]
        bag = attributes(words)
        assert bag["request.path"] == "/a=b"
        assert (bag["request.size"], bag["connection.mtls"]) == (5, True)
        assert bag["response.duration"].total_seconds() == 0.012
        assert bag["source.ip"] == b"\n\0\0\1"
        assert dict(bag["request.headers"]) == {"a": "1", "b": ""}
        assert isinstance(bag, AttributeBag)

    @pytest.mark.parametrize(
        ("word", "reason"),
        [
            ("request.path", "is no attribute: write NAME=VALUE"),
            ("request.pth=/", "did you mean request.path"),
            ("request.headers=x", r"write request.headers\[KEY\]=VALUE"),
            ("request.path[x]=y", "write request.path=VALUE"),
            ("request.size=many", "request.size is INT64"),
            ("request.size=many", "'many' is not a whole number"),
            ("request.size=9223372036854775808", "does not fit into 64 bits"),
            ("connection.mtls=yes", "neither true nor false"),
            ("source.ip=home", "source.ip is IP_ADDRESS: 'home' does not appear"),
            ("request.time=now", "'now' is not a time: write one such as"),
            ("request.time=2026-01-02T03:04:05", "has no time zone: write one such as"),
            ("request.path=/ request.path=/b", "request.path is given twice"),
            ("request.headers[a]=1 request.headers[a]=1", r"request.headers\[a\] is given twice"),
        ],
    )
    def test_wrong_words(self, word, reason):
        """What to write instead."""
        with pytest.raises(click.UsageError, match=reason):
            attributes(word.split())


(NOOP,) = (one for one in ADAPTERS if one.name == "noop")
MANIFEST = """\
apiVersion: config.istio.io/v1alpha2
kind: attributemanifest
metadata: {name: own, namespace: istio-system}
spec:
  attributes: {shop.items: {valueType: INT64}}
"""


@frozen
class Config:
    """No parameters."""


class Unsure(Handler):
    """Does not know."""

    async def check(self, instance):
        raise MixerError("there is no list")


class Denies(Handler):
    """Denies everything."""

    async def check(self, instance):
        return CheckAnswer(status=Status(Code.PERMISSION_DENIED, "no"))


class Fails(Handler):
    """Takes no report."""

    async def report(self, instances):
        raise OSError("no file")


class Hangs(Handler):
    """Takes a report, and its time."""

    async def report(self, instances):
        await asyncio.Event().wait()


@contextmanager
def served(tmp_path, adapter, tls=None):
    """A server in a thread, with a check of every request."""
    documents = GOOD.replace("noop", adapter.name) + RULE.replace("MATCH", "'true'")
    (tmp_path / "config.yaml").write_text(documents)
    ready, addresses = threading.Event(), []

    async def main():
        server = MixerServer("127.0.0.1:0", config=tmp_path, adapters=[adapter, NOOP], tls=tls)
        async with server:
            addresses.extend([server.address, asyncio.get_running_loop(), stop := asyncio.Event()])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=[main()])
    thread.start()
    assert ready.wait(10)
    try:
        yield addresses[0]
    finally:
        addresses[1].call_soon_threadsafe(addresses[2].set)
        thread.join(20)


class TestAsk:
    """A server that answers."""

    def adapter(self, handler):
        """An adapter for checks and reports."""
        return MixerAdapter(
            name="double",
            config_class=Config,
            templates=(CHECK_NOTHING, REPORT_NOTHING),
            open=lambda _config, _context: handler(),
        )

    def test_a_denial_is_exit_code_1(self, run, tmp_path):
        """With HTTP code and reasons."""
        with served(tmp_path, self.adapter(Denies)) as address:
            ran = run("mixer", "ask", "--server", address, "request.path=/")
        assert ran.code == Exit.WRONG_INPUT
        assert ran.out == "DENIED 403 PERMISSION_DENIED:h.istio-system:no\n"

    def test_a_report(self, run, tmp_path):
        """Is confirmed."""
        with served(tmp_path, self.adapter(Denies)) as address:
            ran = run("mixer", "ask", "--server", address, "--report", "response.code=200")
        assert (ran.code, ran.out) == (0, "reported\n")

    def test_a_report_of_which_a_part_fails(self, run, tmp_path):
        """Who has it is said, and who has not."""
        (tmp_path / "more.yaml").write_text(TOLD)
        with served(tmp_path, self.adapter(Fails)) as address:
            ran = run("mixer", "ask", "--server", address, "--report", "response.code=200")
        assert (ran.code, ran.out) == (Exit.WRONG_INPUT, "")
        assert ran.err.splitlines()[-1] == (
            "not all of it was reported: taken by other.istio-system; "
            "failed: h.istio-system:OSError: no file"
        )

    def test_a_report_to_nobody(self, run):
        """It says that there is no server."""
        ran = run("mixer", "ask", "--server", "127.0.0.1:1", "--timeout", "1", "--report")
        assert (ran.code, ran.out) == (Exit.WRONG_INPUT, "")
        assert ran.err == (
            "not reported: 127.0.0.1:1: the server cannot be connected to (UNAVAILABLE); start one "
            "with 'meshregistry mixer serve', or name another with --server\n"
        )

    def test_a_report_without_an_answer(self, run, tmp_path):
        """It may have been taken."""
        (tmp_path / "more.yaml").write_text(TOLD)
        with served(tmp_path, self.adapter(Hangs)) as address:
            ran = run("mixer", "ask", "--server", address, "--timeout", "0.5", "--report")
        assert (ran.code, ran.out) == (Exit.WRONG_INPUT, "")
        assert ran.err.splitlines()[-1].startswith("it is not known whether it was reported: ")

    def test_nobody_answers(self, run):
        """Within the time-out; no traceback."""
        ran = run("mixer", "ask", "--server", "127.0.0.1:1", "--timeout", "1", "request.path=/")
        assert ran.code == Exit.WRONG_INPUT
        assert ran.err == (
            "error: 127.0.0.1:1: the server cannot be connected to (UNAVAILABLE); start one with "
            "'meshregistry mixer serve', or name another with --server\n"
        )

    def test_a_server_that_cannot_decide(self, run, tmp_path):
        """Its reason is told, and not that there is no server."""
        with served(tmp_path, self.adapter(Unsure)) as address:
            ran = run("mixer", "ask", "--server", address, "request.path=/")
        assert (ran.code, ran.out) == (Exit.WRONG_INPUT, "")
        assert ran.err == f"error: {address}: h.istio-system:there is no list (INTERNAL)\n"

    def test_attributes_of_ones_own(self, run, tmp_path):
        """Are declared by the documents of the server."""
        (tmp_path / "own.yaml").write_text(MANIFEST)
        words = ("--report", "response.code=200", "shop.items=3")
        with served(tmp_path, self.adapter(Denies)) as address:
            ask = ("mixer", "ask", "--server", address)
            ran = run(*ask, *words)
            assert ran.code == Exit.USAGE
            assert "unknown attribute shop.items: name what declares it with --manifests" in ran.err
            ran = run(*ask, "--manifests", str(tmp_path), *words)
        assert (ran.code, ran.out) == (0, "reported\n")

    def test_manifests_that_declare_nothing_right(self, run, tmp_path):
        """Are faults with their places."""
        (tmp_path / "own.yaml").write_text(MANIFEST.replace("INT64", "INTEGER"))
        ran = run("mixer", "ask", "--manifests", str(tmp_path), "shop.items=3")
        assert ran.code == Exit.WRONG_INPUT
        assert "own.yaml:5:40: spec.attributes" in ran.err
        ran = run("mixer", "ask", "--manifests", str(tmp_path / "none"), "shop.items=3")
        assert ran.code == Exit.WRONG_INPUT
        assert "none: cannot be read: No such file or directory" in ran.err

    def test_a_server_with_certificates(self, run, authority, tmp_path):
        """Each side shows its own; the name of the server's may be another one."""
        (keys := tmp_path / "keys").mkdir()
        (config := tmp_path / "config").mkdir()
        (keys / "ca.pem").write_bytes(authority.root)
        for name in ("mixer.shop", "me"):
            certificate, key = authority.issue(name)
            (keys / f"{name}.pem").write_bytes(certificate)
            (keys / f"{name}.key").write_bytes(key)
        tls = MixerServerTls(
            certificate=keys / "mixer.shop.pem",
            key=keys / "mixer.shop.key",
            client_ca=keys / "ca.pem",
        )
        with served(config, self.adapter(Denies), tls) as address:
            ask = ("mixer", "ask", "--server", address, "--ca", str(keys / "ca.pem"))
            me = ("--certificate", str(keys / "me.pem"), "--key", str(keys / "me.key"))
            asked = run(*ask, *me, "--server-name", "mixer.shop")
            told = run(*ask, *me, "--server-name", "mixer.shop", "--report")
            stranger = run(*ask, "--server-name", "mixer.shop", "--timeout", "2")
        assert asked.out.startswith("DENIED 403")
        assert (told.code, told.out) == (0, "reported\n")
        assert (stranger.code, stranger.out) == (Exit.WRONG_INPUT, "")
        assert stranger.err.startswith(f"error: {address}: ")
        assert "belong together" in run(*ask, *me[:2]).err

    def test_a_quota_is_named_once(self, run):
        """The second amount does not replace the first in silence."""
        ran = run("mixer", "ask", "--quota", "q=1", "--quota", "q=2")
        assert ran.code == Exit.USAGE
        assert "the quota q is given twice: add the amounts up" in ran.err

    @pytest.mark.parametrize(
        "word",
        [
            "requests=many",
            "requests=0",
            "requests",
            "=1",
            f"requests={1 << 63}",
            "r=" + "9" * 5_000,
        ],
    )
    def test_a_quota_has_a_name_and_an_amount(self, run, word):
        """It says so, whatever of it is missing."""
        ran = run("mixer", "ask", "--quota", word)
        assert ran.code == Exit.USAGE
        assert f"'{word}' is no quota: write NAME=AMOUNT" in ran.err

    def test_a_report_takes_no_quota(self, run):
        """Nobody is left to believe that it was taken."""
        ran = run("mixer", "ask", "--report", "--quota", "requests=1")
        assert ran.code == Exit.USAGE
        assert "--quota goes with a check" in ran.err


class TestServe:
    """The command as a process."""

    def test_without_a_configuration(self, run):
        """It says what it wants."""
        ran = run("mixer", "serve")
        assert ran.code == Exit.USAGE
        assert "--demo" in ran.err

    def test_trust_in_nonsense(self, run):
        """It says what is wrong with it."""
        ran = run("mixer", "serve", "--demo", "--trust", "10.0.0.1/8")
        assert ran.code == Exit.USAGE
        assert "--trust: 10.0.0.1/8 has host bits set; write a network" in ran.err

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            (("--address", "0.0.0.0:0"), "--allow-plaintext if the network is trusted"),
            (("--address", "nowhere"), "--address: 'nowhere' is not an address"),
            (("--monitoring", "nowhere"), "--monitoring: 'nowhere' is not an address"),
            (("--monitoring", "127.0.0.1:web"), "--monitoring: 'web' is not a port"),
            (("--monitoring", "unix:///run/mixer"), "is a socket; write host:port"),
            (("--key", __file__), "--certificate and --key belong together"),
            (("--key", "nope.pem"), "does not exist"),
            (("--trust", "10.0.0.0/99"), "--trust"),
            (("--deadline", "nan"), "'nan' is not a number"),
        ],
    )
    def test_wrong_words(self, run, words, reason):
        """What is missing, or dangerous, before anything starts."""
        ran = run("mixer", "serve", "--standard", *words)
        assert ran.code == Exit.USAGE
        assert reason in ran.err

    @pytest.mark.parametrize("page", ["mixer", "mixer-with-envoy"])
    def test_the_lines_of_the_pages_are_right(self, tmp_path, monkeypatch, run, page):
        """Each gets as far as its folder, which is not there; nothing is bound before that."""
        text = (Path(__file__).parents[2] / f"docs/how-to/{page}.md").read_text(encoding="utf-8")
        lines = re.findall(r"^\$ meshregistry (mixer serve .* policies/)$", text, re.MULTILINE)
        monkeypatch.chdir(tmp_path)
        assert lines
        for line in lines:
            ran = run(*shlex.split(line))
            assert (Exit.WRONG_INPUT, True) == (ran.code, "policies: the conf" in ran.err), line

    def test_a_catalog_tells_who_calls(self, tmp_path, run):
        """The adapter kubernetesenv looks into the catalog of the pilot's sources."""
        (tmp_path / "mesh.yaml").write_text(
            "sources: [{id: vms, kind: file, path: services.yaml}]\n"
        )
        (tmp_path / "services.yaml").write_text(SERVICES)
        (tmp_path / "policies").mkdir()
        (tmp_path / "policies" / "a.yaml").write_text(CATALOG)
        command = [
            *(sys.executable, "-m", "meshregistry", "mixer", "serve", str(tmp_path / "policies")),
            *("--catalog", str(tmp_path / "mesh.yaml")),
            *("--address", "127.0.0.1:0", "--monitoring", ""),
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                lines = []
                while not (lines and "ready:" in lines[-1]):
                    lines.append(process.stderr.readline())
                    assert lines[-1], lines
                address = re.search(r"mixer=(\S+)", lines[-1])[1]
                ask = ("mixer", "ask", "--server", address)
                assert run(*ask, "source.ip=10.0.0.2").code == 0
                denied = run(*ask, "source.ip=10.0.0.1")
                assert denied.code == Exit.WRONG_INPUT
                assert "not from there" in denied.out
            finally:
                process.terminate()
                process.communicate(timeout=20)

    def test_a_busy_port_is_said_once(self, tmp_path):
        """With the reason, in one line that is ours; a script can tell by the exit code."""
        with socket.create_server(("127.0.0.1", 0)) as busy:
            address = f"127.0.0.1:{busy.getsockname()[1]}"
            ran = subprocess.run(
                [
                    *(sys.executable, "-m", "meshregistry", "mixer", "serve", str(tmp_path)),
                    *("--address", address, "--monitoring", ""),
                ],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        assert ran.returncode == Exit.ADDRESS
        why = os.strerror(errno.EADDRINUSE)
        said = f"error: cannot listen on {address}: {why}; choose a free address or port 0"
        assert ran.stderr.splitlines() == [said]

    def test_it_is_ready_answers_and_ends(self, tmp_path):
        """The standard configuration has no fault; SIGTERM ends with 0."""
        command = [
            *(sys.executable, "-m", "meshregistry", "mixer", "serve", "--standard"),
            *("--address", "127.0.0.1:0", "--monitoring", "127.0.0.1:0"),
        ]
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
        ) as process:
            line = process.stderr.readline()
            found = re.search(r"ready: mixer=(127\.0\.0\.1:\d+) monitoring=\S+ faults=0", line)
            assert found, line
            # Envoy asks at the same port.
            with grpc.insecure_channel(found[1]) as channel:
                check = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
                assert b"check.cache_hit" in check(b"", timeout=10)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
            assert process.returncode == 0
        assert Path(sys.executable).exists()
