"""``meshregistry serve``, piece by piece; the whole is run by integration/test_serve.py."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys

import pytest

from meshregistry import Settings
from meshregistry.cli import Exit
from meshregistry.cli._logs import JsonFormatter, configure_logs
from meshregistry.cli._serve import _first, _notify, _reported, _Serving
from meshregistry.errors import PilotFailed

MEMORY = "sources: [{id: mine, kind: memory}]\nserver: {xds: '127.0.0.1:0'}\n"


@pytest.fixture
def lines(caplog):
    """What was logged, as texts."""
    caplog.set_level(logging.DEBUG, logger="meshregistry")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def serving(run_async, tmp_path, monkeypatch, lines):
    """``serving(steps)``: runs the server until the steps are over, and gives its exit code."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    path = tmp_path / "mesh.yaml"

    def run(steps, text=MEMORY):
        path.write_text(text)

        async def main():
            server = _Serving(path)
            running = asyncio.create_task(server.run(Settings.load(path)))
            try:
                await steps(server, running)
                return await running
            finally:
                running.cancel()

        return run_async(main(), timeout=20)

    return run


async def until(holds):
    """Wait until a condition holds; the runner bounds it."""
    while not holds():  # noqa: ASYNC110 - a log has no event
        await asyncio.sleep(0.01)


def some(lines, start):
    """Whether a line starts so."""
    return lambda: any(line.startswith(start) for line in lines())


class TestServing:
    def test_a_signal_drains_and_ends_with_0(self, serving, lines):
        """The ready line names the settings and every address in use."""

        async def steps(server, running):
            await until(some(lines, "ready: "))
            os.kill(os.getpid(), signal.SIGTERM)

        assert Exit.OK == serving(steps)
        (ready,) = [line for line in lines() if line.startswith("ready: ")]
        assert "mesh.yaml xds=127.0.0.1:" in ready
        for name in ("http=", "admin=", "probes=", "services=0"):
            assert name in ready
        assert "127.0.0.1:0" not in ready
        assert "stopped" == lines()[-1]

    def test_a_second_signal_stops_at_once(self, serving, lines):
        """Whatever the drain still waits for."""

        async def steps(server, running):
            await until(some(lines, "ready: "))
            os.kill(os.getpid(), signal.SIGTERM)
            await until(some(lines, "draining"))
            os.kill(os.getpid(), signal.SIGINT)

        text = MEMORY.replace("{xds", "{drain_delay: 1h, xds")
        assert Exit.OK == serving(steps, text)

    def test_a_change_of_the_file_reloads(self, serving, lines, tmp_path):
        """What is applied and what needs a restart is said; nonsense changes nothing."""

        async def steps(server, running):
            await until(some(lines, "ready: "))
            path = tmp_path / "mesh.yaml"
            path.write_text(
                MEMORY.replace("id: mine", "id: other").replace("{xds", "{max_streams: 7, xds")
            )
            await until(some(lines, "settings reloaded"))
            path.write_text("sources: 5")
            await until(some(lines, "settings not reloaded"))
            server._on_stop()

        assert Exit.OK == serving(steps)
        (done,) = [line for line in lines() if line.startswith("settings reloaded")]
        assert "sources.other" in done
        assert done.endswith("needs a restart: server")
        (refused,) = [line for line in lines() if line.startswith("settings not reloaded")]
        assert "sources: must be a list" in refused

    def test_sighup_reloads_what_is_the_same(self, serving, lines):
        """An operator's word is no hint: it is always answered."""

        async def steps(server, running):
            await until(some(lines, "ready: "))
            os.kill(os.getpid(), signal.SIGHUP)
            await until(some(lines, "settings reloaded"))
            server._on_stop()

        serving(steps)
        assert "settings reloaded: applied nothing; needs a restart: nothing" in lines()

    def test_a_broken_plugin_is_no_end_of_reloading(self, serving, lines, tmp_path):
        """A kind that is not there is refused, and the next reload works."""

        async def steps(server, running):
            await until(some(lines, "ready: "))
            (tmp_path / "mesh.yaml").write_text(MEMORY.replace("memory", "elsewhere"))
            await until(some(lines, "settings not reloaded"))
            (tmp_path / "mesh.yaml").write_text(MEMORY.replace("id: mine", "id: other"))
            await until(some(lines, "settings reloaded"))
            server._on_stop()

        assert Exit.OK == serving(steps)

    def test_it_listens_before_it_is_ready(self, serving, lines):
        """And says what it waits for."""

        async def steps(server, running):
            await until(some(lines, "listening: "))
            assert not some(lines, "ready: ")()
            server._on_stop()

        serving(steps, MEMORY.replace("kind: memory", "kind: memory, manual: true"))
        (line,) = [line for line in lines() if line.startswith("listening: ")]
        assert line.endswith("; waiting for mine")

    def test_an_address_in_use_is_4(self, serving, lines, capsys):
        """With one clear line."""

        async def steps(server, running):
            await running

        with socket.create_server(("127.0.0.1", 0)) as taken:
            busy = f"127.0.0.1:{taken.getsockname()[1]}"
            assert Exit.ADDRESS == serving(
                steps, MEMORY.replace("'127.0.0.1:0'", f"'{busy}', http: '127.0.0.1:0'")
            )
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: cannot listen on {busy}")

    def test_a_fault_of_the_core_ends_it(self, serving, lines, monkeypatch):
        """With the error that `main` turns into 70."""
        from meshregistry.cli import _serve  # noqa: PLC0415 - to replace a name in it

        class Failing(_serve.Pilot):
            async def synced(self, timeout=None):
                self.fail(ZeroDivisionError("planted"))
                return await super().synced(timeout)

        monkeypatch.setattr(_serve, "Pilot", Failing)

        async def steps(server, running):
            with pytest.raises(PilotFailed, match="planted"):
                await running
            server._seen = None

        with pytest.raises(PilotFailed):
            serving(steps)


class TestChores:
    def test_one_that_fails_is_told_with_its_traceback(self, run_async, lines, caplog):
        """Serving goes on."""

        async def failing():
            raise ZeroDivisionError("planted")

        run_async(_reported(failing(), "watching"))
        assert ["watching has failed; restart the server for it"] == lines()
        assert caplog.records[0].exc_info

    def test_whatever_comes_first_ends_the_wait(self, run_async):
        """A task that lost is cancelled; one that failed is raised."""

        async def main():
            event = asyncio.Event()
            slow = asyncio.create_task(asyncio.Event().wait())
            event.set()
            await _first(slow, event)
            assert slow.cancelled()

            async def failing():
                raise ZeroDivisionError("planted")

            with pytest.raises(ZeroDivisionError):
                await _first(asyncio.create_task(failing()), asyncio.Event())

        run_async(main())


class TestNotify:
    @pytest.mark.parametrize("is_abstract", [False, True])
    def test_systemd_is_told(self, tmp_path, monkeypatch, is_abstract):
        """On the socket that it names, also in the abstract namespace."""
        name = f"@meshregistry-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(name.replace("@", "\0", 1))
            monkeypatch.setenv("NOTIFY_SOCKET", name)
            _notify("READY=1")
            assert b"READY=1" == receiver.recv(100)

    def test_a_socket_that_is_gone_is_no_fault(self, tmp_path, monkeypatch, lines):
        """It is logged."""
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
        _notify("READY=1")
        assert 1 == len(lines())

    def test_without_systemd_nothing_is_told(self, monkeypatch):
        """No variable, no socket."""
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        _notify("READY=1")


class TestLogs:
    @pytest.fixture
    def logger(self):
        """Our logger, as it was before."""
        logger = logging.getLogger("meshregistry")
        before = (logger.handlers[:], logger.propagate, logger.level)
        yield logger
        logger.handlers[:], logger.propagate = before[:2]
        logger.setLevel(before[2])

    def test_json_is_one_object_a_line(self, logger, capsys):
        """With the source and the traceback where there is one."""
        configure_logs("info", "json")
        logger.debug("too fine")
        logger.info("väl %d", 1)
        child = logging.getLogger("meshregistry.aggregate")
        error = ZeroDivisionError("planted")
        child.error("bad\nline", extra={"source": "dc1"}, exc_info=error)
        first, second = map(json.loads, capsys.readouterr().err.splitlines())
        assert ("info", "meshregistry", "väl 1") == (
            *(first["level"], first["logger"], first["message"]),
        )
        assert first["time"]
        assert ("dc1", "bad\nline") == (second["source"], second["message"])
        assert "ZeroDivisionError: planted" in second["traceback"]

    def test_text_goes_to_stderr(self, logger, capsys):
        """Each message once, however often it is configured."""
        configure_logs("warning", "text")
        configure_logs("warning", "text")
        logger.info("too fine")
        logger.warning("seen")
        ran = capsys.readouterr()
        assert ("", 1, True) == (ran.out, len(ran.err.splitlines()), "seen" in ran.err)

    def test_a_record_without_source_has_none(self):
        """No empty key."""
        record = logging.LogRecord("x", logging.INFO, __file__, 1, "a", (), None)
        assert {"time", "level", "logger", "message"} == set(
            json.loads(JsonFormatter().format(record))
        )


class TestCommand:
    def test_wrong_settings_are_1(self, folder, run):
        """Before anything is bound."""
        (folder / "mesh.yaml").write_text("sources: 5")
        ran = run("serve")
        assert (1, True) == (ran.code, "sources: must be a list" in ran.err)
        assert 1 == run("serve", "-c", "none.yaml").code

    def test_main_runs_without_its_packages_to_the_line_to_type(self, monkeypatch):
        """`python -m meshregistry` with the core alone."""
        import meshregistry.__main__ as entry  # noqa: PLC0415 - as the interpreter does

        for name in [one for one in sys.modules if one.startswith("meshregistry.cli")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "click", None)
        with pytest.raises(SystemExit, match=r"pip install 'meshregistry\[cli\]'"):
            entry.main()

    def test_main_ends_with_the_code(self, folder, monkeypatch, capsys):
        """The console script."""
        import meshregistry.__main__ as entry  # noqa: PLC0415 - as the interpreter does

        monkeypatch.setattr(sys, "argv", ["meshregistry", "endpoints", "no.such"])
        with pytest.raises(SystemExit) as caught:
            entry.main()
        assert 1 == caught.value.code
        assert "no source knows" in capsys.readouterr().err
