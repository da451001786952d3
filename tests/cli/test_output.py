"""How documents are printed."""

from __future__ import annotations

import json

import pytest
import yaml

from meshregistry.cli._output import dumped, emit, table


def test_what_no_utf_8_holds_is_escaped():
    """A registry may say half a surrogate; what is around it is printed as it is."""
    printed = dumped({"a": "ü\ud800"}, "json").encode()
    assert "ü".encode() in printed
    assert {"a": "ü\ud800"} == json.loads(printed)


class TestTable:
    def test_what_registries_say_is_no_markup(self, capsys):
        """Square brackets and backslashes are printed as they are."""
        table(("A", "B", "C"), [("[bold]x[/bold]", ["[red]", "y"], r"\[z]")])
        out = capsys.readouterr().out
        for text in ("[bold]x[/bold]", "[red], y", r"\[z]"):
            assert text in out

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            *((None, "-"), ("", "-"), ([], "-"), ({}, "-"), (0, "0"), (1.25, "1.2")),
            *((["a", "b"], "a, b"), ({"a": "1", "b": "2"}, "a=1,b=2"), (False, "False")),
        ],
    )
    def test_every_kind_of_value_has_a_form(self, capsys, value, shown):
        """Nothing is shown as a dash."""
        table(("COLUMN",), [(value,)])
        assert shown == capsys.readouterr().out.splitlines()[3].strip()

    def test_piped_output_is_not_wrapped(self, capsys):
        """A program reads it line by line."""
        table(("A", "B"), [("x" * 90, "y" * 90)])
        assert any(
            "x" * 90 in line and "y" * 90 in line for line in capsys.readouterr().out.splitlines()
        )


class TestDocuments:
    def test_both_forms_hold_the_same(self):
        """YAML repeats what is shared, so that no anchor puzzles its reader."""
        shared = ["ä"]
        document = {"b": shared, "a": shared}
        assert document == json.loads(dumped(document, "json"))
        assert document == yaml.safe_load(dumped(document, "yaml"))
        assert "b:\n- ä\na:\n- ä\n" == dumped(document, "yaml")

    def test_rows_are_for_the_table_only(self, capsys):
        """JSON goes out alone."""
        emit({"a": 1}, "json", ("A",), iter([("never",)]))
        assert {"a": 1} == json.loads(capsys.readouterr().out)
