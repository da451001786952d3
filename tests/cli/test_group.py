"""The command line as a whole: help, version, commands of plugins."""

from __future__ import annotations

import click
import pytest

from meshregistry.cli import _group, cli

COMMANDS = sorted(cli.commands)


class TestHelp:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_of_every_command_has_one_example_and_explains_every_option(self, run, name):
        """And every parameter of it is described."""
        ran = run(name, "--help")
        assert (0, 1) == (ran.code, ran.out.count("Example: meshregistry"))
        assert f"Example: meshregistry {name}" in ran.out
        bare = [
            one.name
            for one in cli.commands[name].params
            if isinstance(one, click.Option) and not one.help
        ]
        assert [] == bare

    @pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"mixer", "plugins"}))
    def test_every_command_takes_the_settings_file(self, name):
        """-c and --config; plugins have none, and a Mixer has documents of its own."""
        options = [set(one.opts) for one in cli.commands[name].params]
        assert {"-c", "--config"} in options

    def test_of_the_whole_names_the_commands_and_the_codes(self, run):
        """Without arguments it is shown, too."""
        ran = run("--help")
        for name in COMMANDS:
            assert name in ran.out
        assert "Exit codes: 0 fine" in ran.out
        assert "Example: meshregistry serve" in ran.out

    def test_the_version_is_that_of_the_distribution(self, run):
        """One line."""
        ran = run("--version")
        assert (0, 1) == (ran.code, len(ran.out.splitlines()))


class TestPlugged:
    @pytest.fixture
    def plugged(self, monkeypatch):
        """A plugin's commands: one of its own, and one that is ours."""

        class Found:
            @staticmethod
            def commands():
                own = click.Command("extra", callback=lambda: click.echo("extra!"))
                return (own, click.Command("services", callback=lambda: click.echo("stolen")))

        monkeypatch.setattr(_group.Pilot, "discover", staticmethod(Found))

    def test_commands_of_plugins_are_found(self, plugged, run):
        """Listed, and run."""
        assert "extra" in run("--help").out
        assert "extra!\n" == run("extra").out

    def test_ours_cannot_be_taken(self, plugged, run, folder):
        """A name of ours stays ours."""
        assert "stolen" not in run("services").out
