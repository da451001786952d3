"""Exit codes, and how errors reach the terminal."""

from __future__ import annotations

import click
import pytest

from meshregistry.cli import Exit
from meshregistry.cli._exits import run
from meshregistry.errors import ConfigError, MissingExtraError, PilotFailed, PluginLoadError

PLANTED = ZeroDivisionError("planted")


def raising(error):
    """A command that raises."""

    def command():
        raise error

    return command


class TestRun:
    @pytest.mark.parametrize(
        ("error", "code", "shown"),
        [
            (
                ConfigError("it is wrong", file="a.yaml", line=3),
                1,
                "error: a.yaml:3: it is wrong\n",
            ),
            (PluginLoadError("it is broken", plugin="x"), 1, "error: it is broken\n"),
            (MissingExtraError("cli", "rich"), 1, "pip install 'meshregistry[cli]'"),
            (FileNotFoundError(2, "No such file", "a.txt"), 1, "error: a.txt: No such file\n"),
            (OSError("odd"), 1, "error: odd\n"),
            (click.UsageError("wrong usage"), 2, "wrong usage"),
            (click.exceptions.Exit(3), 3, ""),
            (click.Abort(), 130, ""),
            (KeyboardInterrupt(), 130, ""),
            (PilotFailed("the core has failed"), 70, "this is a fault of meshregistry"),
            (PLANTED, 70, "this is a fault of meshregistry"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_an_error_becomes_a_code(self, capsys, error, code, shown):
        """The only traceback is that of a fault of ours."""
        assert code == run(raising(error))
        err = capsys.readouterr().err
        assert shown in err
        assert (code == Exit.INTERNAL) == ("Traceback" in err or "PilotFailed" in err)

    def test_every_fault_has_its_line(self, capsys):
        """Joined faults are printed one by one."""
        run(raising(ConfigError.joined([ConfigError("one"), ConfigError("two")])))
        assert "error: one\nerror: two\n" == capsys.readouterr().err

    @pytest.mark.parametrize(("result", "code"), [(None, 0), (Exit.INCOMPLETE, 3), ("text", 0)])
    def test_a_result_may_be_the_code(self, result, code):
        """Anything else is fine."""
        assert code == run(lambda: result)
