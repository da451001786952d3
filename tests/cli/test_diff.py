"""The command that compares two sources."""

from __future__ import annotations

import json
import threading

SERVICE = (
    "services: [{{host: web.shop, ports: [{{port: 80}}], endpoints: [{{address: 10.0.0.{n}, "
    "port: 8080}}]}}]\n"
)


def sources(folder, **numbers):
    """A file source for each name, whose one endpoint ends in that number."""
    for name, number in numbers.items():
        (folder / f"{name}.yaml").write_text(SERVICE.format(n=number))
    listed = ", ".join(f"{{id: {name}, kind: file, path: {name}.yaml}}" for name in numbers)
    (folder / "mesh.yaml").write_text(f"sources: [{listed}]\n")


def test_equal_sources_are_fine(folder, run):
    """Exit code 0."""
    sources(folder, eureka=1, consul=1)
    assert run("diff", "eureka", "consul").code == 0


def test_differences_are_listed_by_service(folder, run):
    """Exit code 1, and a column for each source."""
    sources(folder, eureka=1, consul=2)
    ran = run("diff", "eureka", "consul")
    assert ran.code == 1
    assert "EUREKA" in ran.out
    assert "endpoint 10.0.0.2:8080" in ran.out
    document = json.loads(run("diff", "eureka", "consul", "-o", "json").out)
    assert ("eureka", "consul") == (document["first"], document["second"])
    assert {
        "namespace": "",
        "host": "web.shop",
        "what": "endpoint 10.0.0.1:8080",
        "first": "HEALTHY",
        "second": "",
    } in document["differences"]


def test_an_unknown_source_is_named_with_those_there_are(folder, run):
    """Not an empty difference."""
    sources(folder, eureka=1, consul=1)
    ran = run("diff", "eureka", "konsul")
    assert ran.code == 1
    assert "there is no source 'konsul'; there are: eureka, consul" in ran.err


def test_a_source_that_did_not_sync_cannot_be_compared(folder, run):
    """Exit code 3: what it does not say yet is no difference."""
    sources(folder, eureka=1, consul=1)
    (folder / "consul.yaml").unlink()
    assert run("diff", "eureka", "consul", "--timeout", "0.2").code == 3


def test_a_shadow_is_waited_for(folder, run):
    """It is what one compares with, although nobody else waits for it."""
    sources(folder, eureka=1, consul=1)
    settings = folder / "mesh.yaml"
    settings.write_text(
        settings.read_text().replace("path: consul.yaml", "path: consul.yaml, shadow: true")
    )
    there = (folder / "consul.yaml").rename(folder / "later")
    late = threading.Timer(0.5, lambda: there.rename(folder / "consul.yaml"))
    late.start()
    try:
        assert run("diff", "eureka", "consul").code == 0
    finally:
        late.join()
