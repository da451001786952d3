"""The commands that list: from the sources, and from a running server."""

from __future__ import annotations

import json

import pytest
import yaml

LISTS = {
    "services": (["services"], "reviews.shop"),
    "endpoints": (["endpoints", "reviews.shop"], "10.0.0.1"),
    "sources": (["sources"], "SYNCED"),
    "resources": (["resources", "edge", "--type", "eds"], "outbound|9080||reviews.shop"),
    "explain": (["explain", "reviews.shop:9080"], "ports[9080]"),
}
lists = pytest.mark.parametrize(("words", "shown"), LISTS.values(), ids=LISTS)


class TestOutputs:
    @lists
    def test_json_stands_alone_on_stdout(self, folder, run, words, shown):
        """So that it can be piped."""
        ran = run(*words, "-o", "json")
        assert (0, "") == (ran.code, ran.err)
        assert shown in json.dumps(json.loads(ran.out))

    @lists
    def test_yaml_is_the_same_document(self, folder, run, words, shown):
        """Without anchors; ages differ."""
        as_yaml = run(*words, "-o", "yaml")
        as_json = run(*words, "-o", "json")
        assert (0, "") == (as_yaml.code, as_yaml.err)
        assert "&id" not in as_yaml.out
        documents = [yaml.safe_load(as_yaml.out), json.loads(as_json.out)]
        for document in documents:
            for source in document.get("sources", []):
                source.pop("age")
        assert documents[0] == documents[1]

    @lists
    def test_a_table_has_headings_and_rows(self, folder, run, words, shown):
        """For people."""
        ran = run(*words, "-o", "table")
        assert (0, "") == (ran.code, ran.err)
        assert shown in ran.out
        assert ran.out.splitlines()[1].split()[0].isupper()

    def test_resources_are_json_unless_told_otherwise(self, folder, run):
        """As the reference says."""
        assert "types" in json.loads(run("resources", "edge").out)

    def test_every_value_of_a_service_has_its_sources(self, folder, run):
        """The document is that of /debug/catalog."""
        (service,) = json.loads(run("services", "-o", "json").out)["services"]
        assert ["vms"] == service["sources"]
        assert [["vms"], ["vms"]] == [one["sources"] for one in service["endpoints"]]


class TestServer:
    @lists
    def test_a_running_server_answers_the_same(self, running, run, words, shown):
        """With --server no settings are needed, and no source is started."""
        for server in (running.http_address, f"http://{running.http_address}/"):
            ran = run(*words, "--server", server, "-o", "json")
            assert (0, "") == (ran.code, ran.err)
            assert shown in json.dumps(json.loads(ran.out))

    def test_proxies_are_those_of_the_server(self, running, run):
        """None is connected here; a table of none has its headings."""
        ran = run("proxies", "--server", running.http_address, "-o", "json")
        assert {"proxies": []} == json.loads(ran.out)
        assert "ACKNOWLEDGED" in run("proxies", "--server", running.http_address).out

    def test_proxies_find_the_server_in_the_settings(self, running, run, folder):
        """Its admin address, unless the system chose the port."""
        (folder / "mesh.yaml").write_text(f"server: {{http: '{running.http_address}'}}")
        assert 0 == run("proxies").code
        (folder / "mesh.yaml").write_text("server: {http: '127.0.0.1:0'}")
        ran = run("proxies")
        assert (1, True) == (ran.code, "name it with --server" in ran.err)

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            (["endpoints", "no.such"], "no source knows the host 'no.such'"),
            (["explain", "no.such"], "no source knows the host 'no.such'"),
            (["resources", "a~b"], "the node id 'a~b' is malformed"),
        ],
    )
    def test_its_no_is_our_no(self, running, run, words, reason):
        """With its words, and exit code 1."""
        ran = run(*words, "--server", running.http_address)
        assert (1, "", True) == (ran.code, ran.out, reason in ran.err)

    def test_no_server_is_told_with_the_remedy(self, run, running):
        """Nobody there, not HTTP, not ours, not a URL."""
        for server, reason in (
            ("http://127.0.0.1:1", "does not answer"),
            (running.xds_address, "does not answer"),
            (f"{running.http_address}/nothing", "404 Not Found"),
            ("http://127.0.0.1:port", "does not answer"),
            ("http://[::1", "does not answer"),
            ("ftp://127.0.0.1", "is not an http URL"),
        ):
            ran = run("services", "--server", server)
            assert (1, "", True) == (ran.code, ran.out, reason in ran.err)
            assert "; " in ran.err


class TestIncomplete:
    @pytest.fixture
    def half(self, folder):
        """Settings of a source that syncs and one that does not."""
        (folder / "mesh.yaml").write_text(
            "sources:\n"
            "  - {id: vms, kind: file, path: services.yaml}\n"
            "  - {id: gone, kind: memory, manual: true}\n"
        )

    @lists
    def test_what_there_is_is_printed_with_3(self, half, run, words, shown):
        """And the missing source is named on stderr."""
        ran = run(*words, "-o", "json", "--timeout", "0.5")
        assert (3, True) == (ran.code, shown in json.dumps(json.loads(ran.out)))
        assert "the list is not complete: gone did not sync" in ran.err

    def test_it_is_fine_with_allow_partial(self, half, run):
        """The warning stays."""
        ran = run("services", "--allow-partial", "--timeout", "0.5")
        assert (0, True) == (ran.code, "gone did not sync" in ran.err)

    def test_a_source_that_is_not_required_is_missed_too(self, folder, run):
        """The gate opens without it; the list is still not complete."""
        (folder / "mesh.yaml").write_text(
            "sources: [{id: gone, kind: memory, manual: true, required: false, sync_timeout: 10ms}]"
        )
        ran = run("services")
        assert (3, True) == (ran.code, "gone did not sync" in ran.err)

    def test_faulty_records_are_named(self, folder, run):
        """Below the table of sources, with file and line."""
        services = folder / "services.yaml"
        services.write_text(services.read_text() + "  - {host: b.shop, ports: 5}\n")
        ran = run("sources")
        assert "services.yaml:8" in ran.err


class TestMistakes:
    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            (["endpoints", "no.such"], "no source knows the host 'no.such'; see what there is"),
            (["explain", "no.such"], "no source knows the host"),
            (["explain", "reviews.shop:1"], "has no port 1; it has 9080"),
            (["explain", "a_!"], "is not a host name"),
            (["explain", "reviews.shop", "--proxy", "a~b"], "is malformed: write role~"),
            (["resources", "a~b"], "the node id 'a~b' is malformed"),
            (["resources", "edge", "--type", "zzz"], "'zzz' is not a resource type: use one of"),
            (["services", "-c", "none.yaml"], "none.yaml: there is no such settings file"),
            (["plugins", "-c", "none.yaml"], "there is no such settings file"),
        ],
    )
    def test_teach_and_exit_with_1(self, folder, run, words, reason):
        """Nothing on stdout that could be taken for a list."""
        ran = run(*words)
        assert (1, True) == (ran.code, reason in ran.err)
        assert ran.err.startswith("error: ")
        if words[0] != "plugins":
            assert "" == ran.out

    def test_the_variable_names_the_settings(self, folder, run, monkeypatch):
        """Unless -c does."""
        monkeypatch.setenv("MESHREGISTRY_CONFIG", "other.yaml")
        assert "other.yaml" in run("services").err
        assert 0 == run("services", "-c", "mesh.yaml").code

    def test_a_wrong_option_is_usage(self, folder, run):
        """Exit code 2, with click's words."""
        for words in (["services", "-o", "xml"], ["nonsense"], ["resources"], ["services", "-x"]):
            assert 2 == run(*words).code
