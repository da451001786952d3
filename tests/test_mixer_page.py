"""docs/how-to/mixer.md: its commands print what it shows, its documents are right."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from meshregistry.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "mixer.md"
TEXT = PAGE.read_text(encoding="utf-8")
READY = re.compile(r"ready: mixer=(\S+) monitoring=(\S+) faults=(\d+)")


def blocks(kind):
    """The code blocks of the page of this kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def dialogues():
    """The commands that ask a server, each with what the page shows of its output."""
    found = []
    for block in blocks("console"):
        for piece in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = piece.partition("\n")
            words = shlex.split(command)
            if words[:3] == ["meshregistry", "mixer", "ask"]:
                found.append((words[3:], shown))
    return found


@contextmanager
def serving(*words):
    """The server of the page as a process: its address, and the one where it is watched."""
    command = [
        *(sys.executable, "-m", "meshregistry", "mixer", "serve", *words),
        *("--address", "127.0.0.1:0", "--monitoring", "127.0.0.1:0"),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stderr.readline()
            found = READY.search(line)
            assert found is not None, line
            assert found[3] == "0", "the demo has faults"
            yield found[1], found[2]
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_the_dialogue_is_as_the_page_shows_it(capsys):
    """Allowed, denied, with a header, out of quota; and the number for the panel."""
    asked = dialogues()
    assert len(asked) == 7
    with serving("--demo") as (address, monitoring):
        for words, shown in asked:
            code = main(["mixer", "ask", "--server", address, *words])
            out, err = capsys.readouterr()
            assert (out, err) == (shown, "")
            assert code == (1 if "DENIED" in shown else 0)
        with urllib.request.urlopen(f"http://{monitoring}/metrics") as answer:
            lines = answer.read().decode().splitlines()
    (counted,) = [line for line in lines if line.startswith("istio_requests_total{")]
    assert 'destination_service="reviews.shop"' in counted
    assert 'response_code="200"' in counted
    assert counted.endswith(" 1.0")


def test_the_rules_of_the_page_are_right(tmp_path, capsys):
    """As `mixer check` prints it there."""
    (rules,) = (block for block in blocks("yaml") if "policies/" in block)
    (tmp_path / "forbid-curl.yaml").write_text(rules)
    assert main(["mixer", "check", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "no faults in 3 documents\n"
    assert "no faults in 3 documents" in TEXT


@pytest.mark.parametrize("line", [one for one in TEXT.splitlines() if one.startswith("python -c")])
def test_the_dashboards_are_printed(line):
    """As documents for Grafana."""
    words = shlex.split(line.partition(" > ")[0])
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=True)
    assert '"panels"' in done.stdout
