"""``meshregistry check``: every fault, and nothing but faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

BROKEN = Path(__file__).parents[1] / "broken"
MESSAGES = (BROKEN / "messages.txt").read_text("utf-8").splitlines()


class TestGood:
    def test_the_settings_of_the_folder(self, folder, run):
        """Exit code 0 and a word on stderr."""
        ran = run("check")
        assert (0, "") == (ran.code, ran.out)
        assert "no faults in" in ran.err

    def test_documents_and_folders(self, folder, run):
        """Each PATH; in a folder settings count as settings."""
        for words in (["services.yaml"], ["."], ["mesh.yaml", "services.yaml"]):
            assert 0 == run("check", *words).code

    def test_starts_nothing(self, folder, run):
        """A backend that is not there is no fault."""
        (folder / "mesh.yaml").write_text("server: {xds: '127.0.0.1:1'}")
        assert 0 == run("check").code


class TestBroken:
    def test_ten_broken_files_print_ten_good_messages(self, run, monkeypatch):
        """One line each, on stdout, with file, line, field, reason and remedy."""
        monkeypatch.delenv("MESHREGISTRY_NO_SUCH_PORT", raising=False)
        monkeypatch.chdir(BROKEN)
        names = [line.partition(":")[0] for line in MESSAGES]
        ran = run("check", *names)
        assert (1, MESSAGES) == (ran.code, ran.out.splitlines())
        assert "10 faults in " in ran.err

    @pytest.mark.parametrize("line", MESSAGES, ids=lambda line: line.partition(":")[0])
    def test_each_is_wrong_by_itself(self, run, monkeypatch, line):
        """And is told alone."""
        monkeypatch.chdir(BROKEN)
        ran = run("check", line.partition(":")[0])
        assert (1, [line]) == (ran.code, ran.out.splitlines())
        assert "1 fault in " in ran.err

    def test_a_folder_is_looked_through(self, folder, run):
        """Settings by the rules of settings, documents by those of documents."""
        (folder / "mesh.yaml").write_text("sources: [{id: x, kind: nonsense}]\nmesh: {a: 1}\n")
        (folder / "services.yaml").write_text("services: [{hots: a.b}]")
        found = run("check", str(folder)).out.splitlines()
        assert any("services.yaml:1" in one and "hots" in one for one in found)
        assert any("mesh.yaml:2" in one and "mesh.a" in one for one in found)

    def test_what_settings_point_to_is_checked(self, folder, run):
        """Without naming it."""
        (folder / "services.yaml").write_text("services: [{hots: a.b}]")
        ran = run("check")
        assert (1, True) == (ran.code, "services.yaml:1" in ran.out)

    def test_missing_files_are_faults(self, folder, run):
        """Of PATH and of -c; the others are still checked."""
        ran = run("check", "nowhere.yaml", "services.yaml")
        assert (1, True) == (ran.code, "nowhere.yaml: there is no such file or folder" in ran.out)
        ran = run("check", "-c", "none.yaml", "nowhere.yaml")
        assert 2 == len(ran.out.splitlines())

    def test_json_has_every_part(self, folder, run):
        """For editors and pipelines."""
        (folder / "mesh.yaml").write_text("mesh:\n  a: 1\n")
        ran = run("check", "-o", "json")
        (fault,) = json.loads(ran.out)["faults"]
        assert {"file", "line", "column", "field", "reason", "remedy"} == set(fault)
        assert (1, 2, "mesh.a") == (ran.code, fault["line"], fault["field"])
        (folder / "mesh.yaml").write_text("mesh: {}")
        assert {"faults": [], "warnings": []} == json.loads(run("check", "-o", "json").out)


class TestSchema:
    def test_is_that_of_the_settings(self, run):
        """No settings are needed."""
        schema = json.loads(run("check", "--schema").out)
        names = {"sources", "rules", "identity", "merge", "mesh", "server", "sync_timeout"}
        assert {*names, "snapshot"} == set(schema["properties"])


class TestRouting:
    """Files of routing documents, as a pre-commit hook names them."""

    GOOD = (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        "metadata: {name: a}\nspec: {host: a.example, subsets: [{name: v1}]}\n"
    )

    def test_warnings_alone_are_no_fault(self, folder, run):
        """They are printed, and the exit code is 0."""
        (folder / "routing.yaml").write_text(self.GOOD)
        ran = run("check", "routing.yaml")
        assert (ran.code, "no faults in routing.yaml\n") == (0, ran.err)
        assert ran.out.startswith("warning: routing.yaml:4")

    def test_faults_have_their_place(self, folder, run):
        """Beside service documents in one file, and in a folder with settings."""
        broken = self.GOOD.replace("host", "hots")
        (folder / "both.yaml").write_text(f"services: []\n---\n{broken}")
        for place in ("both.yaml", "."):
            ran = run("check", place)
            assert ran.code == 1
            assert "both.yaml:6" in ran.out
            assert "did you mean host?" in ran.out
            assert "is not read here" not in ran.out

    @pytest.mark.parametrize(
        ("place", "content"), [("empty", None), ("empty.yaml", ""), ("only.yaml", "# later\n---\n")]
    )
    def test_a_place_without_documents_is_a_warning(self, folder, run, place, content):
        """A folder, an empty file and one of comments, each by itself; strict ones fail."""
        if content is None:
            (folder / place).mkdir()
        else:
            (folder / place).write_text(content)
        ran = run("check", place, "services.yaml", "mesh.yaml")
        assert (ran.code, len(ran.out.splitlines())) == (0, 1)
        assert ran.out.startswith(f"warning: {place}: there is no document in it; name a file")
        assert run("check", "--strict", place).code == 1

    @pytest.mark.parametrize("content", ["services: []", "a: [", "sources: []"])
    def test_a_place_with_anything_is_not_empty(self, folder, run, content):
        """Services without entries, what cannot be parsed, and settings are there."""
        (folder / "some").mkdir()
        (folder / "some" / "any.yaml").write_text(content)
        assert "there is no document in it" not in run("check", "some").out

    LOST = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: b}\n"
        "spec: {hosts: [a.example], http: "
        "[{route: [{destination: {host: a.example, subset: v2}}]}]}\n"
    )

    def test_documents_are_looked_at_together(self, folder, run):
        """A missing subset is a fault if all rules are at hand, and else a warning."""
        (folder / "routing.yaml").write_text(f"{self.GOOD}---\n{self.LOST}")
        ran = run("check", "routing.yaml")
        assert ran.code == 0
        assert "warning: routing.yaml:9" in ran.out
        assert "the subset v2 of a.example; those of the host are v1" in ran.out
        (folder / "mesh.yaml").write_text("rules: [{kind: file, path: routing.yaml}]\n")
        ran = run("check", "mesh.yaml")
        assert ran.code == 1
        assert "routing.yaml:9" in ran.out.splitlines()[0]

    def test_hosts_that_no_source_knows_are_found(self, folder, run):
        """Where the sources are files; else somebody else may know them."""
        subset = self.LOST.replace("subset: v2", "subset: v1")
        (folder / "routing.yaml").write_text(f"{self.GOOD}---\n{subset}")
        (folder / "services.yaml").write_text(
            "services: [{host: other.example, ports: [{port: 80}]}]\n"
        )
        rules = "rules: [{kind: file, path: routing.yaml}]\n"
        (folder / "mesh.yaml").write_text(
            f"sources: [{{id: a, kind: file, path: services.yaml}}]\n{rules}"
        )
        ran = run("check", "mesh.yaml")
        assert ran.code == 0
        assert "no source knows the host a.example" in ran.out
        (folder / "services.yaml").write_text(
            "services: [{host: a.example, ports: [{port: 80}]}]\n"
        )
        assert "no source knows" not in run("check", "mesh.yaml").out
        (folder / "services.yaml").write_text("services: []\n")
        (folder / "mesh.yaml").write_text(f"sources: [{{id: a, kind: memory}}]\n{rules}")
        assert "no source knows" not in run("check", "mesh.yaml").out

    def test_warnings_fail_where_they_shall(self, folder, run):
        """For hooks that want none."""
        (folder / "routing.yaml").write_text(self.GOOD)
        assert run("check", "--strict", "routing.yaml").code == 1
        (folder / "routing.yaml").write_text(self.GOOD.replace("{name: v1}", ""))
        assert run("check", "--strict", "routing.yaml").code == 0

    def test_findings_are_told_to_code_scanners(self, folder, run):
        """As SARIF 2.1.0: level, text and place of each."""
        broken = self.GOOD.replace("a.example", "a_b!").replace("name: a", "name: b")
        (folder / "routing.yaml").write_text(f"{self.GOOD}---\n{broken}")
        log = json.loads(run("check", "-o", "sarif", "routing.yaml").out)
        assert log["version"] == "2.1.0"
        (one,) = log["runs"]
        assert one["tool"]["driver"]["name"] == "meshregistry"
        levels = [result["level"] for result in one["results"]]
        assert levels == ["error", "warning", "warning"]
        place = one["results"][0]["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "routing.yaml"
        assert place["region"]["startLine"] == 9
        assert "not a host name" in one["results"][0]["message"]["text"]

    def test_kinds_that_nobody_reads_stay_faults(self, folder, run):
        """With what to do."""
        (folder / "routing.yaml").write_text(self.GOOD.replace("DestinationRule", "EnvoyFilter"))
        ran = run("check", "routing.yaml")
        assert ran.code == 1
        assert "EnvoyFilter is not read here" in ran.out
