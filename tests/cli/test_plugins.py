"""The command that lists plugins."""

from __future__ import annotations

import json


class TestPlugins:
    def test_are_listed_with_their_kinds(self, run):
        """No settings are needed."""
        ran = run("plugins", "-o", "json")
        document = json.loads(ran.out)
        assert {"memory", "file"} <= {one["name"] for one in document["plugins"]}
        assert {"memory", "file"} <= {one["name"] for one in document["kinds"]}
        assert "records set from Python code" in run("plugins").out

    def test_settings_say_which_must_be_there(self, folder, run, monkeypatch):
        """A kind that is missing is an error with the line to type, after the list."""
        from meshregistry.loader import _known  # noqa: PLC0415 - to add a kind that is not here

        monkeypatch.setitem(_known.EXTRAS, "elsewhere", "elsewhere")
        assert 0 == run("plugins", "-c", "mesh.yaml").code
        (folder / "mesh.yaml").write_text("sources: [{id: dc1, kind: elsewhere}]")
        ran = run("plugins", "-c", "mesh.yaml")
        assert (1, True, True) == (ran.code, "memory" in ran.out, "pip install" in ran.err)

    def test_why_not_is_a_traceback_on_demand(self, run, monkeypatch):
        """That of loading, on stderr."""
        from meshregistry.cli import _plugins  # noqa: PLC0415 - to replace a name in it

        broken = {
            "name": "bad",
            **dict.fromkeys(("distribution", "version", "requires", "kinds"), ""),
            "status": "failed",
            "error": "it raised",
            "traceback": "ZeroDivisionError: planted",
        }
        document = {"plugins": [broken], "kinds": [], "mixer_adapters": []}
        monkeypatch.setattr(_plugins, "plugins_document", lambda _: document)
        assert "planted" not in run("plugins").err
        assert "bad:\nZeroDivisionError: planted" in run("plugins", "--traceback").err
